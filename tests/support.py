"""What our own tests add to the kit we ship: a canary key, batches that leave at once, and a ledger that closes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from lumina_async import LuminaClient, LuminaConfig, testing
from lumina_async._protocols import Clock
from lumina_async.testing import assert_ledger_closed as assert_closed, until
from lumina_async.testing.memory import STORED, events_of as lines_of

__all__ = ["KEY", "STORED", "MemoryTransport", "assert_closed", "config", "lines_of", "recording", "until"]

KEY = "gi_test_canary_key_51f0"
PROMPT = {"write_key": KEY, "flush_interval_ms": 1, "retry_delays_ms": (0, 0, 0)}


class MemoryTransport(testing.MemoryTransport):
    """That of the kit, which also gives the turns as they are on the wire."""

    @property
    def turns(self) -> list[dict[str, Any]]:
        return [event for event in self.stored if event["name"] == "turn"]


def config(**options: Any) -> LuminaConfig:
    """A configuration whose batches leave at once."""
    return testing.memory_config(**(PROMPT | options))


@asynccontextmanager
async def recording(
    transport: MemoryTransport | None = None, clock: Clock | None = None, **options: Any
) -> AsyncIterator[tuple[LuminaClient, MemoryTransport]]:
    """A client with a transport in memory; on the way out everything is flushed and the ledger closed to zero."""
    transport = transport or MemoryTransport()
    async with testing.recording(transport, clock=clock, **(PROMPT | options)) as lumina:
        yield lumina.client, transport
        await lumina.client.flush()
    assert_closed(await lumina.client.stats())
