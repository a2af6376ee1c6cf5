"""Many clients of one server that comes back: they do not all come at once."""

import asyncio
import random
from collections import Counter

from faults.forms import form
from faults.virtual import VirtualTime
from lumina_async import LuminaClient, testing
from lumina_async._outcome import Answer
from lumina_async._transport import Payload

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
