"""How a line gets on disk: by one write where its turn ends, and what happens when the disk is slow, full or broken."""

import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

import attrs

from lumina_async._batch import Line
from lumina_async._log import Once
from lumina_async._segment import Disk, Segment, record
from lumina_async._spool_folder import SpoolError

SEGMENT_BYTES = 1 << 20
RETRY_S = 5.0
SLOW_S = 0.005
# One slow write may be a busy processor; a stalled disk is slow each time.
SLOW_WRITES = 2


class SpoolState(StrEnum):
    """How lines reach the disk."""

    OFF = "off"
    """There is no spool."""
    DIRECT = "direct"
    """By one write before `finish` returns."""
    SLOW = "slow"
    """Moments later, from a thread: the disk is slow, and the app does not wait for it."""
    FAILING = "failing"
    """Not at all: the disk is full or cannot be used. Events wait in memory, and it is tried again each 5 s."""


@attrs.define(eq=False)
class SpoolWriter:
    """Appends lines to segments, from any thread.

    Args:
        new_path: Names the next file; raises `OSError` where there can be none.
        max_bytes: Beyond it nothing more is written.
        once: Where a condition is logged.
        disk: What writes.

    Attributes:
        size: Of all segments, in bytes.
        segments: Those with lines in memory, and those that were not removed yet.
        backlog: Those whose lines are not in memory, oldest first.
        has_new_names: Whether files were made since the folder was last synced.
        late: Lines that wait for a thread to write them; those that have their ending before it leave.
    """

    new_path: Callable[[], Path]
    max_bytes: int
    once: Once
    disk: Disk
    size: int = 0
    segments: list[Segment] = attrs.field(init=False, factory=list[Segment])
    backlog: deque[Segment] = attrs.field(init=False, factory=deque[Segment])
    late: OrderedDict[Line, None] = attrs.field(init=False, factory=OrderedDict[Line, None])
    active: Segment | None = None
    has_new_names: bool = False
    is_closed: bool = False
    is_failing: bool = False
    # A turn that a signal handler ends may come here while its own thread is here: that must not wait for itself.
    _lock: threading.RLock = attrs.field(init=False, factory=threading.RLock)
    _late_lock: threading.RLock = attrs.field(init=False, factory=threading.RLock)
    _is_busy: bool = False
    _retry_at: float = 0.0
    _slow_writes: int = 0

    @property
    def state(self) -> SpoolState:
        """How lines reach the disk now."""
        if self.is_failing:
            return SpoolState.FAILING
        return SpoolState.SLOW if self._slow_writes >= SLOW_WRITES else SpoolState.DIRECT

    def keep(self, line: Line, *, spill: bool, waits: bool = False) -> bool:
        """Write a line. Never raises.

        Args:
            line: What to write.
            spill: Whether it is not in memory.
            waits: Whether to write even to a slow disk.

        Returns:
            Whether it is on disk now. A slow disk gets it later, unless it is to be spilled.
        """
        if waits or self._slow_writes < SLOW_WRITES:
            with self._lock:
                if not self._is_busy:
                    self._is_busy = True
                    try:
                        return self._write(line, spill=spill)
                    finally:
                        self._is_busy = False
        if not spill:
            self.late[line] = None
        return False

    def _write(self, line: Line, *, spill: bool) -> bool:
        began = time.monotonic()
        if self.is_closed or (self.is_failing and began < self._retry_at):
            return False
        data = record(line.data)
        if self.size + len(data) > self.max_bytes:
            self.fail(SpoolError("spool_max_bytes is reached"), retry_s=0)
            return False
        try:
            segment = self._segment_for(len(data), spill=spill)
            segment.append(data, self.disk)
        except OSError as error:
            self.fail(error)
            return False
        self.size += len(data)
        if time.monotonic() - began > SLOW_S:
            self._slow_writes += 1
        elif not self.late:
            # Not before: while it is "direct", all that is finished is on disk.
            self._slow_writes = 0
        if self.is_failing:
            self.is_failing = False
            self.once.clear("spool")
        line.segment = segment
        return True

    def _segment_for(self, size: int, *, spill: bool) -> Segment:
        """Return the segment to write to; raises `OSError` where there is none."""
        active = self.active
        if active is not None and active.spilled is spill and active.size + size <= SEGMENT_BYTES:
            return active
        self.seal()
        active = Segment(self.new_path(), spilled=spill)
        active.create()
        self.active, self.has_new_names = active, True
        self.segments.append(active)
        return active

    def seal(self) -> None:
        """Add nothing more to the segment that is written to. Inside `held`."""
        segment, self.active = self.active, None
        if segment is not None:
            segment.sealed = True
            if segment.spilled:
                segment.known = segment.lines
                self.backlog.append(segment)

    def seal_settled(self) -> None:
        """Begin a new segment where all lines of the present one have an ending, so that it can go."""
        with self.held():
            if self.active is not None and not self.active.spilled and self.active.settled >= self.active.lines:
                self.seal()

    @contextmanager
    def held(self) -> Generator[None, None, None]:
        """Keep every other thread from writing."""
        with self._lock:
            self._is_busy = True
            try:
                yield
            finally:
                self._is_busy = False

    @contextmanager
    def trying(self) -> Generator[None, None, None]:
        """Take an error of the disk for what it is, a state of the spool."""
        try:
            yield
        except OSError as error:
            self.fail(error)

    def fail(self, error: OSError, retry_s: float = RETRY_S) -> None:
        """Let events wait in memory, and try again later."""
        self.is_failing, self._retry_at = True, time.monotonic() + retry_s
        why = error.strerror or str(error)
        self.once.warn("spool", "the spool cannot be written (%s): events wait in memory, see stats()", why)

    def settled(self, line: Line) -> None:
        """Note that a line is stored or lost. Called where the flusher runs."""
        segment = line.segment
        if segment is None:
            with self._late_lock:
                line.is_settled, segment = True, line.segment
            self.late.pop(line, None)
        if segment is not None:
            segment.settled += 1

    def write_late(self, until: float = math.inf) -> None:
        """Write what a slow disk did not get in time; stop at this time."""
        while time.monotonic() < until and (line := self._next_late()) is not None:
            with self.held():
                if not line.is_settled and self._write(line, spill=False):
                    self._tie(line)

    def _next_late(self) -> Line | None:
        try:
            return self.late.popitem(last=False)[0]
        except KeyError:
            return None

    def _tie(self, line: Line) -> None:
        """Let the ending of a line that was written late count for its segment, unless it had it meanwhile."""
        segment, line.segment = line.segment, None
        with self._late_lock:
            if not line.is_settled:
                line.segment = segment
            elif segment is not None:
                segment.lines -= 1
