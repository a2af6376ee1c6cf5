"""Delivery from the queue to an answer: batches, retries, order, and a ledger that closes."""

import asyncio
from typing import Any

import pytest
from support import STORED, MemoryTransport, assert_closed, config, recording, until

from lumina_async import LuminaClient
from lumina_async._outcome import Answer
from lumina_async.testing import FakeClock

UNAVAILABLE = Answer(status=503)


async def turns(client: LuminaClient, count: int, **facts: Any) -> None:
    session = await client.session.start()
    for number in range(count):
        async with session.turn() as t:
            await t.annotate(facts, number=number)


def numbers(transport: MemoryTransport) -> list[int]:
    return [turn["annotations"]["number"] for turn in transport.turns]


async def test_batches_hold_what_fits_and_keep_the_order() -> None:
    """Lines go in batches of at most max_batch_bytes, in the order they were made."""
    async with recording(max_batch_bytes=2_000, max_in_flight=1, flush_interval_ms=5_000) as (client, transport):
        await turns(client, 40)
        assert await client.flush()
    assert numbers(transport) == list(range(40))
    assert len(transport.payloads) > 3


async def test_an_event_larger_than_a_batch_goes_alone() -> None:
    """One event above max_batch_bytes is sent by itself (FAULTS Q3)."""
    async with recording(max_batch_bytes=1_000, max_in_flight=1) as (client, transport):
        await turns(client, 3, text="x" * 5_000)
        assert await client.flush()
    assert [payload.count for payload in transport.payloads] == [1, 1, 1, 1]


async def test_a_batch_waits_for_company_until_the_interval() -> None:
    """Without a flush a small batch leaves after flush_interval_ms, not before."""
    clock, transport = FakeClock(), MemoryTransport()
    async with clock.running(), recording(transport, clock, flush_interval_ms=5_000) as (client, _):
        await turns(client, 3)
        await until(lambda: transport.payloads)
        assert [payload.count for payload in transport.payloads] == [4]
    assert 5.0 in clock.slept


async def test_retries_send_the_same_bytes_after_the_documented_delays() -> None:
    """A failing batch is sent again after 300, 600 and 900 ms, byte for byte the same (FAULTS N1, N16)."""
    clock, transport = FakeClock(), MemoryTransport(script=[UNAVAILABLE] * 3)
    async with clock.running(), recording(transport, clock, retry_delays_ms=(300, 600, 900)) as (client, _):
        await turns(client, 1)
        assert await client.flush()
    assert len({(payload.body, payload.batch_id) for payload in transport.payloads}) == 1
    assert [seconds for seconds in clock.slept if seconds in {0.3, 0.6, 0.9}] == [0.3, 0.6, 0.9]


async def test_after_a_round_the_lines_go_back_to_the_front_in_order() -> None:
    """Lines whose round failed are sent before those that came later, after a cool-down (FAULTS N1)."""
    clock, transport = FakeClock(), MemoryTransport(script=[UNAVAILABLE] * 8)
    options = {"max_in_flight": 1, "retry_delays_ms": (300, 600, 900), "max_batch_bytes": 2_000}
    async with clock.running(), recording(transport, clock, **options) as (client, _):
        await turns(client, 20)
        assert await client.flush()
        await turns(client, 1)
    assert numbers(transport) == [*range(20), 0]
    assert any(0.5 <= seconds <= 30 and seconds not in {0.6, 0.9} for seconds in clock.slept)


async def test_a_wait_that_is_interrupted_does_not_make_the_next_one_spin() -> None:
    """Between a wake-up and the end of a cool-down the flusher sleeps once more, not a thousand times."""
    clock, transport = FakeClock(), MemoryTransport(script=[Answer(status=503, retry_after="60")])
    async with clock.running(), recording(transport, clock) as (client, _):
        await turns(client, 1)
        await until(lambda: clock.slept and clock.slept[-1] > 50)
        assert await client.flush(timeout=1.0)
    assert len(clock.slept) < 30


