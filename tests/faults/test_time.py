"""Clocks that jump and machines that sleep: waits and latencies go by the monotonic clock, moments by the wall."""

import pytest
from support import MemoryTransport, recording, until

from lumina_async._outcome import Answer
from lumina_async.testing import FakeClock

HOUR, YEAR = 3_600.0, 365 * 86_400.0


@pytest.mark.parametrize("seconds", [HOUR, -HOUR, 10 * YEAR, -10 * YEAR, 0.5, -0.5])
async def test_a_wall_clock_that_jumps_changes_no_wait_and_no_latency(seconds: float) -> None:
    """NTP, an administrator, a wrong battery: latency is what has passed, the batch leaves in time (FAULTS Q25)."""
    clock, transport = FakeClock(), MemoryTransport()
    async with recording(transport, clock, flush_interval_ms=5_000) as (client, _):
        async with (await client.session.start()).turn() as t:
            await t.wrap_llm(lambda: clock.advance(2))
            clock.jump_wall(seconds)
        await clock.advance(2.9)
        assert not transport.payloads
        await clock.advance(0.2)
        await until(lambda: transport.turns)
    [turn] = transport.turns
    assert (turn["latency_ms"], turn["llm"][0]["latency_ms"]) == (2_000, 2_000)
    assert turn["ended_at"][:19] == "2026-01-01T00:00:02"


@pytest.mark.parametrize("seconds", [HOUR, -HOUR])
async def test_a_wall_clock_that_jumps_changes_no_retry_after(seconds: float) -> None:
    """The wait that a server asks for is kept, and no longer by an hour, whatever the wall shows (FAULTS Q25)."""
    clock, transport = FakeClock(), MemoryTransport(script=[Answer(status=429, retry_after="7")])
    async with recording(transport, clock) as (client, _):
        async with (await client.session.start()).turn():
            pass
        await clock.advance(0.1)
        await until(lambda: transport.payloads)
        clock.jump_wall(seconds)
        await clock.advance(6.8)
        assert len(transport.payloads) == 1
        await clock.advance(30)
        await until(lambda: transport.turns)


async def test_after_a_suspend_one_batch_leaves_and_no_burst() -> None:
    """Eight hours later in one step: what waited goes as one batch, and no timers have piled up (FAULTS Q26)."""
    clock, transport = FakeClock(), MemoryTransport()
    async with recording(transport, clock, flush_interval_ms=5_000) as (client, _):
        session = await client.session.start()
        for _ in range(20):
            async with session.turn():
                pass
        await clock.settle()
        sleepers = clock.sleepers
        clock._time.now_ns += round(8 * HOUR * 1e9)
        clock.jump_wall(0)
        await clock.advance(0)
        await until(lambda: transport.turns)
        assert [payload.count for payload in transport.payloads] == [21]
        async with session.turn():
            pass
        await clock.settle()
        assert clock.sleepers <= sleepers
        assert len(transport.payloads) == 1
