"""Outages in real time over real HTTP: nothing is lost, and nothing is stored twice."""

import asyncio
import logging

import pytest
from support import KEY

from faults.forms import form
from lumina_async import LuminaClient, LuminaConfig, Stats
from lumina_async.testing import Cut, FaultyIngest, Reply, assert_ledger_closed

OUTAGE_S = form(10.0, 30.0)
TURNS = 2_000
KINDS = {
    "500": Reply(status=500),
    "503": Reply(status=503),
    "429 with Retry-After": Reply(status=429, headers={"Retry-After": "1"}),
    "413 above 20 kB": Reply(),
    "reset before": Reply(cut=Cut.BEFORE_BODY),
    "reset after storing": Reply(cut=Cut.AFTER_STORE),
    "hang": Reply(hangs=True),
}


async def record(client: LuminaClient, count: int, size: int = 400, pause_s: float = 0.0) -> None:
    session = await client.session.start()
    for number in range(count):
        async with session.turn() as t:
            await t.annotate(number=number, text="x" * size)
        if pause_s and number % 20 == 0:
            await asyncio.sleep(pause_s * 20)


def config(ingest: FaultyIngest) -> LuminaConfig:
    return LuminaConfig(
        endpoint=ingest.url, write_key=KEY, flush_interval_ms=200, request_timeout_ms=form(1_000, 10_000)
    )


async def outage(reply: Reply, *, max_body_bytes: int | None = None) -> tuple[Stats, FaultyIngest]:
    """Record throughout an outage, and let the server recover."""
    async with FaultyIngest(always=reply, max_body_bytes=max_body_bytes) as ingest:
        async with LuminaClient(config(ingest)) as client:
            await record(client, TURNS, pause_s=OUTAGE_S / TURNS)
            ingest.always = Reply()
            assert await client.flush(40)
        return await client.stats(), ingest


async def refused() -> tuple[Stats, FaultyIngest]:
    """The same with a server that is not there for a while."""
    ingest = FaultyIngest()
    async with ingest:
        options = config(ingest)
    async with LuminaClient(options) as client:
        await record(client, TURNS, pause_s=OUTAGE_S / TURNS)
        async with ingest:
            assert await client.flush(40)
    return await client.stats(), ingest


async def test_an_outage_of_any_kind_loses_nothing() -> None:
    """Seconds of 500, 503, 429, 413, resets, hanging, refusing: 0 of 2,000 lost, 0 double (G2, N1, N2, N16)."""
    ends = await asyncio.gather(
        *(outage(reply, max_body_bytes=20_000 if kind.startswith("413") else None) for kind, reply in KINDS.items()),
        refused(),
    )
    for kind, (stats, ingest) in zip([*KINDS, "refused"], ends, strict=True):
        assert_ledger_closed(stats, ingest)
        assert stats.lost_total == 0, (kind, stats)
        turns = [event for event in ingest.events if event["name"] == "turn"]
        assert sorted(turn["annotations"]["number"] for turn in turns) == list(range(TURNS)), kind
        assert ingest.duplicates == 0 or kind == "reset after storing", kind


async def test_a_burst_of_20_000_turns_is_delivered_whole() -> None:
    """20,000 turns of 0.4 kB in one go: 0 lost, 0 double (G3)."""
    async with FaultyIngest() as ingest:
        async with LuminaClient(LuminaConfig(endpoint=ingest.url, write_key=KEY)) as client:
            await record(client, 20_000, size=50)
            assert await client.flush(40)
        stats = await client.stats()
    assert_ledger_closed(stats, ingest)
    assert (stats.stored, stats.lost_total, ingest.duplicates) == (20_001, 0, 0)


async def test_one_poison_event_among_100_is_lost_alone_and_named(caplog: pytest.LogCaptureFixture) -> None:
    """Real HTTP, a 400 for whatever batch holds it: the other 99 are stored (FAULTS N7, G4)."""
    caplog.set_level(logging.WARNING)
    poison: set[str] = set()

    def is_poison(event: dict[str, object]) -> bool:
        if event.get("annotations", {}).get("number") == 41:  # type: ignore[attr-defined]
            poison.add(str(event["event_id"]))
            return True
        return False

    async with FaultyIngest(is_poison=is_poison) as ingest:
        async with LuminaClient(LuminaConfig(endpoint=ingest.url, write_key=KEY)) as client:
            await record(client, 100)
            assert not await client.flush(20)
        stats = await client.stats()
    assert_ledger_closed(stats, ingest)
    assert (stats.stored, dict(stats.lost)) == (100, {"rejected": 1})
    [event_id] = poison
    assert f"event {event_id} alone" in caplog.text
