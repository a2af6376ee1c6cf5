"""The single task that turns waiting lines into batches."""

import asyncio
import importlib
from functools import partial

import anyio

from lumina_async._batch import Line
from lumina_async._config import LuminaConfig
from lumina_async._delivery import Books, Delivery, Sender
from lumina_async._endpoint import Endpoint
from lumina_async._flushes import Flushes
from lumina_async._handover import Handover
from lumina_async._ledger import Reason
from lumina_async._log import logger
from lumina_async._schedule import Schedule
from lumina_async._spool import Spool
from lumina_async._spool_writer import SpoolState
from lumina_async._stock import Stock
from lumina_async._tasks import LastingTask, TaskSet, end_task
from lumina_async._transport import Transport

# anyio loads its half for asyncio at its first use: while another thread forks, the child would wait for it for ever.
importlib.import_module("anyio._backends._asyncio")

MAX_INTERNAL_ERRORS = 3
CLOSE_S = 0.1


class Flusher:
    """Owns the lines of one client from hand-over to ending.

    It runs on the loop that uses the client; what waits moves along to the next one. Its task is referenced here and
    by nobody else, so no request that ends or is cancelled can take it down.
    """

    def __init__(self, config: LuminaConfig, books: Books, transport: Transport, spool: Spool | None = None) -> None:
        self._config, self._clock, self._transport = config, books.clock, transport
        self._flushes = Flushes()
        self._stock = Stock(config, books.ledger, books.once, books.clock, spool, self._flushes.lost, self._look_again)
        self._endpoint = Endpoint(config.max_batch_bytes)
        self._schedule = Schedule(config, self._stock, self._endpoint, self._flushes)
        self._books = books
        self._flights: set[Delivery] = set()
        self._handover = Handover(self._accept, self._moved, config.max_queue_bytes, self._stock.overflow)
        self._internal_errors = 0
        self.task = LastingTask(self._run, "lumina-flusher")
        self._closing: asyncio.Future[None] | None = None
        self._wake = asyncio.Event()

    @property
    def paused(self) -> bool:
        """Whether the server refuses everything."""
        return self._endpoint.paused

    @property
    def spool_state(self) -> SpoolState:
        """How events reach the disk."""
        return self._stock.spool_state

    # 1. Taking lines.

    def offer(self, event_id: str, data: bytes) -> None:
        """Take a line, from any loop and any thread, without waiting for more than one write to disk."""
        if (line := self._stock.offer(event_id, data, self._handover.size)) is not None:
            self._handover.offer(line)

    def start(self) -> None:
        """Run on the running loop, and take over what a former one left."""
        self._handover.settle(asyncio.get_running_loop())
        self.task.ensure()

    def _moved(self) -> None:
        if (former := self.task.release()) is not None:
            end_task(former)
        self._wake = asyncio.Event()
        self._stock.renew()
        self._ground()

    def _accept(self, line: Line) -> None:
        self._stock.put(line)
        if not self.task.is_running:
            self.task.ensure()
        if self._stock.size >= self._endpoint.batch_bytes or self._stock.aside:
            self._wake.set()

    # 2. The task: decide, send, settle.

    async def _run(self) -> None:
        await self._transport.open()
        sender = Sender(self._config, self._books, self._transport, self._endpoint, self._stock.settle)
        async with TaskSet(self._transport.aclose) as sends:
            sends.start(self._stock.tend, "lumina-spool")
            while self.task.is_current:
                await self._stock.arrival()
                if (wait := self._schedule.wait_s(self._now(), len(self._flights))) > 0:
                    self._wake.clear()
                    await self._clock.wait(self._wake, wait)
                else:
                    delivery = Delivery(self._schedule.next_lines(self._now()), sender)
                    self._flights.add(delivery)
                    # By a callback: a task that is cancelled before its first step runs none of its own code.
                    sending = sends.start(partial(self._deliver, delivery), "lumina-send")
                    sending.add_done_callback(partial(self._landed, delivery))

    async def _deliver(self, delivery: Delivery) -> None:
        loop = asyncio.get_running_loop()
        try:
            await self._stock.secure()
            await delivery.run()
            self._internal_errors = 0
        # A mistake of ours must not stop the deliveries after it. On a loop that was closed under us it is none: there
        # nothing can be awaited, and the lines go to the next loop.
        except Exception:  # noqa: BLE001
            if loop.is_closed():
                return
            logger.exception("internal error while sending; please report it")
            self._internal_error(delivery)

    def _landed(self, delivery: Delivery, _: object) -> None:
        self._flights.discard(delivery)
        self._give_back(delivery)
        self._look_again()

    def _look_again(self) -> None:
        self._wake.set()
        self._flushes.release(self._oldest_left(), in_vain=self.paused)

    def _internal_error(self, delivery: Delivery) -> None:
        self._internal_errors += 1
        self._endpoint.cool_down(self._now(), 1.0)
        if self._internal_errors >= MAX_INTERNAL_ERRORS:
            for line in delivery.left.values():
                self._stock.settle(line, Reason.INTERNAL)
            delivery.left.clear()

    def _give_back(self, delivery: Delivery) -> None:
        """Return the lines without an ending to the place they had."""
        self._stock.give_back(list(delivery.left.values()))
        delivery.left.clear()

    def _now(self) -> float:
        return self._clock.monotonic_ns() / 1e9

    def _ground(self) -> None:
        """Give back the lines of all batches that are on their way."""
        for delivery in self._flights:
            self._give_back(delivery)
        self._flights.clear()

    # 3. Waiting for an ending.

    def hasten(self) -> None:
        """Send what waits without waiting for company; nobody waits for it here."""
        self._flushes.hasten(self._stock.order)
        self._wake.set()

    async def flush(self, timeout: float) -> bool:
        """Send what was queued before this call; True only if all of it is stored within so many seconds."""
        return await self._handover.run_home(lambda: self._flush(timeout))

    async def _flush(self, timeout: float) -> bool:
        self.task.ensure()
        flush = self._flushes.begin(self._stock.order)
        for line in self._stock.aside:
            # What fails alone is not waited for.
            self._flushes.lost(line.order)
        try:
            self._flushes.release(self._oldest_left(), in_vain=self.paused and self._oldest_left() is not None)
            self._wake.set()
            with anyio.move_on_after(timeout):
                await flush.done.wait()
            return flush.done.is_set() and flush.all_stored
        finally:
            self._flushes.end(flush)

    def _oldest_left(self) -> int | None:
        """Return the order of the oldest line without an ending."""
        orders = [min(delivery.left) for delivery in self._flights if delivery.left]
        waiting = self._stock.oldest_order()
        return min(orders if waiting is None else [*orders, waiting], default=None)

    # 4. The end.

    async def aclose(self, timeout: float) -> None:
        """Send what can be sent within so many seconds, then let go of everything: the rest is spooled, or lost."""
        await self._handover.run_home(lambda: self._aclose(timeout))

    async def _aclose(self, timeout: float) -> None:
        try:
            await self._flush(timeout)
        finally:
            # Cancelled or not: the task ends, and when it has, nothing waits uncounted.
            task = self.task.release()
            if task is not None:
                task.add_done_callback(self._let_go)
                task.cancel()
        if task is not None:
            await asyncio.wait({task}, timeout=CLOSE_S)
        if self._closing is not None:
            await asyncio.wait({self._closing}, timeout=CLOSE_S)

    def _let_go(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("the flusher ended by %s; please report it", type(error).__name__)
        # A second cancellation ends the task before its sends.
        self._ground()
        left = self._stock.leave(self._handover.clear())
        self._flushes.release(None, in_vain=True)
        if self.spool_state is SpoolState.OFF:
            self._close(left)
        else:
            # In a thread: a slow disk must hold up neither the loop nor a shutdown that has a deadline.
            self._closing = asyncio.get_running_loop().run_in_executor(None, self._close, left)

    def _close(self, left: list[Line]) -> None:
        if lost := self._stock.close(left):
            self._stock.lose(lost)
            logger.warning("shutdown: %d events could not be sent in time and are lost", len(lost))

    def end_at_exit(self) -> None:
        """Leave on disk what can be left there: the interpreter ends, and no loop will run any more."""
        self.task.clean_up()
        self._ground()
        self._stock.keep_in_memory(self._stock.close(self._stock.leave(self._handover.clear())))

    def abandon(self) -> None:
        """Let go of the files after a fork: everything here is the parent's."""
        self._stock.abandon()
