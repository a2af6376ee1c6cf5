"""Delete what is older than it may become, a little at a time (FAULTS C17)."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

from lumina_async.collector.errors import StoreError
from lumina_async.collector.store import Store

_EVERY_S = 60.0


@asynccontextmanager
async def kept_for(store: Store, age: timedelta) -> AsyncGenerator[None, None]:
    """Delete events this long after they arrived while the block runs, at once and then once a minute."""
    task = asyncio.create_task(_expire(store, age), name="lumina-retention")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _expire(store: Store, age: timedelta) -> None:
    while True:
        # The store logs what is wrong with its disk, and the next minute is another try.
        with suppress(StoreError):
            began = time.monotonic()
            while await store.expire(datetime.now(UTC) - age):
                # As long as it took, so that half of the writer's time is always that of the senders.
                await asyncio.sleep(time.monotonic() - began)
                began = time.monotonic()
        await asyncio.sleep(_EVERY_S)