async def test_retry_after_is_a_minimum_for_everything() -> None:
    """After `Retry-After: 7` no request leaves for seven seconds, and no round of retries runs (FAULTS N3)."""
    clock = FakeClock()
    sent: list[float] = []

    def answer(_: object) -> Answer:
        sent.append(clock.now)
        return Answer(status=429, retry_after="7") if len(sent) == 1 else STORED

    transport = MemoryTransport(always=answer)
    async with clock.running(), recording(transport, clock, retry_delays_ms=(300,)) as (client, _):
        await turns(client, 5)
        assert await client.flush()
    assert sent[1] - sent[0] >= 7


async def test_one_poison_event_is_lost_alone() -> None:
    """Of 100 events one of which the server refuses with 400, that one is lost as `rejected` (FAULTS N7, G4)."""

    def refuse_poison(events: list[dict[str, Any]]) -> Answer:
        return Answer(status=400) if any(e.get("annotations", {}).get("number") == 41 for e in events) else STORED

    transport = MemoryTransport(always=refuse_poison)
    async with recording(transport) as (client, _):
        await turns(client, 100)
        assert not await client.flush()
        assert dict((await client.stats()).lost) == {"rejected": 1}
    assert sorted(numbers(transport)) == [number for number in range(100) if number != 41]


async def test_a_413_halves_until_it_fits_and_loses_only_what_is_too_large_alone() -> None:
    """A batch too large is halved; one event that is too large by itself is lost as `too_large` (FAULTS N6)."""

    def small_only(events: list[dict[str, Any]]) -> Answer:
        return Answer(status=413) if len(events) > 4 or "big" in events[-1].get("annotations", {}) else STORED

    transport = MemoryTransport(always=small_only)
    async with recording(transport) as (client, _):
        await turns(client, 20)
        await turns(client, 1, big="x")
        await client.flush()
        assert dict((await client.stats()).lost) == {"too_large": 1}
    assert numbers(transport) == list(range(20))


async def test_a_server_that_refuses_everything_loses_nothing() -> None:
    """With 400 for all, sending pauses, flush is false at once, and everything is kept (FAULTS N8)."""
    transport = MemoryTransport(always=lambda _: Answer(status=400))
    clock = FakeClock()
    client = LuminaClient(config(), transport=lambda _: transport, clock=clock)
    async with clock.running(), client:
        await turns(client, 10)
        assert not await client.flush()
        await until(lambda: client._flusher is not None and client._flusher.paused)
        stats = await client.stats()
        assert stats.lost_total == 0
        assert stats.queued + stats.in_flight == stats.captured == 11
    assert dict((await client.stats()).lost) == {"shutdown_timeout": 11}
    assert len(transport.payloads) < 200


@pytest.mark.parametrize("status", [301, 302, 308, 401, 403, 404, 405, 410, 415, 501, 505])
async def test_a_wrong_key_or_address_pauses_and_keeps(status: int) -> None:
    """Statuses that time does not mend pause sending; a minute later one event is tried, then all go (N9, N10)."""
    clock = FakeClock()
    transport = MemoryTransport(script=[Answer(status=status)])
    async with clock.running(), recording(transport, clock, compression="none") as (client, _):
        await turns(client, 5)
        await until(lambda: len(transport.stored) == 6)
        assert transport.payloads[1].count == 1
    assert any(seconds > 50 for seconds in clock.slept)
    assert sorted(numbers(transport)) == [0, 1, 2, 3, 4]


async def test_a_415_makes_bodies_plain_at_once_and_for_good() -> None:
    """A server without gzip gets the same events uncompressed, now and later (FAULTS N11)."""
    transport = MemoryTransport(script=[Answer(status=415)])
    async with recording(transport) as (client, _):
        await turns(client, 1)
        assert await client.flush()
        await turns(client, 1)
        assert await client.flush()
    assert [payload.encoding for payload in transport.payloads] == ["gzip", None, None]


