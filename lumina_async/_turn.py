"""One exchange of a user and an assistant: what happens in it is collected here and becomes one event."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from enum import StrEnum
from types import TracebackType
from typing import Any, Protocol, TypeVar, overload

import attrs
import orjson

from lumina_async._calls import Call, run_once
from lumina_async._endings import error_info, outcome_of, status_of, status_of_outcome
from lumina_async._events import ErrorInfo, Event, Origin, Outcome, Status, TurnEvent
from lumina_async._identity import current_turn, set_current_turn
from lumina_async._log import Once, logger
from lumina_async._privacy import Privacy
from lumina_async._protocols import Clock
from lumina_async._stream import is_async_stream, is_sync_stream, watched
from lumina_async._trace import new_event_id, new_span_id, traceparent
from lumina_async._values import identifier

T = TypeVar("T")
StreamT = TypeVar("StreamT", bound=AsyncIterator[Any])


class Recorder(Protocol):
    """What a turn needs of its client; it knows no queue."""

    privacy: Privacy
    clock: Clock
    once: Once

    def submit(self, event: Event) -> None:
        """Take an event, without waiting."""

    def hold(self, turn: "Turn") -> None:
        """Keep a turn whose stream is still open, for a minute at most; then its `release` is called."""

    def let_go(self, turn: "Turn") -> None:
        """Forget a held turn."""

    def unfinished(self) -> None:
        """Count a turn that was collected before it was finished. Called by the garbage collector."""


class TurnState(StrEnum):
    """How far a turn is."""

    OPEN = "open"
    """It collects."""
    HELD = "held"
    """It has ended, and waits for a stream of its own."""
    FINISHED = "finished"
    """Its event was offered; whatever comes now is ignored."""


class Turn:
    """One user message and the assistant's reply.

    Use it by `async with session.turn() as t:`, or by hand with `await t.finish()` in a `finally`. Leaving the block,
    or `finish`, offers one event to the queue and never waits for the network; a turn whose stream is still open waits
    for its end, a minute at most. Every method may be called at any time and from several tasks; after the end it does
    nothing, but a wrapped function always runs. A cancelled turn tells no error: nothing went wrong, and the message of
    a cancellation (anyio's, a framework's) names tasks and files of the machine.

    Attributes:
        turn_id: 16 hex digits, the W3C span id of this turn.
        seq: 1, 2, 3 within a session, as far as this process knows it; across workers a hint.
        parent: The turn that was current when this one began, or None.
    """

    def __init__(self, recorder: Recorder, origin: Origin, seq: int) -> None:
        self._recorder, self._origin = recorder, origin
        self.turn_id, self.seq, self.parent = new_span_id(), seq, current_turn()
        self._parent_id = self.parent.turn_id if self.parent is not None else None
        self._state = TurnState.OPEN
        self._is_block = False
        self._calls: list[Call] = []
        self._messages: orjson.Fragment | None = None
        self._annotations: dict[str, orjson.Fragment] = {}
        self._notes: set[str] = set()
        self._error: ErrorInfo | None = None
        self._status: Status | None = None
        self._started_ns, self._began = recorder.clock.wall_ns(), recorder.clock.monotonic_ns()

    @property
    def traceparent(self) -> str:
        """The W3C `traceparent` header value for calls made within this turn."""
        return traceparent(self._origin.trace_id or "", self.turn_id)

    @property
    def is_finished(self) -> bool:
        """Whether the turn has ended; one that is held for its stream has."""
        return self._state is not TurnState.OPEN

    async def __aenter__(self) -> "Turn":
        self._started_ns, self._began = self._recorder.clock.wall_ns(), self._recorder.clock.monotonic_ns()
        self._is_block = True
        set_current_turn(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Nothing is awaited here: under FastAPI every await after a client's disconnect raises again.
        if current_turn() is self:
            set_current_turn(self.parent)
        self.finish_nowait(error)

    @overload
    async def wrap_llm(
        self, fn: Callable[[], Awaitable[T]], meta: Mapping[str, Any] | None = None, /, **more: Any
    ) -> T: ...
    @overload
    async def wrap_llm(self, fn: Awaitable[T], meta: Mapping[str, Any] | None = None, /, **more: Any) -> T: ...
    @overload
    async def wrap_llm(self, fn: StreamT, meta: Mapping[str, Any] | None = None, /, **more: Any) -> StreamT: ...
    @overload
    async def wrap_llm(self, fn: Callable[[], T], meta: Mapping[str, Any] | None = None, /, **more: Any) -> T: ...
    async def wrap_llm(self, fn: Any, meta: Mapping[str, Any] | None = None, /, **more: Any) -> Any:
        """Run a call of a model and record its latency, its error and, for a stream, its chunks.

        Args:
            fn: An async callable, an awaitable, a plain callable or an async iterator. It runs exactly once, also when
                nothing is recorded.
            meta: `model`, `prompt_id`, `provider`, and anything else as metadata.
            more: The same as keywords, which win over the mapping.

        Returns:
            The very object that `fn` gave. An iterator comes back as a proxy that passes for it.

        Raises:
            BaseException: The very exception that `fn` raised.
        """
        if not self._collects("wrap_llm"):
            return await run_once(fn, self._recorder.once)
        call = await self._begin({**meta, **more} if meta else more)
        try:
            result = await run_once(fn, self._recorder.once)
        except BaseException as error:
            self._end(call, error)
            raise
        if is_async_stream(result) or is_sync_stream(result):
            call.streaming = True
            return watched(result, _StreamWatch(self, call))
        call.end(self._recorder.clock.monotonic_ns(), Status.OK)
        self._call_ended(call)
        return result

    async def set_messages(self, messages: Any) -> None:
        """Give the transcript of this exchange; a later call replaces it.

        Args:
            messages: `Message` objects or mappings like `{"role": "user", "content": "..."}`; see `Message` for what
                content may be. They are read now, so changing them later changes nothing. What leaves depends on
                `capture_transcript`.
        """
        if self._collects("set_messages"):
            self._messages = await self._recorder.privacy.messages(messages, self._notes)

    async def annotate(self, data: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Add facts of your own; of two with one key the last wins.

        Args:
            data: Any JSON-like values; what JSON cannot hold is converted, never by `repr`. The page knows
                `ui_session_id`, `ui_replay_url`, `feedback`, `feedback_score`, `helpful`, `flagged` and `usage`.
            more: The same as keywords, which win over the mapping.
        """
        if self._collects("annotate"):
            for key, value in {**(data or {}), **more}.items():
                name = identifier(key) or "_"
                self._annotations[name] = await self._recorder.privacy.metadata(value, self._notes)

    async def finish(self, error: BaseException | None = None) -> None:
        """End the turn: what `async with` does by itself. A second call does nothing; the network is never waited for.

        Args:
            error: What went wrong, when the app knows better than the last call of a model does.
        """
        self.finish_nowait(error)

    def finish_nowait(self, error: BaseException | None = None) -> None:
        """End the turn from code that cannot await. See `finish`."""
        if self._state is not TurnState.OPEN:
            return
        if error is not None:
            self._status = status_of(error)
            self._error = self._told(error) if self._status is Status.ERROR else None
            for call in self._calls:
                if call.is_open:
                    self._end(call, error)
        elif self._is_block:
            self._status = Status.OK
        if any(call.is_open for call in self._calls):
            self._state = TurnState.HELD
            self._recorder.hold(self)
            return
        self._offer()

    def release(self) -> None:
        """Offer a held turn although its stream is still open: it waited long enough, or the client shuts down."""
        for call in list(self._calls):
            self._stream_ended(call, Outcome.ABANDONED)

    def __del__(self) -> None:
        if getattr(self, "_state", None) is TurnState.OPEN:
            self._recorder.unfinished()

    def _collects(self, method: str) -> bool:
        if self._state is TurnState.FINISHED:
            logger.debug("%s after the end of turn %s: not recorded", method, self.turn_id)
        return self._state is not TurnState.FINISHED

    async def _begin(self, meta: dict[str, Any]) -> Call:
        model, prompt_id, provider = (identifier(meta.pop(key, None)) for key in ("model", "prompt_id", "provider"))
        fragment = await self._recorder.privacy.metadata(meta, self._notes) if meta else None
        clock = self._recorder.clock
        call = Call(new_span_id(), clock.wall_ns(), clock.monotonic_ns(), model, prompt_id, provider, fragment)
        self._calls.append(call)
        return call

    def _told(self, error: BaseException) -> ErrorInfo:
        return error_info(error, self._recorder.clock.wall_ns(), self._recorder.privacy.error_message)

    def _end(self, call: Call, error: BaseException) -> None:
        outcome = outcome_of(error) if call.streaming else None
        status = status_of(error) if outcome is None else status_of_outcome(outcome)
        told = self._told(error) if status is Status.ERROR else None
        call.end(self._recorder.clock.monotonic_ns(), status, outcome=outcome, error=told)
        self._call_ended(call)

    def _stream_ended(self, call: Call, ending: BaseException | Outcome) -> None:
        if not call.is_open:
            return
        if isinstance(ending, Outcome):
            call.end(self._recorder.clock.monotonic_ns(), status_of_outcome(ending), outcome=ending)
            self._call_ended(call)
        else:
            self._end(call, ending)

    def _call_ended(self, call: Call) -> None:
        """Offer a held turn with the last of its calls, and as that one ended."""
        if self._state is TurnState.HELD and not any(call.is_open for call in self._calls):
            self._status, self._error = call.status, call.error
            self._offer()

    def _offer(self) -> None:
        self._state = TurnState.FINISHED
        recorder, now, wall = self._recorder, self._recorder.clock.monotonic_ns(), self._recorder.clock.wall_ns()
        recorder.let_go(self)
        by_hand = self._calls[-1].status if self._calls else Status.OK
        event = TurnEvent(
            event_id=new_event_id(wall),
            origin=self._origin,
            turn_id=self.turn_id,
            parent_id=self._parent_id,
            seq=self.seq,
            status=self._status or by_hand,
            started_ns=self._started_ns,
            latency_ns=now - self._began,
            capture=recorder.privacy.mode.value,
            llm=tuple(call.fact(now) for call in self._calls),
            messages=self._messages,
            annotations=self._annotations,
            error=self._error,
            notes=tuple(sorted(self._notes)),
        )
        self._calls, self._messages, self._annotations = [], None, {}
        recorder.submit(event)


@attrs.frozen(eq=False)
class _StreamWatch:
    """Carries what a proxy sees to its turn. The proxy holds the turn, never the other way round."""

    turn: Turn
    call: Call

    @property
    def is_open(self) -> bool:
        return self.call.is_open

    def chunk(self) -> None:
        self.call.chunk(self.turn._recorder.clock.monotonic_ns())

    def end(self, ending: BaseException | Outcome) -> None:
        self.turn._stream_ended(self.call, ending)
