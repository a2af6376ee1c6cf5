"""Who is to blame when a batch fails: one event, or the server."""

import logging
from itertools import pairwise
from typing import Any

import pytest
from support import STORED, MemoryTransport, recording, until
from test_flusher import numbers, turns

from lumina_async._batch import take
from lumina_async._endpoint import Endpoint
from lumina_async._outcome import Answer
from lumina_async.testing import FakeClock

Events = list[dict[str, Any]]


def sizes_over(limit: int, refused: list[int]) -> Any:
    """A server that refuses bodies above a size."""

    def answer(events: Events) -> Answer:
        size = sum(len(repr(event)) for event in events)
        if size > limit:
            refused.append(size)
            return Answer(status=413)
        return STORED

    return answer


async def test_a_413_is_remembered_and_costs_few_requests() -> None:
    """A batch of 100 above the server's limit costs at most 2 log2(100) + 1 more requests; 20 later ones none (N6)."""
    refused: list[int] = []
    transport = MemoryTransport()
    options = {"max_in_flight": 1, "flush_interval_ms": 60_000, "max_batch_bytes": 100_000}
    async with recording(transport, **options) as (client, _):
        await turns(client, 100, text="x" * 600)
        transport.always = sizes_over(20_000, refused)
        assert await client.flush()
        needed = -(-sum(len(repr(event)) for event in transport.stored) // 20_000)
        assert len(transport.payloads) - needed <= 2 * 6.65 + 1
        first = len(refused)
        await turns(client, 300, text="x" * 600)
        assert await client.flush()
    assert first <= 4
    assert len(refused) == first
    assert len(transport.turns) == 400


def test_the_ceiling_falls_by_half_and_grows_by_a_sixty_fourth() -> None:
    """A server that takes larger batches again is found out, at the price of one refusal in 45 (FAULTS N6)."""
    endpoint = Endpoint(100_000)
    endpoint.too_large(100_000)
    assert endpoint.batch_bytes == 50_000
    endpoint.works(10_000)
    assert endpoint.batch_bytes == 50_000
    passed = 0
    while endpoint.batch_bytes < 100_000:
        endpoint.works(endpoint.batch_bytes)
        passed += 1
    assert 40 <= passed <= 50
    endpoint.works(100_000)
    assert endpoint.batch_bytes == 100_000


def failing_on(number: int, answer: Answer) -> Any:
    def reply(events: Events) -> Answer:
        return answer if any(e.get("annotations", {}).get("number") == number for e in events) else STORED

    return reply


@pytest.mark.parametrize("number", [0, 41, 99])
@pytest.mark.parametrize(
    "answer", [Answer(status=500), Answer(status=403), Answer(failure="ClientOSError")], ids=["500", "403", "reset"]
)
async def test_one_event_that_the_server_fails_on_stops_nothing_else(
    answer: Answer, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Of 100 events one of which gets 500 (or 403, or a reset) each time, 99 are stored and it is kept (SPEC 8)."""
    caplog.set_level(logging.WARNING)
    clock, transport = FakeClock(), MemoryTransport(always=failing_on(number, answer))
    async with clock.running(), recording(transport, clock, retry_delays_ms=(300,)) as (client, _):
        await turns(client, 100)
        await until(lambda: len(transport.turns) == 99)
        await until(lambda: any("alone" in record.message for record in caplog.records))
        assert (await client.stats()).lost_total == 0
        assert not await client.flush()
        assert clock.now < 400
        transport.always = None
        await until(lambda: len(transport.turns) == 100)
    assert sorted(numbers(transport)) == list(range(100))
    [event] = [turn for turn in transport.turns if turn["annotations"]["number"] == number]
    assert event["event_id"] in caplog.text


async def test_an_event_that_fails_alone_is_tried_ever_later_and_alone() -> None:
    """It goes by itself after a minute, two, four, up to an hour, and new events pass meanwhile (SPEC 8)."""
    clock, sent = FakeClock(), list[float]()

    def reply(events: Events) -> Answer:
        if any(event.get("annotations") == {"number": 0} for event in events):
            if len(events) == 1 and len(transport.turns) >= 9:
                sent.append(clock.now)
            return Answer(status=500)
        return STORED

    transport = MemoryTransport(always=reply)
    async with clock.running(), recording(transport, clock, retry_delays_ms=()) as (client, _):
        await turns(client, 10)
        await until(lambda: len(sent) >= 10)
        await turns(client, 1, late=True)
        await until(lambda: len(transport.turns) == 10)
        transport.always = None
        await until(lambda: len(transport.turns) == 11)
    gaps = [round(after - before) for before, after in pairwise(sent[1:10])]
    assert gaps == sorted(gaps)
    assert gaps[0] >= 60
    assert gaps[-1] == 3_600


async def test_an_outage_blames_no_event() -> None:
    """After five minutes of 500 for all, batches leave whole again: nobody was set aside or split (FAULTS N1)."""
    clock, transport = FakeClock(), MemoryTransport(always=lambda _: Answer(status=500))
    async with clock.running(), recording(transport, clock, max_in_flight=2, max_batch_bytes=2_000) as (client, _):
        await turns(client, 100)
        await until(lambda: clock.now > 300)
        failed = len(transport.payloads)
        transport.always = None
        await until(lambda: len(transport.turns) == 100)
        sizes = [payload.count for payload in transport.payloads[failed:]]
    assert sizes[:-1].count(1) <= 2
    assert take([300] * 9, 2_000) <= max(sizes) + 2
    # Once it is clear that nothing passes, one event is tried at a time.
    assert failed < 4 * 40


async def test_busy_answers_split_no_batch() -> None:
    """429, or any answer with Retry-After, speaks of the load: such batches stay whole (SPEC 8)."""
    clock, transport = FakeClock(), MemoryTransport()
    transport.script = [Answer(status=429)] * 30
    async with clock.running(), recording(transport, clock, retry_delays_ms=()) as (client, _):
        await turns(client, 9)
        assert await client.flush()
    assert [payload.count for payload in transport.payloads[-1:]] in ([10], [9])
