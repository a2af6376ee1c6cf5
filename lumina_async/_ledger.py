"""Where every event is. One function moves events between places, so the sum always closes."""

import threading
from collections import Counter, deque
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

import attrs


class Place(StrEnum):
    """Where an event is; it is in exactly one place."""

    BORN = "born"
    """It has just happened in this process."""
    ADOPTED = "adopted"
    """It was found on disk, where another process left it."""
    QUEUED = "queued"
    """In memory, waiting for a batch."""
    IN_FLIGHT = "in_flight"
    """In a batch that is being sent."""
    SPOOLED = "spooled"
    """On disk, and not in memory."""
    STORED = "stored"
    """The server has answered for it."""
    SAMPLED_OUT = "sampled_out"
    """Left out by sampling."""
    LOST = "lost"
    """Gone, under a reason."""


class Reason(StrEnum):
    """Why an event was lost. The words are fixed: they are on the wire (SPEC section 9)."""

    QUEUE_OVERFLOW = "queue_overflow"
    TOO_LARGE = "too_large"
    REJECTED = "rejected"
    SERIALIZE = "serialize"
    UNFINISHED = "unfinished"
    NOT_INITIALISED = "not_initialised"
    AFTER_SHUTDOWN = "after_shutdown"
    SHUTDOWN_TIMEOUT = "shutdown_timeout"
    SPOOL_FULL = "spool_full"
    SPOOL_CORRUPT = "spool_corrupt"
    INTERNAL = "internal"


@attrs.frozen(kw_only=True)
class Stats:
    """The ledger of one client at one moment.

    Always: `captured + adopted == stored + queued + in_flight + spooled + lost_total`.

    Attributes:
        captured: Events that happened in this process.
        adopted: Events taken over from another process's spool.
        stored: Events that the server has answered for.
        queued: Events that wait in memory.
        in_flight: Events in a batch that is being sent.
        spooled: Events on disk and not in memory.
        sampled_out: Events that sampling left out; they are not part of `captured`.
        open_turns: Turns whose block has ended while a stream of theirs is still open.
        paused: The server refuses everything (a wrong key or path); events are kept, one is tried each minute.
        spool: How events reach the disk: `"off"` (no `spool_dir`), `"direct"` (before `finish` returns), `"slow"`
            (moments later, from a thread) or `"failing"` (not at all: they wait in memory).
        lost: Events that are gone, by reason; only reasons that occurred.
    """

    captured: int
    adopted: int
    stored: int
    queued: int
    in_flight: int
    spooled: int
    sampled_out: int
    open_turns: int
    paused: bool
    spool: str
    lost: Mapping[str, int]

    @property
    def lost_total(self) -> int:
        """All lost events."""
        return sum(self.lost.values())

    @property
    def waiting(self) -> int:
        """Events in memory that have no ending yet."""
        return self.queued + self.in_flight


class Ledger:
    """Counts the events of one client, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places: dict[Place, int] = dict.fromkeys(Place, 0)
        self._lost: Counter[str] = Counter()
        self._born = self._adopted = 0
        self._moves: deque[tuple[int, Place, Place, Reason | None]] = deque()

    def move(self, count: int, source: Place, target: Place, reason: Reason | None = None) -> None:
        """Move that many events; `reason` goes with `Place.LOST` and with nothing else.

        Nobody waits here: a signal handler or a finalizer may end a turn in the middle of another `move` on its thread.
        Whoever has the lock writes down what others left meanwhile.
        """
        self._moves.append((count, source, target, reason))
        while self._moves and self._lock.acquire(blocking=False):
            try:
                self._write_down()
            finally:
                self._lock.release()

    def _write_down(self) -> None:
        while self._moves:
            count, source, target, reason = self._moves.popleft()
            if source is Place.BORN:
                self._born += count
            elif source is Place.ADOPTED:
                self._adopted += count
            else:
                self._places[source] -= count
            if reason is None:
                self._places[target] += count
            else:
                self._lost[reason.value] += count

    @property
    def lost_total(self) -> int:
        """All lost events."""
        with self._lock:
            self._write_down()
            return sum(self._lost.values())

    def stats(self, *, open_turns: int = 0, paused: bool = False, spool: str = "off") -> Stats:
        """Return the counts of this moment."""
        with self._lock:
            self._write_down()
            return Stats(
                captured=self._born - self._places[Place.SAMPLED_OUT],
                adopted=self._adopted,
                stored=self._places[Place.STORED],
                queued=self._places[Place.QUEUED],
                in_flight=self._places[Place.IN_FLIGHT],
                spooled=self._places[Place.SPOOLED],
                sampled_out=self._places[Place.SAMPLED_OUT],
                open_turns=open_turns,
                paused=paused,
                spool=spool,
                lost=MappingProxyType(dict(self._lost)),
            )
