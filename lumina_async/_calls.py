"""One call of a model while it runs: its times, its chunks, and how it ends."""

from typing import Any

import attrs
import orjson

from lumina_async._events import ErrorInfo, LlmCall, Outcome, Status
from lumina_async._log import Once
from lumina_async._stream import is_async_stream, is_sync_stream


@attrs.define(eq=False)
class Call:
    """A call of a model; a stream when it is read in chunks.

    Times are monotonic nanoseconds but for `started_ns`, which is of the wall clock.
    """

    span_id: str
    started_ns: int
    began: int
    model: str | None = None
    prompt_id: str | None = None
    provider: str | None = None
    meta: orjson.Fragment | None = None
    streaming: bool = False
    chunks: int = 0
    first: int | None = None
    last: int | None = None
    longest_gap: int | None = None
    ended: int | None = None
    status: Status = Status.OK
    outcome: Outcome | None = None
    error: ErrorInfo | None = None

    @property
    def is_open(self) -> bool:
        """Whether it still runs, or its stream is still read."""
        return self.ended is None

    def chunk(self, now: int) -> None:
        """Count a chunk that has just come."""
        self.chunks += 1
        if self.last is None:
            self.first = now
        elif self.longest_gap is None or now - self.last > self.longest_gap:
            self.longest_gap = now - self.last
        self.last = now

    def end(self, now: int, status: Status, *, outcome: Outcome | None = None, error: ErrorInfo | None = None) -> None:
        """End it, once; what comes later does not change how it ended."""
        if self.ended is None:
            self.ended, self.status, self.outcome, self.error = now, status, outcome, error

    def fact(self, now: int) -> LlmCall:
        """Return what is told of it."""
        ended = now if self.ended is None else self.ended
        return LlmCall(
            span_id=self.span_id,
            started_ns=self.started_ns,
            latency_ns=ended - self.began,
            status=self.status,
            model=self.model,
            prompt_id=self.prompt_id,
            provider=self.provider,
            streaming=self.streaming,
            outcome=self.outcome,
            ttft_ns=None if self.first is None else self.first - self.began,
            chunks=self.chunks if self.streaming else None,
            longest_gap_ns=self.longest_gap,
            meta=self.meta,
            error=self.error,
        )


async def run_once(work: Any, once: Once) -> Any:
    """Run what `wrap_llm` was given, exactly once, and return what it gives."""
    kind: type[Any] = work.__class__
    # 1. An awaitable: a coroutine object, a task, a future.
    # 2. A stream that was made already: it is its own result.
    # 3. A callable, async or plain.
    # 4. Anything else was computed before: nothing is left to measure.
    if hasattr(kind, "__await__"):
        return await work
    if is_async_stream(work) or is_sync_stream(work):
        return work
    if callable(work):
        result: Any = work()
        return await result if hasattr(result, "__await__") else result
    once.warn(
        "not callable", "wrap_llm got a %s that is no call: pass the function, not its result", type(work).__name__
    )
    return work
