"""The seams of the package: what a user chooses or replaces, and the clock everything reads."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Coroutine
from enum import StrEnum
from typing import Any

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
    sleep: Callable[[float], Coroutine[Any, Any, None]] = anyio.sleep

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Wait until the event is set; after so many seconds it is set here."""
        if seconds == math.inf:
            await event.wait()
            return
        alarm = asyncio.create_task(self.sleep(seconds))
        alarm.add_done_callback(lambda _: event.set())
        try:
            await event.wait()
        finally:
            alarm.cancel()
