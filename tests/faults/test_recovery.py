"""Many clients of one server that comes back: they do not all come at once."""

import asyncio
import random
from collections import Counter

from faults.forms import form
from faults.virtual import VirtualTime
from lumina_async import LuminaClient, Stats, testing
from lumina_async._outcome import Answer
from lumina_async._transport import Payload
from lumina_async.testing.memory import events_of

CLIENTS, STEADY_S, OUTAGE_S, AFTER_S = 200, 40, form(40, 600), form(60, 120)


def test_200_clients_come_back_at_no_more_than_three_times_the_usual_rate() -> None:
    """After an outage that all of them see, the busiest five seconds have 3 times the steady requests (FAULTS N24)."""
    random.seed(24)
    time, seen = VirtualTime(), Counter[int]()

    class Server:
        async def open(self) -> None:
            """Nothing to do."""

        async def aclose(self) -> None:
            """Nothing to do."""

        async def post(self, payload: Payload, sent_at: str) -> Answer:
            seen[int(time.now // 5)] += 1
            await asyncio.sleep(0.05)
            is_down = STEADY_S <= time.now < STEADY_S + OUTAGE_S
            return Answer(status=503) if is_down else Answer(status=200)

    async def live(number: int) -> None:
        await asyncio.sleep(5 * number / CLIENTS)
        options = testing.memory_config(compression="none")
        client = LuminaClient(options, transport=lambda _: Server(), clock=time.clock())
        async with client:
            while time.now < STEADY_S + OUTAGE_S + AFTER_S:
                async with client.scope():
                    async with (await client.session.start()).turn():
                        await asyncio.sleep(4)
        assert (await client.stats()).lost_total == 0

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(CLIENTS):
                group.create_task(live(number))

    time.run(main)
    steady = sum(seen[slot] for slot in range(4, STEADY_S // 5)) / (STEADY_S // 5 - 4)
    back = (STEADY_S + OUTAGE_S) // 5
    assert max(seen[slot] for slot in range(back, back + AFTER_S // 5 - 2)) <= 3 * steady


def test_a_long_outage_keeps_the_bound_and_counts_what_it_cost() -> None:
    """A minute (10 in full) of 500 at 50 turns/s: memory stays bounded, only the oldest are lost, exactly (N23)."""
    time, stored = VirtualTime(), list[int]()
    minutes, bound = form(1, 10), 500_000

    class Server:
        async def open(self) -> None:
            """Nothing to do."""

        async def aclose(self) -> None:
            """Nothing to do."""

        async def post(self, payload: Payload, sent_at: str) -> Answer:
            if time.now < minutes * 60:
                return Answer(status=500)
            stored.extend(event.get("annotations", {}).get("number", -1) for event in events_of(payload))
            return Answer(status=200)

    async def main() -> Stats:
        # Below what is compressed in a thread: this time does not wait for threads.
        options = testing.memory_config(max_queue_bytes=bound, max_batch_bytes=15_000, compression="none")
        async with LuminaClient(options, transport=lambda _: Server(), clock=time.clock()) as client:
            session = await client.session.start()
            for number in range(minutes * 60 * 50):
                async with session.turn() as t:
                    await t.annotate(number=number)
                await asyncio.sleep(0.02)
                assert client._flusher is not None
                assert client._flusher._stock.size <= bound
            while (await client.stats()).queued:
                await client.flush(60)
        return await client.stats()

    stats = time.run(main)
    testing.assert_ledger_closed(stats)
    assert set(stats.lost) == {"queue_overflow"}
    turns = sorted(number for number in stored if number >= 0)
    # All that was made after the first that was kept, but for those few that were being tried when room ran out.
    assert len(turns) == stats.captured - stats.lost_total == stats.stored
    assert len(turns) == len(set(turns))