async def test_rejected_lines_of_a_stored_batch_are_lost_and_not_sent_again() -> None:
    """A 200 that rejects a line by number loses that line alone (FAULTS N17)."""
    body = b'{"accepted":2,"duplicates":0,"rejected":[{"line":2,"event_id":"x","code":"bad_id","message":""}]}'
    transport = MemoryTransport(script=[Answer(status=200, content_type="application/json", body=body)])
    async with recording(transport) as (client, _):
        await turns(client, 2)
        assert not await client.flush()
        stats = await client.stats()
    assert (stats.stored, dict(stats.lost)) == (2, {"rejected": 1})
    assert len(transport.payloads) == 1


async def test_the_queue_is_bounded_and_loses_the_oldest() -> None:
    """Above max_queue_bytes the oldest unsent events go, counted as `queue_overflow` (FAULTS Q1)."""
    transport = MemoryTransport(hang=asyncio.Event())
    async with recording(transport, max_queue_bytes=5_000, max_in_flight=1) as (client, _):
        session = await client.session.start()
        await until(lambda: transport.payloads)
        for number in range(50):
            async with session.turn() as t:
                await t.annotate(number=number)
        stats = await client.stats()
        lost = stats.lost["queue_overflow"]
        assert 0 < lost == 50 - stats.queued
        assert transport.hang is not None
        transport.hang.set()
    assert numbers(transport) == list(range(lost, 50))


async def test_losses_are_reported_with_the_next_batch() -> None:
    """After a loss the next batch carries an sdk_report with the ledger, itself outside it."""
    async with recording() as (client, transport):
        (await client.session.start()).turn()
        await client.flush()
        await turns(client, 1)
        await client.flush()
    [report] = [event for event in transport.stored if event["name"] == "sdk_report"]
    assert report["lost"] == {"unfinished": 1}
    assert (report["captured"], report["in_flight"]) == (2, 1)


async def test_a_report_that_did_not_arrive_is_sent_again() -> None:
    """The report of a batch that was not stored goes with the next one, rebuilt."""
    transport = MemoryTransport(script=[Answer(status=413)])
    async with recording(transport, flush_interval_ms=60_000) as (client, _):
        (await client.session.start()).turn()
        await turns(client, 1)
        await client.flush()
        assert not [event for event in transport.stored if event["name"] == "sdk_report"]
        await turns(client, 1)
        await client.flush()
    assert [event["captured"] for event in transport.stored if event["name"] == "sdk_report"] == [4]


async def test_a_report_that_was_overtaken_does_not_count_as_told() -> None:
    """Of two reports under way only the first arrives: the loss that only the second told of is told again."""
    async with recording() as (client, _):
        session, recorder = await client.session.start(), client.recorder
        session.turn()
        first = recorder.report()
        session.turn()
        second = recorder.report()
        assert first is not None
        assert second is not None
        recorder.reported(first[0])
        assert recorder.report() is not None
        recorder.reported(second[0])
        recorder.reported(first[0])
        assert recorder.report() is None


async def test_flush_waits_for_what_was_queued_before_it() -> None:
    """flush is true when all before it is stored, also for several callers at once (FAULTS Q17)."""
    async with recording(flush_interval_ms=60_000) as (client, transport):
        await turns(client, 5)
        assert await asyncio.gather(*(client.flush() for _ in range(10))) == [True] * 10
        assert len(transport.turns) == 5


async def test_flush_gives_up_after_its_timeout() -> None:
    """flush returns false when the time is over; nothing is lost for that."""
    transport = MemoryTransport(hang=asyncio.Event())
    async with recording(transport) as (client, _):
        await turns(client, 1)
        assert not await client.flush(timeout=0.01)
        assert (await client.stats()).lost_total == 0
        assert transport.hang is not None
        transport.hang.set()


