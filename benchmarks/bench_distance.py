"""How many turns per second reach a server that is 100 ms away?

Run with `python benchmarks/bench_distance.py [--quick]`. Tasks record turns of 1.5 KB as fast as they can, until a sink
that answers each request after 100 ms has answered for all of them, with the default options but for
`max_in_flight`, up to which requests overlap. Each figure is the median over the rounds.
"""

import asyncio
import time

from bench_turn import recorded
from measure import by_tasks, is_quick, median, sink

from lumina_async import LuminaClient, LuminaConfig

TURNS, ROUNDS = (5_000, 2) if is_quick() else (20_000, 5)
TASKS = 100


async def rate(url: str, max_in_flight: int) -> float:
    """Return the turns delivered per second."""
    found: list[float] = []
    options = LuminaConfig(endpoint=url, write_key="gi_bench", capture_transcript="full", max_in_flight=max_in_flight)
    async with LuminaClient(options) as client:
        session = await client.session.start(session_id="chat_1", user_id="user_1")
        for _ in range(ROUNDS + 1):
            began = time.perf_counter()
            await by_tasks(TASKS, TURNS, recorded(session))
            assert await client.flush(60.0)  # noqa: S101
            found.append(TURNS / (time.perf_counter() - began))
        assert (await client.stats()).lost_total == 0  # noqa: S101
    # The first round warms up.
    return median(found[1:])


async def main() -> None:
    """Print a line for each number of requests at once."""
    with sink(delay_ms=100) as url:
        for max_in_flight in (8, 16):
            print(f"max_in_flight {max_in_flight}: {await rate(url, max_in_flight):>8,.0f} turns/s")


if __name__ == "__main__":
    asyncio.run(main())
