"""What does a spool add to a turn, beside the same turn without one?

Run with `python benchmarks/bench_spool.py [--quick]`. Prints, for one task and for a hundred, the median and the 99th
percentile in microseconds with memory alone and with each way to sync. All take turns, round by round, in one process
and against one sink; each figure is the median over the rounds. The folder is a temporary one on the machine's disk.
"""

import asyncio
from contextlib import AsyncExitStack
from tempfile import TemporaryDirectory

from bench_turn import percentile, recorded
from measure import by_tasks, is_quick, median, sink

from lumina_async import LuminaClient, LuminaConfig, Session

TURNS, ROUNDS = (600, 3) if is_quick() else (4_000, 15)
KINDS = ("memory", "off", "interval", "always")


async def compared(url: str, folder: str, tasks: int) -> list[str]:
    """Measure every kind with that many tasks; return the lines to print."""
    found: dict[str, list[tuple[float, ...]]] = {kind: [] for kind in KINDS}
    async with AsyncExitStack() as stack:
        running: dict[str, tuple[LuminaClient, Session]] = {}
        for kind in KINDS:
            options = {} if kind == "memory" else {"spool_dir": f"{folder}/{kind}", "spool_fsync": kind}
            config = LuminaConfig(endpoint=url, write_key="gi_bench", **options)
            client = await stack.enter_async_context(LuminaClient(config))
            running[kind] = client, await client.session.start(session_id="chat_1", user_id="user_1")
        for _ in range(ROUNDS + 1):
            for kind, (client, session) in running.items():
                spent = await by_tasks(tasks, TURNS, recorded(session))
                await client.flush()
                found[kind].append((percentile(spent, 0.5), percentile(spent, 0.99)))
        for client, _ in running.values():
            assert (await client.stats()).lost_total == 0  # noqa: S101
    # The first round warms up.
    medians = {kind: [median(column) for column in zip(*rounds[1:], strict=True)] for kind, rounds in found.items()}
    base = medians["memory"][0]
    return [
        f"{kind:<10}{tasks:>6}{p50:>10.1f}{p99:>10.1f}{p50 - base:>+10.1f}{p50 / base:>8.2f}"
        for kind, (p50, p99) in medians.items()
    ]


async def main() -> None:
    """Print a line for each kind and number of tasks."""
    print(f"{'us':<10}{'tasks':>6}{'p50':>10}{'p99':>10}{'adds':>10}{'times':>8}")
    with sink() as url, TemporaryDirectory() as folder:
        for tasks in (1, 100):
            print("\n".join(await compared(url, folder, tasks)))


if __name__ == "__main__":
    asyncio.run(main())
