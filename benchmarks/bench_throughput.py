"""How many turns reach a sink per second, and what does each cost the process that sends them, beside the same by hand?

Run with `python benchmarks/bench_throughput.py [--quick]`. A hundred tasks record turns of 1.5 KB as fast as they can,
until the sink, in a process of its own, has answered for all of them. CPU time is that of this process, its threads
included. Both ways take turns, round by round; each figure is the median over the rounds.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Literal

from bench_turn import recorded
from measure import Floor, by_tasks, is_quick, median, sink

from lumina_async import LuminaClient, LuminaConfig

TURNS, ROUNDS = (2_000, 2) if is_quick() else (20_000, 9)
TASKS = 100

Figures = tuple[float, float]
"""Turns per second, and microseconds of CPU time for each."""


async def timed(work: Callable[[], Awaitable[None]]) -> Figures:
    """Return the figures of work that delivers `TURNS` turns."""
    wall, cpu = time.perf_counter(), time.process_time()
    await work()
    return TURNS / (time.perf_counter() - wall), (time.process_time() - cpu) / TURNS * 1e6


async def compared(url: str, compression: Literal["gzip", "none"]) -> str:
    """Measure with this compression; return the line to print."""
    floor = Floor(f"{url}/v1/ingest", compressed=compression == "gzip")
    poster = asyncio.create_task(floor.post())
    config = LuminaConfig(endpoint=url, write_key="gi_bench", capture_transcript="full", compression=compression)
    found: list[tuple[float, ...]] = []
    async with LuminaClient(config) as client:
        session = await client.session.start(session_id="chat_1", user_id="user_1")

        async def by_hand() -> None:
            await by_tasks(TASKS, TURNS, floor.turn)
            await floor.flush()

        async def ours() -> None:
            await by_tasks(TASKS, TURNS, recorded(session))
            assert await client.flush(60.0)  # noqa: S101

        for _ in range(ROUNDS + 1):
            floor_figures = await timed(by_hand)
            found.append((*floor_figures, *await timed(ours)))
        assert floor.stored == (await client.stats()).stored - 1 == TURNS * (ROUNDS + 1)  # noqa: S101
    poster.cancel()
    # The first round warms up.
    floor_rate, floor_cpu, rate, cpu = (median(column) for column in zip(*found[1:], strict=True))
    return f"{compression:<8}{floor_rate:>14,.0f}{rate:>14,.0f}{floor_cpu:>14.1f}{cpu:>14.1f}{cpu / floor_cpu:>10.2f}"


async def main() -> None:
    """Print a line for each compression."""
    print(f"{'':<8}{'floor, turns/s':>14}{'ours, turns/s':>14}{'floor, CPU us':>14}{'ours, CPU us':>14}{'CPU x':>10}")
    with sink() as url:
        print(await compared(url, "gzip"))
        print(await compared(url, "none"))


if __name__ == "__main__":
    asyncio.run(main())
