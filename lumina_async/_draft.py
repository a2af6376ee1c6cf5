"""A turn in the making: what was collected, what still runs, and when it becomes an event."""

from asyncio import CancelledError
from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import chain
from typing import Any, Literal

import attrs
import orjson

from lumina_async._calls import keep_said_nowait, said_in, see_failure
from lumina_async._endings import (
    error_info,
    is_stream,
    left_because,
    left_behind,
    read_ending,
    see_deadline,
    status_of,
)
from lumina_async._events import Call, ErrorInfo, LlmCall, Origin, Outcome, Status, ToolRun, TurnEvent, Ui
from lumina_async._handover import running_loop
from lumina_async._log import logger
from lumina_async._protocols import CaptureTranscript, TurnContext
from lumina_async._seam import Recorder
from lumina_async._trace import new_event_id, new_span_id

Fact = LlmCall | ToolRun

# Calling an alias like `list[LlmCall]` costs four times what calling `list` does, and there are six for every turn.
_list: Any = list
_dict: Any = dict
_set: Any = set


class TurnState(StrEnum):
    """How far a turn is."""

    OPEN = "open"
    """It collects."""
    HELD = "held"
    """It has ended, and waits for a stream of its own."""
    FINISHED = "finished"
    """Its event was offered; whatever comes now is ignored."""


