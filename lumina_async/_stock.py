"""Where lines wait, in memory and on disk: the one place that moves them between the two and counts it."""

from collections.abc import Callable
from itertools import count

from lumina_async._batch import Line
from lumina_async._config import LuminaConfig
from lumina_async._ledger import Ledger, Place, Reason
from lumina_async._log import Once
from lumina_async._protocols import Clock
from lumina_async._queue import LineQueue
from lumina_async._spool import Spool
from lumina_async._spool_writer import SpoolState
from lumina_async._tending import Tending

_ON_DISK = -(1 << 63)
"""The order of what is on disk alone: older than everything."""


class Stock:
    """The lines of one client that wait for a batch. But for `offer` it belongs to the loop that runs the flusher.

    Args:
        config: The bounds.
        ledger: Where the lines are counted.
        once: Where a condition is logged.
        clock: Where time comes from.
        spool: Where they are on disk too; None for memory only.
        lost: Told the order of a line that is lost.
        changed: Told when lines were read back, or there are none left to read.

    Attributes:
        order: The order of the latest line.
    """

    def __init__(
        self,
        config: LuminaConfig,
        ledger: Ledger,
        once: Once,
        clock: Clock,
        spool: Spool | None,
        lost: Callable[[int], None],
        changed: Callable[[], None],
    ) -> None:
        self._config, self._ledger, self._once, self._clock = config, ledger, once, clock
        self._queue = LineQueue(config.max_queue_bytes)
        self._spool, self._lost, self._changed = spool, lost, changed
        self._old_orders = count(-(1 << 62))
        self._tending = self._new_tending()
        self.order = 0

    @property
    def spool_state(self) -> SpoolState:
        """How events reach the disk."""
        return SpoolState.OFF if self._spool is None else self._spool.writer.state

    @property
    def size(self) -> int:
        """Bytes that wait in memory."""
        return self._queue.bytes

    # 1. Coming in.

    def offer(self, event_id: str, data: bytes, ahead: int) -> Line | None:
        """Take a new line, from any thread; return it to be handed to `put`, or None where it is on disk alone.

        Args:
            event_id: Of the event.
            data: The line.
            ahead: Bytes of lines that were returned and have not come to `put` yet.
        """
        line = Line(event_id, data)
        if self._spool is not None:
            spill = self._queue.is_spilling(ahead + len(data))
            if self._spool.writer.keep(line, spill=spill) and spill:
                self._ledger.move(1, Place.BORN, Place.SPOOLED)
                return None
        self._ledger.move(1, Place.BORN, Place.QUEUED)
        return line

    def put(self, line: Line) -> None:
        """Let a line wait in memory."""
        self.order += 1
        line.order, line.at = self.order, self._clock.monotonic_ns() / 1e9
        self._queue.put_nowait(line)
        if self._queue.bytes > self._config.max_queue_bytes:
            self._trim()
        if self._tending is not None:
            self._tending.nudge()

    def _trim(self) -> None:
        if lines := self._queue.trim():
            self.overflow(lines)

    def overflow(self, lines: list[Line]) -> None:
        """Lose lines that do not fit into memory; those of other threads, too, before they get here."""
        reason = Reason.QUEUE_OVERFLOW if self._spool is None else Reason.SPOOL_FULL
        self._ledger.move(len(lines), Place.QUEUED, Place.LOST, reason)
        self._once.warn("overflow", "the queue is full (max_queue_bytes): the oldest events are lost, see stats()")
        for line in lines:
            self._ended(line, lost=True)

    # 2. Going out.

    async def arrival(self) -> None:
        """Wait until something waits in memory."""
        await self._queue.arrival()

    def oldest(self) -> Line | None:
        """Return the line that goes first, without taking it."""
        return self._queue.oldest()

    def oldest_order(self) -> int | None:
        """Return the order of the oldest line that waits anywhere."""
        if self._spool is not None and self._spool.has_backlog:
            return _ON_DISK
        oldest = self._queue.oldest()
        return None if oldest is None else oldest.order

    @property
    def aside(self) -> list[Line]:
        """The lines that fail alone."""
        return self._queue.aside

    def aside_at(self) -> float:
        """Return when the first of them is tried again; infinity where there is none."""
        return self._queue.aside_at()

    def take(self, max_bytes: int) -> list[Line]:
        """Take a batch from the front."""
        return self._taken(self._queue.take(max_bytes))

    def take_probe(self) -> list[Line]:
        """Take a single line, to see whether the server stores it."""
        return self._taken(self._queue.take_probe())

    def take_aside(self) -> list[Line]:
        """Take a line that fails alone."""
        return self._taken(self._queue.take_aside())

    def _taken(self, lines: list[Line]) -> list[Line]:
        self._ledger.move(len(lines), Place.QUEUED, Place.IN_FLIGHT)
        return lines

    def give_back(self, lines: list[Line]) -> None:
        """Return lines without an ending to the place they had."""
        self._ledger.move(len(lines), Place.IN_FLIGHT, Place.QUEUED)
        self._queue.put_back(lines)
        for line in lines:
            if line.again_at:
                # Nobody waits for it.
                self._lost(line.order)
        # With a spool new lines go to disk until memory has room again.
        if self._spool is None:
            self._trim()
        if self._tending is not None:
            self._tending.nudge()

    def settle(self, line: Line, reason: Reason | None) -> None:
        """End a line that was taken: stored, or lost under a reason."""
        self._ledger.move(1, Place.IN_FLIGHT, Place.STORED if reason is None else Place.LOST, reason)
        self._ended(line, lost=reason is not None)

    def _ended(self, line: Line, *, lost: bool) -> None:
        if self._spool is not None:
            self._spool.writer.settled(line)
        if lost:
            self._lost(line.order)

    # 3. The disk.

    async def tend(self) -> None:
        """Look after the spool until cancelled; return at once where there is none."""
        if self._tending is not None:
            await self._tending.run()

    async def secure(self) -> None:
        """Return when what was taken may be sent: with `spool_fsync="always"`, when it is on the disk for good."""
        if self._tending is not None and self._config.spool_fsync == "always":
            await self._tending.sync()

    def renew(self) -> None:
        """Begin on another loop."""
        self._queue.renew()
        if self._tending is not None:
            self._tending.is_over = True
        self._tending = self._new_tending()

    def _new_tending(self) -> Tending | None:
        if self._spool is None:
            return None
        return Tending(self._spool, self._queue, self._old_orders, self._ledger, self._clock, self._changed)

    # 4. The end.

    def leave(self, handed: list[Line]) -> list[Line]:
        """Leave what waits in memory, and what was handed over, to the next process.

        Returns:
            The lines that are not on disk yet; `close` sees to them.
        """
        rest = [*self._queue.clear(), *handed]
        left = [line for line in rest if line.segment is None]
        self._ledger.move(len(rest) - len(left), Place.QUEUED, Place.SPOOLED)
        return left

    def close(self, left: list[Line]) -> list[Line]:
        """Write what `leave` returned and let go of the disk; waits for it, so it belongs in a thread.

        Returns:
            The lines that did not get there.
        """
        if self._spool is None:
            return left
        self._spool.close(left)
        unwritten = [line for line in left if line.segment is None]
        self._ledger.move(len(left) - len(unwritten), Place.QUEUED, Place.SPOOLED)
        return unwritten

    def lose(self, lines: list[Line]) -> None:
        """Count lines that `close` returned as lost."""
        self._ledger.move(len(lines), Place.QUEUED, Place.LOST, Reason.SHUTDOWN_TIMEOUT)

    def keep_in_memory(self, lines: list[Line]) -> None:
        """Let lines that `close` returned wait on."""
        self._queue.put_back(lines)

    def abandon(self) -> None:
        """Let go of the files after a fork: everything here is the parent's."""
        if self._spool is not None:
            self._spool.abandon()
