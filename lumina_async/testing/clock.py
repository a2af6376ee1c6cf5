"""A clock that stands still until a test moves it, and how to wait for a state instead of a time."""

import asyncio
import heapq
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import count
from typing import Any

import attrs

from lumina_async._protocols import Clock

# A task that goes on for this many rounds of the loop without a look at the clock waits for something outside of it.
QUIET_ROUNDS = 100

_START = datetime(2026, 1, 1, tzinfo=UTC)


async def until(condition: Callable[[], object], timeout: float = 10.0) -> None:
    """Let the other tasks run until something is the case.

    Args:
        condition: What is waited for; asked again in each round of the loop.
        timeout: Real seconds.

    Raises:
        TimeoutError: It did not come true.
    """
    async with asyncio.timeout(timeout):
        # No event is set when any condition comes true.
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


def _since_epoch_ns(moment: datetime) -> int:
    return round(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1_000


@attrs.define(eq=False)
class _Time:
    """Where the hands of one clock are, and who waits for them."""

    wall_start_ns: int
    now_ns: int = 0
    slept: list[float] = attrs.Factory(list[float])
    sleepers: list[tuple[int, int, "asyncio.Future[None]"]] = attrs.Factory(
        list[tuple[int, int, "asyncio.Future[None]"]]
    )
    changes: int = 0
    _orders: "count[int]" = attrs.Factory(count)

    def wall_ns(self) -> int:
        return self.wall_start_ns + self.now_ns

    def monotonic_ns(self) -> int:
        return self.now_ns

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        # At least a nanosecond: who computes its wait in floats and wakes a hair too early would sleep 0 for ever.
        sleeper = (self.now_ns + max(1, round(seconds * 1e9)), next(self._orders), woken)
        heapq.heappush(self.sleepers, sleeper)
        self.changes += 1
        try:
            await woken
        finally:
            self.changes += 1
            if sleeper in self.sleepers:
                self.sleepers.remove(sleeper)
                heapq.heapify(self.sleepers)

    def wake_next(self) -> None:
        due_ns, _, woken = heapq.heappop(self.sleepers)
        self.now_ns = max(self.now_ns, due_ns)
        if not woken.done():
            woken.set_result(None)


@attrs.frozen(eq=False)
class FakeClock(Clock):
    """A clock to pass as `LuminaClient(clock=...)` or `recording(clock=...)`. Time passes only when it is told to.

    By this clock go the moments and latencies that the client records, the age of a batch, the waits between attempts
    and the cool-downs. By real time go the `timeout` of `flush` and `shutdown`, that of a request, and the minute for
    which a turn is held for its stream.

    Args:
        start: What the wall shows at first. Give the present where a collector judges the age of events.
    """

    start: datetime = _START
    _time: _Time = attrs.field(
        init=False, repr=False, default=attrs.Factory(lambda clock: _Time(_since_epoch_ns(clock.start)), True)
    )
    wall_ns: Callable[[], int] = attrs.field(
        init=False, repr=False, default=attrs.Factory(lambda clock: clock._time.wall_ns, True)
    )
    monotonic_ns: Callable[[], int] = attrs.field(
        init=False, repr=False, default=attrs.Factory(lambda clock: clock._time.monotonic_ns, True)
    )
    sleep: Callable[[float], Coroutine[Any, Any, None]] = attrs.field(
        init=False, repr=False, default=attrs.Factory(lambda clock: clock._time.sleep, True)
    )

    @property
    def now(self) -> float:
        """Seconds that have passed on this clock."""
        return self._time.now_ns / 1e9

    @property
    def slept(self) -> tuple[float, ...]:
        """What was asked of `sleep` so far, in seconds and in order."""
        return tuple(self._time.slept)

    @property
    def sleepers(self) -> int:
        """How many sleep now."""
        return len(self._time.sleepers)

    def jump_wall(self, seconds: float) -> None:
        """Set the wall clock forward, or back by a negative number, as an administrator or NTP does; wakes nobody."""
        self._time.wall_start_ns += round(seconds * 1e9)

    async def advance(self, seconds: float) -> None:
        """Let time pass: wake each sleeper at its moment, in order, and let it run before the next.

        Who falls asleep again meanwhile is woken again when that moment comes within the same seconds.
        """
        time = self._time
        end_ns = time.now_ns + round(seconds * 1e9)
        await self.settle()
        while time.sleepers and time.sleepers[0][0] <= end_ns:
            time.wake_next()
            await self.settle()
        time.now_ns = end_ns

    async def settle(self) -> None:
        """Let every task run until it waits, for this clock or for something outside the loop.

        Sockets and threads are outside: wait for what they do by `until`.
        """
        quiet = 0
        while quiet < QUIET_ROUNDS:
            before = self._time.changes
            await asyncio.sleep(0)
            quiet = quiet + 1 if self._time.changes == before else 0

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        """Let time pass by itself within this block: when all tasks wait it jumps to the next sleeper's moment."""
        runner = asyncio.create_task(self._run(), name="lumina-fake-clock")
        try:
            yield
        finally:
            runner.cancel()
            await asyncio.wait({runner})

    async def _run(self) -> None:
        while True:
            await self.settle()
            if self._time.sleepers:
                self._time.wake_next()