@attrs.define(eq=False, repr=False)
class Draft:
    """Everything about one turn until its event is offered."""

    recorder: Recorder
    origin: Origin
    seq: int
    parent_id: str | None
    links: Sequence[Mapping[str, str]] = ()
    turn_id: str = attrs.Factory(new_span_id)
    state: TurnState = TurnState.OPEN
    is_block: bool = False
    started_ns: int = 0
    began: int = 0
    llm: list[LlmCall] = attrs.Factory(_list)
    tools: list[ToolRun] = attrs.Factory(_list)
    retrievals: list[orjson.Fragment] = attrs.Factory(_list)
    messages: orjson.Fragment | None = None
    annotations: dict[str, orjson.Fragment] = attrs.Factory(_dict)
    notes: set[str] = attrs.Factory(_set)
    is_untold: bool = False
    _calls: list[Call] = attrs.Factory(_list)
    _status: Status | None = None
    _error: ErrorInfo | None = None
    _context: TurnContext | None = None
    _ui: Ui | None = None

    def begin(self) -> None:
        """Take the time from here on."""
        clock, hooks = self.recorder.clock, self.recorder.hooks
        self.started_ns, self.began = clock.wall_ns(), clock.monotonic_ns()
        self.is_untold = hooks is not None and hooks.watch_turns and self._context is None

    def is_over(self) -> bool:
        """Tell whether the turn has ended; one that is held for its stream has."""
        return self.state is not TurnState.OPEN

    def collects(self, method: str) -> bool:
        """Tell whether anything may still be added; a turn that waits for its stream still collects."""
        if self.state is TurnState.FINISHED:
            logger.debug("%s after the end of turn %s: not recorded", method, self.turn_id)
        return self.state is not TurnState.FINISHED

    def takes(self, kind: Literal["llm", "tool"]) -> bool:
        """Tell whether a call of this kind is to be recorded."""
        return (kind == "llm" or self.recorder.records_tools) and self.collects(kind)

    async def tell_start(self) -> None:
        """Tell the providers, once, that this turn begins."""
        hooks, self.is_untold = self.recorder.hooks, False
        if hooks is not None:
            self._context = TurnContext(
                turn_id=self.turn_id,
                seq=self.seq,
                session_id=self.origin.session_id,
                trace_id=self.origin.trace_id,
                parent_id=self.parent_id,
                distinct_id=self.origin.distinct_id,
                anonymous=self.origin.anonymous,
                started_ns=self.started_ns,
                links=self.links,
            )
            self._ui = await hooks.start_turn(self._context)

    def add(self, fact: Fact) -> None:
        """Add a call that begins now."""
        self._calls.append(fact.call)
        if isinstance(fact, LlmCall):
            fact.takes_content = fact.takes_content and self.recorder.privacy.mode is not CaptureTranscript.NONE
            self.llm.append(fact)
        else:
            self.tools.append(fact)

    def returned(self, fact: Fact, now: int) -> None:
        """End a call that returned, with what its response said kept already."""
        if self.state is TurnState.HELD:
            self.ended(fact, None, now)
        elif fact.call.ended is None:
            fact.call.ended = now
            if isinstance(fact, LlmCall) and fact.answer is not None:
                see_failure(fact, self.recorder.privacy, self.recorder.clock)

    def closed(self, fact: Fact) -> None:
        """End a stream that a framework has closed: by the app's choice, or because of what will now leave the turn."""
        fact.call.closed = self.recorder.clock.monotonic_ns()
        if self.state is not TurnState.OPEN:
            self.ended(fact, Outcome.STOPPED)

    def ended(self, fact: Fact, ending: BaseException | Outcome | None, now: int | None = None) -> None:
        """End a call, once: by an exception, as its stream ended, or with None because it returned."""
        call = fact.call
        if call.ended is not None:
            return
        status, outcome = read_ending(fact, ending)
        call.cancelled_by = id(ending) if isinstance(ending, CancelledError) else 0
        told = self._told(ending) if isinstance(ending, BaseException) and status is Status.ERROR else None
        call.end(self.recorder.clock.monotonic_ns() if now is None else now, status, told)
        if isinstance(fact, LlmCall):
            fact.outcome = outcome
            if (said := said_in(fact)) is not None:
                keep_said_nowait(fact, said, self.recorder.privacy, self.notes)
        see_failure(fact, self.recorder.privacy, self.recorder.clock)
        if self.state is TurnState.HELD:
            self._offer_held()

    def leave(self, error: BaseException | None) -> None:
        """End the turn: offer it now, or hold it for a call or a stream of its own that still runs."""
        if self.state is not TurnState.OPEN:
            return
        if self.began <= self.recorder.forked_ns:
            # It began before a fork, and this is the child: the parent tells how it ends.
            self.state = TurnState.FINISHED
            return
        if error is not None:
            self._status = status_of(error)
            self._error = self._told(error) if self._status is Status.ERROR else None
            self._end_all(error)
        elif self.is_block:
            self._status = Status.OK
        if self._is_running():
            self._end_left_behind()
        if self._is_running():
            self.recorder.hold(self)
            self.state = TurnState.HELD
            self._watch_openers()
            # The last of them may have ended this moment, in another thread.
            self._offer_held()
        else:
            self._offer()

    def _end_all(self, error: BaseException) -> None:
        """End what runs when an exception leaves the turn; a deadline is why what it cancelled has ended."""
        for fact in chain[Fact](self.llm, self.tools):
            self.ended(fact, left_because(error) if is_stream(fact) else error, fact.call.closed)
        see_deadline(error, self.llm)

    def _end_left_behind(self, _: object = None) -> None:
        """End what was left and never told so."""
        for fact in chain[Fact](self.llm, self.tools):
            if (ending := left_behind(fact)) is not None:
                self.ended(fact, ending, fact.call.closed)

    def _is_running(self) -> bool:
        """Tell whether any call has not ended. Asked, not counted: calls end in any thread."""
        return None in [call.ended for call in self._calls]

    def _watch_openers(self) -> None:
        """End what frameworks still run when their tasks do, if they do not tell."""
        for fact in chain[Fact](self.llm, self.tools):
            opener = fact.call.opener
            if fact.call.ended is None and opener is not None and opener.get_loop() is running_loop():
                opener.add_done_callback(self._end_left_behind)

    def release(self) -> None:
        """Offer a held turn although its stream is still open: it waited long enough, or the client shuts down."""
        self._end_left_behind()
        for fact in chain[Fact](self.llm, self.tools):
            self.ended(fact, Outcome.ABANDONED)

    def _told(self, error: BaseException) -> ErrorInfo:
        return error_info(error, self.recorder.clock.wall_ns(), self.recorder.privacy.error_message)

    def _offer_held(self) -> None:
        """Offer a held turn with the last of its calls, and as that one ended; once, whichever thread ends it."""
        if not self._is_running() and self.recorder.let_go(self):
            last = max(self._calls, key=lambda call: call.ended or 0)
            self._status, self._error = last.status, last.error
            self._offer()

    def _offer(self) -> None:
        recorder = self.recorder
        self.state = TurnState.FINISHED
        event = TurnEvent(
            event_id=new_event_id(recorder.clock.wall_ns()),
            origin=self.origin,
            turn_id=self.turn_id,
            parent_id=self.parent_id,
            seq=self.seq,
            status=self._status or (self._calls[-1].status if self._calls else Status.OK),
            started_ns=self.started_ns,
            latency_ns=recorder.clock.monotonic_ns() - self.began,
            capture=recorder.privacy.mode.value,
            llm=self.llm,
            tools=self.tools,
            retrievals=self.retrievals,
            messages=self.messages,
            annotations=self.annotations,
            ui=self._ui,
            links=self.links,
            error=self._error,
            notes=sorted(self.notes) if self.notes else (),
        )
        # What follows the end belongs to no event; and nothing of the content outlives it here.
        self.llm, self.tools, self.retrievals, self._calls = [], [], [], []
        self.messages, self.annotations = None, {}
        line = recorder.submit(event)
        if self._context is not None and recorder.hooks is not None:
            recorder.hooks.end_turn(self._context, event, line)
