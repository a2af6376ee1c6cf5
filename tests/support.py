"""The seams that tests put something of their own into: a transport in memory and a clock that stands still."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import orjson

from lumina_async import LuminaClient, LuminaConfig
from lumina_async._outcome import Answer
from lumina_async._protocols import Clock
from lumina_async._transport import Payload

KEY = "gi_test_canary_key_51f0"
STORED = Answer(status=200, content_type="application/json", body=b"{}")


@attrs.define(eq=False)
class MemoryTransport:
    """Answers by a script, then with 200; keeps what it stored."""

    script: list[Answer | Callable[[list[dict[str, Any]]], Answer]] = attrs.Factory(list)
    always: Callable[[list[dict[str, Any]]], Answer] | None = None
    payloads: list[Payload] = attrs.Factory(list)
    stored: list[dict[str, Any]] = attrs.Factory(list)
    opened: int = 0
    closed: int = 0
    hang: asyncio.Event | None = None

    async def open(self) -> None:
        self.opened += 1

    async def aclose(self) -> None:
        self.closed += 1

    async def post(self, payload: Payload, sent_at: str) -> Answer:
        self.payloads.append(payload)
        if self.hang is not None:
            await self.hang.wait()
        events = lines_of(payload)
        step = self.script.pop(0) if self.script else self.always
        answer = STORED if step is None else step if isinstance(step, Answer) else step(events)
        if answer.status is not None and 200 <= answer.status < 300:
            self.stored.extend(events)
        return answer

    @property
    def turns(self) -> list[dict[str, Any]]:
        return [event for event in self.stored if event["name"] == "turn"]


def lines_of(payload: Payload) -> list[dict[str, Any]]:
    body = gzip.decompress(payload.body) if payload.encoding == "gzip" else payload.body
    return [orjson.loads(line) for line in body.splitlines()]


def config(**options: Any) -> LuminaConfig:
    """A configuration whose batches leave at once."""
    given = {"endpoint": "http://127.0.0.1:9", "write_key": KEY, "flush_interval_ms": 1, "retry_delays_ms": (0, 0, 0)}
    return LuminaConfig(**(given | options))


@asynccontextmanager
async def recording(
    transport: MemoryTransport | None = None, clock: Clock | None = None, **options: Any
) -> AsyncIterator[tuple[LuminaClient, MemoryTransport]]:
    """A client with a transport in memory; on the way out everything is flushed and the ledger closed to zero."""
    transport = transport or MemoryTransport()
    client = LuminaClient(config(**options), transport=lambda _: transport, clock=clock)
    async with client:
        yield client, transport
        await client.flush()
    assert_closed(await client.stats())


def assert_closed(stats: Any) -> None:
    """The invariant of the ledger, with nothing left on the way."""
    assert (
        stats.captured + stats.adopted
        == stats.stored + stats.queued + stats.in_flight + stats.spooled + stats.lost_total
    )
    assert stats.queued == stats.in_flight == 0


async def until(condition: Callable[[], object], timeout: float = 10.0) -> None:
    """Wait for a state, never for a time."""
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0)
