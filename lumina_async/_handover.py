"""The way of a line from any event loop and any thread to the loop that runs the flusher."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from lumina_async._batch import Line

T = TypeVar("T")


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop that runs in this thread, if one does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class Handover:
    """Knows which loop is home. It moves when the client is used on a new loop and the former one no longer runs.

    Args:
        accept: Takes a line, at home.
        moved: Told before the first line on a new loop.
    """

    def __init__(self, accept: Callable[[Line], None], moved: Callable[[], None]) -> None:
        self._accept, self._moved = accept, moved
        self._home: asyncio.AbstractEventLoop | None = None
        self._handed: deque[Line] = deque()

    def offer(self, line: Line) -> None:
        """Take a line, without waiting. Where there is no loop it waits for the next one."""
        loop = running_loop()
        if loop is not None and loop is self._home:
            self._accept(line)
            return
        self._handed.append(line)
        if self._is_elsewhere(loop):
            self._wake_home()
        elif loop is not None:
            self.settle(loop)

    def settle(self, loop: asyncio.AbstractEventLoop) -> None:
        """Make this loop home, and take in what was handed over meanwhile."""
        if loop is not self._home:
            self._home = loop
            self._moved()
        self.take_in()

    def take_in(self) -> None:
        """Accept what other threads and former loops handed over."""
        while self._handed:
            self._accept(self._handed.popleft())

    def clear(self) -> list[Line]:
        """Take what nobody has accepted."""
        lines: list[Line] = []
        while self._handed:
            lines.append(self._handed.popleft())
        return lines

    async def run_home(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine at home and wait for it here; home is here where no other thread runs it."""
        loop = asyncio.get_running_loop()
        if self._home is None or not self._is_elsewhere(loop):
            self.settle(loop)
            return await work()
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(), self._home))

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
