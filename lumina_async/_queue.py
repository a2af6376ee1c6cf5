"""What waits to be sent: bounded in bytes, kept in order, handed over by an `asyncio.Queue`."""

import asyncio
import heapq
from collections import deque
from collections.abc import Iterable

from lumina_async._batch import Line, take


class LineQueue:
    """The lines of one client that are in no batch. Belongs to the thread of the loop that runs the flusher."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        # None says: look at what waits, it has changed by other ways than an arrival.
        self._arriving: asyncio.Queue[Line | None] = asyncio.Queue()
        self._waiting: deque[Line] = deque()
        self.bytes = 0

    def renew(self) -> None:
        """Begin on another loop: an `asyncio.Queue` belongs to the loop that first waited on it."""
        self._drain()
        self._arriving = asyncio.Queue()

    def put_nowait(self, line: Line) -> list[Line]:
        """Add a line; return the oldest that had to go for it."""
        self._arriving.put_nowait(line)
        self.bytes += len(line.data)
        return self._trim() if self.bytes > self._max_bytes else []

    def put_back(self, lines: Iterable[Line]) -> list[Line]:
        """Give lines the place they had, ahead of all that came later; return the oldest that had to go for it."""
        lines = sorted(lines, key=_order)
        if not lines:
            return []
        self.bytes += sum(len(line.data) for line in lines)
        self._waiting = deque(heapq.merge(lines, self._waiting, key=_order))
        self._arriving.put_nowait(None)
        return self._trim()

    async def arrival(self) -> None:
        """Wait until something waits, and take in what has arrived."""
        while not self._waiting:
            self._append(await self._arriving.get())
        self._drain()

    def oldest(self) -> Line | None:
        """Return the line at the front, without taking it."""
        if not self._waiting:
            self._drain()
            self._arriving.put_nowait(None)
        return self._waiting[0] if self._waiting else None

    def take(self, max_bytes: int) -> list[Line]:
        """Take a batch from the front: at least one line, and no more bytes than this where several fit."""
        count = take((len(line.data) for line in self._waiting), max_bytes)
        return self._taken([self._waiting.popleft() for _ in range(count)])

    def take_newest(self) -> list[Line]:
        """Take the last line alone: a probe should not fail for what is wrong with the first."""
        return self._taken([self._waiting.pop()])

    def clear(self) -> list[Line]:
        """Take everything."""
        self._drain()
        return self._taken([self._waiting.popleft() for _ in range(len(self._waiting))])

    def _append(self, line: Line | None) -> None:
        if line is not None:
            self._waiting.append(line)

    def _drain(self) -> None:
        while not self._arriving.empty():
            self._append(self._arriving.get_nowait())

    def _trim(self) -> list[Line]:
        gone: list[Line] = []
        if self.bytes > self._max_bytes:
            self._drain()
            self._arriving.put_nowait(None)
        while self.bytes > self._max_bytes and len(self._waiting) > 1:
            gone.append(self._waiting.popleft())
            self.bytes -= len(gone[-1].data)
        return gone

    def _taken(self, lines: list[Line]) -> list[Line]:
        self.bytes -= sum(len(line.data) for line in lines)
        return lines


def _order(line: Line) -> int:
    return line.order
