"""Calls the providers so that none of them ever disturbs a turn: timed, isolated, counted, and given up on."""

import asyncio
import contextvars
import time
import weakref
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Literal

import anyio
import orjson

from lumina_async._events import Call, TurnEvent, Ui
from lumina_async._handover import running_loop
from lumina_async._log import Once, logger
from lumina_async._protocols import (
    NullUIProvider,
    SpanContext,
    SystemAnalyticsProvider,
    TurnContext,
    UIAnalyticsProvider,
)
from lumina_async._tasks import end_task, start_task
from lumina_async._trace import is_sampled
from lumina_async._values import identifier

HOOK_SECONDS = 1.0
MAX_FAILURES = 5
MAX_WAITING = 10_000
MAX_OPEN = 10_000
"""Of turns that the system provider began: one that is dropped unfinished goes with its turn."""

Work = Callable[[], Coroutine[Any, Any, None]]


class ProviderHooks:
    """The providers of one client.

    What begins a turn is awaited, a second at most; what ends it goes to one task that belongs to the client and runs
    only while there is something to tell.
    """

    def __init__(
        self, ui: UIAnalyticsProvider, system: SystemAnalyticsProvider | None, span_sampling: float, once: Once
    ) -> None:
        self._ui, self._system, self._span_sampling, self._once = ui, system, span_sampling, once
        self._has_ui = not isinstance(ui, NullUIProvider)
        self._failures: Counter[str] = Counter()
        self._wants_facts = hasattr(ui, "turn_ended") or hasattr(system, "turn_ended")
        self._work: deque[tuple[contextvars.Context, Work]] = deque()
        self._task: asyncio.Task[None] | None = None
        # By turn; the weak reference to its context takes a turn out that is collected unfinished.
        self._refs: OrderedDict[str, tuple[weakref.ref[TurnContext], Any]] = OrderedDict()
        self._untold = 0

    @property
    def watch_turns(self) -> bool:
        """Whether any of them wants to know of turns."""
        return self._has_ui or self._system is not None

    async def start(self) -> None:
        """Let the UI provider make ready."""
        if self._has_ui:
            await self._call(self._ui, "init")

    async def start_turn(self, context: TurnContext) -> Ui | None:
        """Tell the providers that a turn begins; return what the person is looking at."""
        if self._system is not None and is_sampled(context.trace_id or context.turn_id, self._span_sampling):
            self._keep(context, await self._call(self._system, "start_turn", context))
        if not self._has_ui:
            return None
        await self._call(self._ui, "tag_turn", context)
        session_id = identifier(await self._call(self._ui, "get_session_id"))
        window_id = identifier(await self._call(self._ui, "get_window_id"))
        replay_url = await self._call(self._ui, "get_replay_url")
        replay_url = replay_url[:2_000] if isinstance(replay_url, str) else None
        return Ui(session_id=session_id, window_id=window_id, replay_url=replay_url)

    def end_turn(self, context: TurnContext, event: TurnEvent, line: bytes | None) -> None:
        """Tell the providers, later and on a task of its own, how a turn ended; and, by its line, all of it."""
        facts = line if self._wants_facts else None
        if self.tell(lambda: self._end_turn(context, event, facts)):
            self._untold += 1
        else:
            self._refs.pop(context.turn_id, None)

    def tell_ui(self, method: str, *args: Any) -> None:
        """Call a hook of the UI provider, later; one that the provider does not have is left out."""
        if self._has_ui:
            self.tell(lambda: self._tell_one(self._ui, method, *args))

    def tell_capture(self, ui: UIAnalyticsProvider, name: str, properties: Mapping[str, Any]) -> None:
        """Let this provider, which need not be the client's, capture an event of the person, later."""
        self.tell(lambda: self._tell_one(ui, "capture_event", name, properties))

    def tell(self, work: Work) -> bool:
        """Do this later, in order; tell whether it will be done. Where no loop runs it waits for the next call."""
        if len(self._work) >= MAX_WAITING:
            self._once.warn(
                "hooks behind", "the providers are too slow: %d hooks wait, others are left out", MAX_WAITING
            )
            return False
        # In the caller's context: a provider may look there for whom it is told of.
        self._work.append((contextvars.copy_context(), work))
        loop = running_loop()
        if loop is not None and (self._task is None or self._task.done() or self._task.get_loop() is not loop):
            self._task = start_task(self._run, "lumina-hooks")
        return True

    async def aclose(self, timeout: float) -> None:
        """Tell what is left to tell and end the providers, within so many seconds."""
        deadline = time.monotonic() + timeout
        task, loop = self._task, asyncio.get_running_loop()
        with anyio.move_on_after(timeout):
            # What it has in hand comes first; then what came where no loop ran.
            if task is not None and task.get_loop() is loop:
                await asyncio.wait({task})
            await self._run()
        if task is not None:
            end_task(task)
        if self._untold:
            logger.warning("shutdown ended before the providers were told of %d turns; they are stored", self._untold)
        for provider in (self._ui if self._has_ui else None, self._system):
            if provider is not None:
                left = max(0.05, min(HOOK_SECONDS, deadline - time.monotonic()))
                await self._call(provider, "shutdown", limit=left)

    async def _run(self) -> None:
        while self._work:
            context, work = self._work.popleft()
            await start_task(work, "lumina-hook", context)

    def _keep(self, context: TurnContext, ref: Any) -> None:
        refs, turn_id = self._refs, context.turn_id
        # Each step is one that no other thread can interrupt: the callback runs wherever garbage is collected.
        refs[turn_id] = weakref.ref(context, lambda _: refs.pop(turn_id, None)), ref
        if len(refs) > MAX_OPEN:
            refs.popitem(last=False)

    async def _tell_one(self, provider: Any, method: str, *args: Any) -> None:
        await self._call(provider, method, *args)

    async def _end_turn(self, context: TurnContext, event: TurnEvent, line: bytes | None) -> None:
        await self._tell_end(context, event, line)
        # One that is cancelled on the way, as at the deadline of a shutdown, stays counted.
        self._untold -= 1

    async def _tell_end(self, context: TurnContext, event: TurnEvent, line: bytes | None) -> None:
        facts = None if line is None else orjson.loads(line)
        if self._has_ui:
            await self._call(self._ui, "untag_turn", context)
            if facts is not None:
                await self._call(self._ui, "turn_ended", context, facts)
        if self._system is None or (kept := self._refs.pop(context.turn_id, None)) is None:
            return
        if facts is not None:
            await self._call(self._system, "turn_ended", context, facts)
        await self._tell_calls(context, event, kept[1])

    async def _tell_calls(self, context: TurnContext, event: TurnEvent, ref: Any) -> None:
        for llm in event.llm:
            about = {"prompt_id": llm.prompt_id, "provider": llm.provider, "outcome": llm.outcome}
            await self._span(context, ref, "llm", llm.model or "model", llm.call, about)
        for tool in event.tools:
            about = {"type": tool.type, "target": tool.target, "version": tool.version}
            await self._span(context, ref, "tool", tool.name, tool.call, about)
        error = None if event.error is None else event.error.type
        ended_ns, latency_ms = event.started_ns + event.latency_ns, event.latency_ns / 1e6
        meta = {"ended_ns": ended_ns, "latency_ms": latency_ms, "error": error}
        await self._call(self._system, "end_turn", ref, event.status.value, meta)

    async def _span(
        self, turn: TurnContext, ref: Any, kind: Literal["llm", "tool"], name: str, call: Call, about: dict[str, Any]
    ) -> None:
        context = SpanContext(
            turn=turn, turn_ref=ref, span_id=call.span_id, kind=kind, name=name, started_ns=call.started_ns
        )
        ended_ns = call.started_ns + (call.ended or call.began) - call.began
        meta = {"ended_ns": ended_ns, "error": call.error and call.error.type, **about}
        span = await self._call(self._system, "start_span", context)
        await self._call(self._system, "end_span", span, call.status.value, meta)

    async def _call(self, provider: Any, method: str, *args: Any, limit: float | None = None) -> Any:
        """Return what a hook gives, or None where it is missing, fails, or has failed five times in a row."""
        hook, key = getattr(provider, method, None), f"{provider.name}.{method}"
        if hook is None or self._failures[key] >= MAX_FAILURES:
            return None
        seconds = HOOK_SECONDS if limit is None else limit
        started, why = time.monotonic(), f"took longer than {seconds:.2g} s"
        try:
            with anyio.move_on_after(seconds):
                result = hook(*args)
                result = await result if hasattr(result, "__await__") else result
                # A hook that blocks cannot be interrupted, but it is noticed.
                if time.monotonic() - started <= seconds:
                    self._failures[key] = 0
                    return result
        except asyncio.CancelledError:
            # Of whoever runs the hook: it passes. Else the hook waited for something of its own that was cancelled.
            if _is_cancelled():
                raise
            why = "raised CancelledError"
        # The provider is the user's or another package's, and may raise anything.
        except Exception as error:  # noqa: BLE001
            why = f"raised {type(error).__name__}"
        self._failures[key] += 1
        self._once.warn(f"hook {key}", "the hook %s %s; turns go on without it", key, why)
        if self._failures[key] == MAX_FAILURES:
            logger.warning("the hook %s failed %d times in a row and is not called any more", key, MAX_FAILURES)
        return None


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
