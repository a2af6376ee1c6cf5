"""A loop whose time passes only when every task waits: an hour of cool-downs takes a millisecond."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import anyio
import attrs

from lumina_async._protocols import Clock

T = TypeVar("T")
_START_NS = 1_767_225_600_000_000_000


@attrs.define
class VirtualTime:
    """Where the hands are; several loops, one after the other, may share it."""

    now: float = 0.0

    def clock(self) -> Clock:
        """What a client goes by."""
        return Clock(wall_ns=lambda: _START_NS + self._ns(), monotonic_ns=self._ns, sleep=_sleep)

    def _ns(self) -> int:
        return round(self.now * 1e9)

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine function on a loop of its own, and close that."""
        with asyncio.Runner(loop_factory=lambda: _Loop(self)) as runner:
            return runner.run(main())


async def _sleep(seconds: float) -> None:
    # A wait below the resolution of a loop ends without any time having passed, again and again.
    await anyio.sleep(max(seconds, 1e-6) if seconds > 0 else 0)


class _Selector(selectors.SelectSelector):
    """Jumps to the next timer instead of waiting for it."""

    def __init__(self, time: VirtualTime) -> None:
        super().__init__()
        self._time = time

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout != 0:
            if timeout is None:
                raise RuntimeError("every task waits, and nothing will ever happen")
            self._time.now += timeout
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, time: VirtualTime) -> None:
        self._virtual = time
        super().__init__(_Selector(time))

    def time(self) -> float:
        return self._virtual.now
