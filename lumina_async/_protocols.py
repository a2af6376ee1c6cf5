"""The seams of the package: what a user chooses or replaces, and the clock everything reads."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from enum import StrEnum

import anyio
import attrs

MaskFn = Callable[[str], str | Awaitable[str]]
"""A mask: text in, masked text out, plain or async. See `LuminaConfig.mask_fn` for what happens when it fails."""


class CaptureTranscript(StrEnum):
    """How much of what people and models say leaves the process. See SPEC section 6 for the fields."""

    FULL = "full"
    """Content as given."""
    MASKED = "masked"
    """Content and the strings of metadata through the mask."""
    NONE = "none"
    """No content at all; metadata as given."""


@attrs.frozen
class Clock:
    """Where time comes from. Pass another one to `LuminaClient` to test without waiting.

    Attributes:
        wall_ns: Nanoseconds since the epoch, for the moments that events tell.
        monotonic_ns: Nanoseconds that never go back, for latencies and deadlines.
        sleep: Waits that many seconds, for the delays between attempts.
    """

    wall_ns: Callable[[], int] = time.time_ns
    monotonic_ns: Callable[[], int] = time.monotonic_ns
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Wait until the event is set, for at most so many seconds."""
        async with anyio.create_task_group() as race:
            if seconds != math.inf:
                race.start_soon(self._sleep_and_set, event, seconds)
            await event.wait()
            race.cancel_scope.cancel()

    async def _sleep_and_set(self, event: asyncio.Event, seconds: float) -> None:
        await self.sleep(seconds)
        event.set()
