"""What the spool needs while a loop runs: writes and syncs in a thread, and lines read back as memory has room."""

import asyncio
import math
from collections.abc import Callable, Iterator
from typing import TypeVar

import anyio
import anyio.to_thread

from lumina_async._batch import Line
from lumina_async._ledger import Ledger, Place, Reason
from lumina_async._log import logger
from lumina_async._protocols import Clock
from lumina_async._queue import LineQueue
from lumina_async._spool import Loaded, Spool

TEND_S = 1.0

T = TypeVar("T")


class Tending:
    """Looks after the spool of one flusher.

    Args:
        spool: Whose.
        queue: Where lines go that were read back, with orders below 0: older than all others, and among themselves as
            they were written.
        orders: Gives those orders; no two loops may give the same one.
        ledger: Where they are counted.
        clock: Where time comes from.
        changed: Told when lines were read back, or there are none left to read.

    Attributes:
        is_over: Another loop does this now; what is under way in a thread comes to nothing.
    """

    def __init__(
        self,
        spool: Spool,
        queue: LineQueue,
        orders: Iterator[int],
        ledger: Ledger,
        clock: Clock,
        changed: Callable[[], None],
    ) -> None:
        self._spool, self._queue, self._orders = spool, queue, orders
        self._ledger, self._clock, self._changed = ledger, clock, changed
        self.is_over = False
        self._wake = asyncio.Event()
        self._is_resting = False
        # The app may use up all the threads that anyio lends; and one is enough to wait for a disk.
        self._threads = anyio.CapacityLimiter(1)

    def nudge(self) -> None:
        """Say that something was kept, or that memory has room."""
        spool = self._spool
        if self._is_resting or spool.writer.late or (spool.has_backlog and not self._queue.has_backlog):
            self._wake.set()

    async def sync(self) -> None:
        """Return when all that was kept before is on the disk for good."""
        await self._in_thread(self._spool.sync)

    async def run(self) -> None:
        """Tend each second while there is something to tend; read back while nothing that was read back waits."""
        loop = asyncio.get_running_loop()
        while not loop.is_closed():
            try:
                await self._rounds()
            # A mistake of ours must not take the deliveries down with it. On a closed loop everything fails, once.
            except Exception:  # noqa: BLE001
                if loop.is_closed():
                    return
                logger.exception("internal error while looking after the spool; please report it")
                await self._clock.sleep(TEND_S)

    async def _rounds(self) -> None:
        tend_at = -math.inf
        while True:
            self._wake.clear()
            self._is_resting = False
            if self._spool.writer.late or self._now() >= tend_at:
                await self._in_thread(self._spool.tend)
                tend_at = self._now() + TEND_S
            while self._spool.has_backlog and not self._queue.has_backlog and not self._queue.is_spilling(0):
                loaded = await self._in_thread(self._spool.load)
                if loaded is None or self.is_over:
                    break
                self._take_in(loaded)
            self._changed()
            self._is_resting = self._spool.is_at_rest
            await self._clock.wait(self._wake, math.inf if self._is_resting else TEND_S)

    def _take_in(self, loaded: Loaded) -> None:
        self._spool.take_over(loaded)
        move, found = self._ledger.move, len(loaded.lines)
        move(loaded.adopted, Place.ADOPTED, Place.SPOOLED)
        move(found, Place.SPOOLED, Place.QUEUED)
        if loaded.bad:
            move(loaded.bad, Place.SPOOLED, Place.LOST, Reason.SPOOL_CORRUPT)
        now = self._now()
        self._queue.put_back(
            Line(event_id, data, next(self._orders), now, loaded.segment) for event_id, data in loaded.lines
        )

    def _now(self) -> float:
        return self._clock.monotonic_ns() / 1e9

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(work, limiter=self._threads)
