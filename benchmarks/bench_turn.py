"""What does a turn of 1.5 KB with one call of a model and one tool add to its caller, beside the same by hand?

Run with `python benchmarks/bench_turn.py [--quick]`. Prints, for one task and for a hundred and for each mode of
capture, the median and the 99th percentile in microseconds: all time between entering and leaving the block but that of
the model and the tool. Both ways send what they record to a sink in a process of its own while they are measured. They
take turns, round by round; each figure is the median over the rounds.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from measure import MESSAGES, Floor, Watch, by_tasks, is_quick, median, sink

from lumina_async import LuminaClient, LuminaConfig, Session

TURNS, ROUNDS = (600, 3) if is_quick() else (4_000, 15)


def recorded(session: Session) -> Callable[[Watch], Awaitable[None]]:
    """Return what records a turn of this session."""

    async def turn(watch: Watch) -> None:
        async with session.turn() as t:
            await t.wrap_llm(watch.model, model="gpt-4o", prompt_id="greeting")
            await t.record_tool("search", watch.tool, type="retrieval", target="db")
            await t.set_messages(MESSAGES)

    return turn


def percentile(spent: Sequence[int], share: float) -> float:
    """Return a percentile of sorted nanoseconds, in microseconds."""
    return spent[min(len(spent) - 1, int(len(spent) * share))] / 1000


async def compared(url: str, capture: str, tasks: int) -> str:
    """Measure one mode with that many tasks; return the line to print."""
    floor = Floor(f"{url}/v1/ingest", capture=capture)
    poster = asyncio.create_task(floor.post())
    found: list[tuple[float, ...]] = []
    async with LuminaClient(LuminaConfig(endpoint=url, write_key="gi_bench", capture_transcript=capture)) as client:
        session = await client.session.start(session_id="chat_1", user_id="user_1")
        for _ in range(ROUNDS + 1):
            by_hand = await by_tasks(tasks, TURNS, floor.turn)
            await floor.flush()
            ours = await by_tasks(tasks, TURNS, recorded(session))
            await client.flush()
            found.append(tuple(percentile(spent, share) for spent in (by_hand, ours) for share in (0.5, 0.99)))
        assert (await client.stats()).lost_total == 0  # noqa: S101
    poster.cancel()
    # The first round warms up.
    floor_50, floor_99, ours_50, ours_99 = (median(column) for column in zip(*found[1:], strict=True))
    ratio = f"{ours_50 / floor_50:>8.2f}"
    return f"{capture:<8}{tasks:>6}{floor_50:>12.1f}{floor_99:>12.1f}{ours_50:>12.1f}{ours_99:>12.1f}{ratio}"


async def main() -> None:
    """Print a line for each mode and number of tasks."""
    print(f"{'us':<8}{'tasks':>6}{'floor p50':>12}{'floor p99':>12}{'turn p50':>12}{'turn p99':>12}{'p50 x':>8}")
    with sink() as url:
        for capture in ("full", "masked", "none"):
            for tasks in (1, 100):
                print(await compared(url, capture, tasks))


if __name__ == "__main__":
    asyncio.run(main())