async def test_shutdown_counts_what_it_could_not_send() -> None:
    """shutdown against a silent server ends at its deadline; the rest is lost as `shutdown_timeout` (FAULTS Q18)."""
    transport = MemoryTransport(hang=asyncio.Event())
    client = LuminaClient(config(), transport=lambda _: transport)
    await client.init(config())
    await turns(client, 7)
    await client.shutdown(timeout=0.05)
    await client.shutdown()
    stats = await client.stats()
    assert_closed(stats)
    assert dict(stats.lost) == {"shutdown_timeout": 8}
    assert transport.opened == transport.closed == 1


async def test_a_cancelled_shutdown_still_ends_and_counts() -> None:
    """Cancelling shutdown cancels the waiting, not the ending."""
    transport = MemoryTransport(hang=asyncio.Event())
    client = LuminaClient(config(), transport=lambda _: transport)
    await client.init(config())
    await turns(client, 3)
    task = asyncio.create_task(client.shutdown())
    await until(lambda: transport.payloads)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: transport.closed)
    await asyncio.sleep(0)
    assert_closed(await client.stats())


async def test_cancelling_every_task_loses_nothing() -> None:
    """A sweep over all tasks cancels the flusher; its batch returns and the next event starts it again (FAULTS Q15)."""
    transport = MemoryTransport(hang=asyncio.Event())
    async with recording(transport) as (client, _):
        await turns(client, 3)
        await until(lambda: transport.payloads)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await until(lambda: transport.closed)
        transport.hang = None
        await turns(client, 1)
        assert await client.flush()
    assert numbers(transport) == [0, 1, 2, 0]


async def test_a_mistake_of_ours_is_counted_and_does_not_stop_deliveries() -> None:
    """An exception in the transport keeps the batch; later ones go; after three it is lost (FAULTS Q16)."""
    clock, failures = FakeClock(), 3

    def broken(_: object) -> Answer:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise ZeroDivisionError
        return STORED

    transport = MemoryTransport(always=broken)
    async with clock.running(), recording(transport, clock) as (client, _):
        await turns(client, 2)
        await client.flush()
        await turns(client, 1)
        assert await client.flush()
        assert dict((await client.stats()).lost) == {"internal": 3}


def test_a_second_loop_takes_over_what_the_first_left() -> None:
    """What one asyncio.run left unsent, the next one sends: nothing is bound to a loop (FAULTS Q12)."""
    transport = MemoryTransport()
    client = LuminaClient(config(flush_interval_ms=60_000), transport=lambda _: transport)

    async def record() -> None:
        await turns(client, 2)

    async def flush() -> None:
        assert await client.flush()
        assert_closed(await client.stats())

    for _ in range(20):
        asyncio.run(record())
    asyncio.run(flush())
    assert len(transport.turns) == 40
    asyncio.run(client.shutdown())


def test_a_thread_without_a_loop_hands_its_turn_over() -> None:
    """finish_nowait in a plain thread reaches the loop that runs the client (FAULTS Q14)."""
    transport = MemoryTransport()

    async def main() -> None:
        client = LuminaClient(config(), transport=lambda _: transport)
        async with client:
            turn = (await client.session.start()).turn()
            await asyncio.to_thread(turn.finish_nowait)
            await until(lambda: transport.turns)
        assert_closed(await client.stats())

    asyncio.run(main())


def test_two_live_loops_share_one_owner() -> None:
    """A second loop in a second thread hands over to the first, and its flush waits for it (FAULTS Q13)."""
    transport = MemoryTransport()

    async def main() -> None:
        client = LuminaClient(config(flush_interval_ms=60_000), transport=lambda _: transport)

        async def elsewhere() -> bool:
            await turns(client, 3)
            return await client.flush()

        async with client:
            assert await asyncio.to_thread(lambda: asyncio.run(elsewhere()))
        assert_closed(await client.stats())
        assert transport.opened == 1

    asyncio.run(main())
    assert len(transport.turns) == 3
