"""The way of a line from any event loop and any thread to the loop that runs the flusher."""

import asyncio
import inspect
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    # For its name only: what records needs this module at import, and what delivers comes when a client starts.
    from lumina_async._batch import Line

T = TypeVar("T")

HOME_S = 0.1
"""How often to look whether home still runs."""


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop that runs in this thread, if one does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def running_task() -> "asyncio.Task[Any] | None":
    """Return the task that runs in this thread, if one does."""
    return None if running_loop() is None else asyncio.current_task()


class Handover:
    """Knows which loop is home. It moves when the client is used on a new loop and the former one no longer runs.

    What is handed over waits here until home takes it in, which may be long where no loop runs, or home is busy. No
    lock is waited for: a signal handler or a finalizer may offer a line in the middle of another offer on its thread.

    Args:
        accept: Takes a line, at home.
        moved: Told before the first line on a new loop.
        max_bytes: Bound of what waits here.
        overflow: Given the oldest lines when it is exceeded, in any thread.

    Attributes:
        size: Bytes that wait here.
    """

    def __init__(
        self,
        accept: "Callable[[Line], None]",
        moved: Callable[[], None],
        max_bytes: int,
        overflow: "Callable[[list[Line]], None]",
    ) -> None:
        self._accept, self._moved, self._max_bytes, self._overflow = accept, moved, max_bytes, overflow
        self._home: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._arriving: deque[Line] = deque()
        self._handed: deque[Line] = deque()
        self.size = 0

    def offer(self, line: "Line") -> None:
        """Take a line, without waiting. Where there is no loop it waits for the next one."""
        loop = running_loop()
        if loop is not None and loop is self._home:
            self._accept(line)
            return
        self._arriving.append(line)
        self._bound()
        if self._is_elsewhere(loop):
            self._wake_home()
        elif loop is not None:
            self.settle(loop)

    def _bound(self) -> None:
        while self._arriving and self._lock.acquire(blocking=False):
            try:
                gone = self._weigh()
            finally:
                self._lock.release()
            if gone:
                self._overflow(gone)

    def _weigh(self) -> "list[Line]":
        """Let in what arrives; return the oldest that had to go for it."""
        gone: list[Line] = []
        while self._arriving:
            self._handed.append(self._arriving.popleft())
            self.size += len(self._handed[-1].data)
            # What is on disk, too, is not lost: the spool bounds how much of that comes here.
            while self.size > self._max_bytes and len(self._handed) > 1 and self._handed[0].segment is None:
                gone.append(self._pop())
        return gone

    def _pop(self) -> "Line":
        line = self._handed.popleft()
        self.size -= len(line.data)
        return line

    def settle(self, loop: asyncio.AbstractEventLoop) -> None:
        """Make this loop home, and take in what was handed over meanwhile."""
        if loop is not self._home:
            self._home = loop
            self._moved()
        self.take_in()

    def take_in(self) -> None:
        """Accept what other threads and former loops handed over."""
        self._bound()
        # Who has the lock is handing a line over, and wakes home afterwards.
        while self._handed and self._lock.acquire(blocking=False):
            try:
                line = self._pop()
            finally:
                self._lock.release()
            self._accept(line)

    def clear(self) -> "list[Line]":
        """Take what nobody has accepted."""
        self._bound()
        with self._lock:
            return [self._pop() for _ in range(len(self._handed))]

    async def run_home(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine at home and wait for it here; home is here where no other thread runs it."""
        loop = asyncio.get_running_loop()
        while (home := self._home) is not None and self._is_elsewhere(loop):
            if (ended := await _run_at(home, work())) is not None:
                return ended.result()
        self.settle(loop)
        return await work()

    def _is_elsewhere(self, loop: asyncio.AbstractEventLoop | None) -> bool:
        """Tell whether home is a loop that another thread runs now."""
        return self._home is not None and self._home is not loop and self._home.is_running()

    def _wake_home(self) -> None:
        try:
            if self._home is not None:
                self._home.call_soon_threadsafe(self.take_in)
        # Home was closed this moment: what was handed over waits for the next one.
        except RuntimeError:
            return


async def _run_at(home: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> "asyncio.Future[T] | None":
    """Run a coroutine on the loop of another thread; None where that loop ended first, and its tasks with it."""
    try:
        there = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, home))
    # It was closed this moment.
    except RuntimeError:
        coroutine.close()
        return None
    try:
        while not there.done() and home.is_running():
            await asyncio.wait({there}, timeout=HOME_S)
        return there if there.done() and not there.cancelled() else None
    finally:
        if not home.is_closed():
            there.cancel()
        if not home.is_running() and inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
            coroutine.close()
