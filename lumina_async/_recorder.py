"""Between the turns and the flusher: an event becomes a line and is offered, or is lost under a reason."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import StrEnum
from typing import Any

import attrs

from lumina_async._config import LuminaConfig, Sampling
from lumina_async._encode import Encoder
from lumina_async._events import Event, EventName, Origin, PlainEvent, SdkReport
from lumina_async._handover import running_loop
from lumina_async._hooks import ProviderHooks
from lumina_async._ledger import Ledger, Place, Reason, Stats
from lumina_async._log import Once, logger
from lumina_async._privacy import Privacy, warm
from lumina_async._protocols import CaptureTranscript, Clock
from lumina_async._seam import Held
from lumina_async._tokens import derive_key, keyed_hash
from lumina_async._trace import is_sampled, new_event_id, new_span_id

HOLD_S = 60.0


class State(StrEnum):
    """What becomes of an event."""

    NEW = "new"
    """Before `init`: lost as `not_initialised`."""
    RUNNING = "running"
    """Written and offered to the flusher."""
    DISABLED = "disabled"
    """Not even counted: `enabled=False`."""
    CLOSED = "closed"
    """After `shutdown`: lost as `after_shutdown`."""


_NOTHING = Privacy(CaptureTranscript.NONE)
_ALL = Sampling(turn=1.0, ui_event=1.0, span=1.0)
_UI_EVENTS = {EventName.CHAT_INPUT_STARTED, EventName.CHAT_MESSAGE_SUBMITTED, EventName.CHAT_INPUT_ABANDONED}
_OF_SESSIONS = {EventName.TURN, EventName.SESSION_STARTED}
_LOST_IN = {
    State.NEW: (Reason.NOT_INITIALISED, "nothing is recorded before Lumina.init(...): await it when the app starts"),
    State.CLOSED: (Reason.AFTER_SHUTDOWN, "nothing is recorded after Lumina.shutdown(): await it last, or init again"),
}


@attrs.define(eq=False, repr=False)
class Recorder:
    """Where the turns and sessions of one client, in all its lives, hand in their events."""

    clock: Clock
    once: Once = attrs.Factory(Once)
    ledger: Ledger = attrs.Factory(Ledger)
    state: State = State.NEW
    privacy: Privacy = _NOTHING
    hooks: ProviderHooks | None = None
    records_tools: bool = True
    forked_ns: int = -1
    client_id: str = attrs.Factory(new_span_id)
    _encoder: Encoder = attrs.Factory(lambda: Encoder(0))
    _offer: Callable[[str, bytes], None] | None = None
    _held: dict[Held, asyncio.TimerHandle | None] = attrs.Factory(dict[Held, asyncio.TimerHandle | None])
    _sampling: Sampling = attrs.Factory(Sampling)
    _samples_all: bool = True
    _hash_key: bytes = b""
    _reported: int = 0
    _endings: deque[Callable[[], None]] = attrs.Factory(deque[Callable[[], None]])
    _is_catching_up: bool = False
    _home: asyncio.AbstractEventLoop | None = None

    def begin(self, config: LuminaConfig, offer: Callable[[str, bytes], None] | None) -> None:
        """Record from now on by this configuration; without `offer`, nothing."""
        self._offer, self.records_tools = offer, config.enable_tool_wrapping
        self.state = State.DISABLED if offer is None else State.RUNNING
        self._sampling, self._samples_all = config.sampling, config.sampling == _ALL
        self._hash_key = derive_key(config.write_key.reveal(), "chat_input")
        self._encoder = Encoder(config.max_event_bytes, config.environment, config.release)
        if offer is not None:
            warm()
            providers = config.ui_analytics, config.system_analytics
            self.hooks = ProviderHooks(*providers, config.sampling.span, self.once)
        if offer is None:
            self.privacy = _NOTHING
        elif config.mask_fn is None:
            self.privacy = Privacy(config.capture_transcript, once=self.once)
        else:
            self.privacy = Privacy(config.capture_transcript, config.mask_fn, self.once)

    def release_held(self) -> None:
        """Offer the turns that still wait for a stream."""
        self._catch_up()
        for draft in list(self._held):
            draft.release()

    def forget(self) -> None:
        """Begin with empty books in the child of a fork; what was under way there is the parent's to tell."""
        self.ledger, self.client_id = Ledger(), new_span_id()
        self._held, self._reported, self._home = {}, 0, None
        self._endings.clear()
        self.forked_ns = self.clock.monotonic_ns()

    def end(self) -> None:
        """Offer the turns that still wait for a stream, then record nothing more."""
        self.release_held()
        self.state, self._offer, self.privacy, self.hooks = State.CLOSED, None, _NOTHING, None

    def submit(self, event: Event) -> bytes | None:
        """Write an event and offer it, without waiting; return its line, where one goes out.

        Never raises: it is called on the way out of a turn.
        """
        if self._endings:
            self._catch_up()
        line = None
        if self._offer is None:
            self._miss()
        elif self._samples_all or self._is_sampled(event):
            try:
                line = self._encoder.line(event)
            # A value that got past every conversion costs its event, never the application.
            except Exception as error:  # noqa: BLE001
                self._lose(event, Reason.SERIALIZE, type(error).__name__)
                return None
            if line is None:
                self._lose(event, Reason.TOO_LARGE, "its metadata alone is larger than max_event_bytes")
            else:
                self._offer(event.event_id, line)
        return line

    def emit(self, name: EventName, origin: Origin, fields: Mapping[str, Any]) -> None:
        """Submit an event of this moment; fields that are None are left out."""
        now = self.clock.wall_ns()
        self.submit(PlainEvent(event_id=new_event_id(now), name=name, origin=origin, at_ns=now, fields=fields))

    def hash_digest(self, digest: str) -> str:
        """Return a hash of a text's digest under a key of the project's.

        Equal texts are seen to be equal, and nothing else; a bare digest would tell short ones to whoever guesses.
        """
        return keyed_hash(self._hash_key, digest)

    def samples(self, name: EventName, origin: Origin) -> bool:
        """Return whether events of this kind are recorded for this session, or without one for this person."""
        rate = 1.0
        if name in _UI_EVENTS:
            rate = self._sampling.ui_event
        elif name in _OF_SESSIONS:
            rate = self._sampling.turn
        return is_sampled(origin.trace_id or origin.distinct_id, rate)

    def _is_sampled(self, event: Event) -> bool:
        if isinstance(event, SdkReport):
            return True
        if self.samples(event.name if isinstance(event, PlainEvent) else EventName.TURN, event.origin):
            return True
        self.ledger.move(1, Place.BORN, Place.SAMPLED_OUT)
        return False

    def _miss(self) -> None:
        if self.state in _LOST_IN:
            reason, hint = _LOST_IN[self.state]
            self.once.warn(reason.value, hint)
            self.ledger.move(1, Place.BORN, Place.LOST, reason)

    def _lose(self, event: Event, reason: Reason, why: str) -> None:
        self.once.warn(reason.value, "event %s is lost as %s: %s", event.event_id, reason.value, why)
        self.ledger.move(1, Place.BORN, Place.LOST, reason)

    def hold(self, draft: Held) -> None:
        """Keep a turn whose stream is still open, for a minute at most."""
        self._home = loop = running_loop()
        self._held[draft] = None if loop is None else loop.call_later(HOLD_S, draft.release)
        self._catch_up()

    def let_go(self, draft: Held) -> bool:
        """Forget a held turn; tell whether it was held, which is true for one of all who ask."""
        try:
            timer = self._held.pop(draft)
        except KeyError:
            return False
        if timer is not None:
            timer.cancel()
        return True

    def soon(self, ending: Callable[[], None]) -> None:
        """End a call at the next occasion; the garbage collector calls this, in the middle of anything."""
        self._endings.append(ending)
        if self._held and self._home is not None:
            # A turn may wait for just this, on a loop that has nothing else to do.
            with suppress(RuntimeError):
                self._home.call_soon_threadsafe(self._catch_up)

    def _catch_up(self) -> None:
        # Each of them submits an event, and comes here again.
        if self._is_catching_up:
            return
        self._is_catching_up = True
        try:
            while self._endings:
                try:
                    end = self._endings.popleft()
                # Another thread has taken the last one this moment.
                except IndexError:
                    return
                end()
        finally:
            self._is_catching_up = False

    def unfinished(self, began_ns: int) -> None:
        """Count a turn that was collected before it was finished."""
        if self.state is not State.DISABLED and began_ns > self.forked_ns:
            self.ledger.move(1, Place.BORN, Place.LOST, Reason.UNFINISHED)
            logger.debug("a turn was dropped without finish(): use `async with`, or try/finally")

    def stats(self, *, paused: bool = False, spool: str = "off") -> Stats:
        """Return the ledger of this moment."""
        self._catch_up()
        return self.ledger.stats(open_turns=len(self._held), paused=paused, spool=spool)

    def report(self) -> tuple[int, bytes] | None:
        """Return how many are lost and the line that tells the server, or None while there is nothing new to tell."""
        lost = self.ledger.lost_total
        if lost == self._reported:
            return None
        stats, now = self.stats(), self.clock.wall_ns()
        counts = attrs.asdict(stats, filter=lambda field, _: field.name not in {"lost", "paused", "spool"})
        report = SdkReport(
            event_id=new_event_id(now), client_id=self.client_id, at_ns=now, ledger=counts, lost=stats.lost
        )
        line = self._encoder.line(report)
        return None if line is None else (lost, line)

    def reported(self, lost: int) -> None:
        """Note that the report of so many arrived; one that was overtaken says nothing new."""
        self._reported = max(self._reported, lost)
