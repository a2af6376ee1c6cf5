"""What waits to be sent: bounded in bytes, kept in order, handed over by an `asyncio.Queue`."""

import asyncio
import heapq
import math
from collections import deque
from collections.abc import Iterable

from lumina_async._batch import Line, take

# A probe is chosen among so many of the newest lines.
PROBED = 100


class LineQueue:
    """The lines of one client that are in no batch. Belongs to the thread of the loop that runs the flusher.

    Lines that were read back from disk have orders below 0. They wait apart, and every second batch is of them: after
    an outage new events are not held up behind all the old ones.

    Attributes:
        aside: Lines that fail alone, by the time of their next try. They are in nobody's way.
        bytes: Of all that waits.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        # None says: look at what waits, it has changed by other ways than an arrival.
        self._arriving: asyncio.Queue[Line | None] = asyncio.Queue()
        self._waiting: deque[Line] = deque()
        self._backlog: deque[Line] = deque()
        self._is_backlogs_turn = self._is_spilling = False
        self.aside: list[Line] = []
        self.bytes = 0

    def renew(self) -> None:
        """Begin on another loop: an `asyncio.Queue` belongs to the loop that first waited on it."""
        self._drain()
        self._arriving = asyncio.Queue()

    @property
    def has_backlog(self) -> bool:
        """Whether lines that were read back wait."""
        return bool(self._backlog)

    def is_spilling(self, size: int) -> bool:
        """Return whether this many more bytes do not fit; once they do not, others do when half of the room is free."""
        room = self._max_bytes // 2 if self._is_spilling else self._max_bytes - size
        self._is_spilling = self.bytes > room
        return self._is_spilling

    def put_nowait(self, line: Line) -> None:
        """Add a line."""
        self._arriving.put_nowait(line)
        self.bytes += len(line.data)

    def put_back(self, lines: Iterable[Line]) -> None:
        """Give lines the place they had, ahead of all that came later."""
        back = sorted(lines, key=_order)
        if not back:
            return
        self.bytes += sum(len(line.data) for line in back)
        self.aside = sorted([*self.aside, *(line for line in back if line.again_at)], key=_again_at)
        lines = [line for line in back if not line.again_at]
        old = sum(line.order < 0 for line in lines)
        _insert(lines[:old], self._backlog)
        _insert(lines[old:], self._waiting)
        self._arriving.put_nowait(None)

    async def arrival(self) -> None:
        """Wait until something waits, and take in what has arrived."""
        while not (self._waiting or self._backlog or self.aside):
            self._append(await self._arriving.get())
        self._drain()

    def oldest(self) -> Line | None:
        """Return the line that goes first, without taking it."""
        if not self._waiting:
            self._drain()
            self._arriving.put_nowait(None)
        if self._backlog:
            return self._backlog[0]
        return self._waiting[0] if self._waiting else None

    def take(self, max_bytes: int) -> list[Line]:
        """Take a batch from the front: at least one line, and no more bytes than this where several fit."""
        lines = self._backlog if self._backlog and (self._is_backlogs_turn or not self._waiting) else self._waiting
        self._is_backlogs_turn = lines is self._waiting
        count = take((len(line.data) for line in lines), max_bytes)
        return self._taken([lines.popleft() for _ in range(count)])

    def take_probe(self) -> list[Line]:
        """Take one line alone, of the newest the one that failed least: it should not fail for what another did."""
        lines = self._waiting or self._backlog
        newest = range(len(lines) - 1, max(-1, len(lines) - 1 - PROBED), -1)
        chosen = min(newest, key=lambda index: lines[index].failed)
        line = lines[chosen]
        del lines[chosen]
        return self._taken([line])

    def take_aside(self) -> list[Line]:
        """Take the line that fails alone and whose next try is due first."""
        return self._taken([self.aside.pop(0)])

    def aside_at(self) -> float:
        """Return when the first of the lines that fail alone is due; infinity where there is none."""
        return self.aside[0].again_at if self.aside else math.inf

    def clear(self) -> list[Line]:
        """Take everything."""
        self._drain()
        lines = [*self.aside, *self._backlog, *self._waiting]
        self.aside = []
        self._backlog.clear()
        self._waiting.clear()
        return self._taken(lines)

    def _append(self, line: Line | None) -> None:
        if line is not None:
            self._waiting.append(line)

    def _drain(self) -> None:
        while not self._arriving.empty():
            self._append(self._arriving.get_nowait())

    def trim(self) -> list[Line]:
        """Remove and return the oldest that do not fit."""
        gone: list[Line] = []
        if self.bytes > self._max_bytes:
            self._drain()
            self._arriving.put_nowait(None)
        while self.bytes > self._max_bytes and (self.aside or len(self._waiting) > 1):
            gone.append(self.aside.pop(0) if self.aside else self._waiting.popleft())
            self.bytes -= len(gone[-1].data)
        return gone

    def _taken(self, lines: list[Line]) -> list[Line]:
        self.bytes -= sum(len(line.data) for line in lines)
        return lines


def _insert(lines: list[Line], into: deque[Line]) -> None:
    """Insert lines by their order. Looks only at what is older than the last of them, which is little."""
    older: list[Line] = []
    while lines and into and into[0].order < lines[-1].order:
        older.append(into.popleft())
    into.extendleft(reversed(list(heapq.merge(lines, older, key=_order))))


def _order(line: Line) -> int:
    return line.order


def _again_at(line: Line) -> float:
    return line.again_at
