"""What does a turn cost its caller while the server is dead, beside one that is alive? And how long is a stall?

Run with `python benchmarks/bench_dead_server.py [--quick]`. Three clients take turns, round by round: one whose server
answers, one whose server refuses the connection, one whose server never answers. Each figure is the median over the
rounds. Then 20,000 turns of 0.4 KB are recorded in one go, and the longest time is printed for which the loop did
nothing else afterwards, until all were delivered.
"""

import asyncio
import time
from contextlib import suppress

from bench_turn import percentile, recorded
from measure import by_tasks, is_quick, median, sink

from lumina_async import LuminaClient, LuminaConfig

TURNS, ROUNDS = (600, 3) if is_quick() else (2_000, 11)
BURST = 20_000


def client(url: str) -> LuminaClient:
    """Return a client with the default options, whose queue cannot fill here."""
    return LuminaClient(LuminaConfig(endpoint=url, write_key="gi_bench", capture_transcript="full"))


async def compared(alive_url: str, silent_url: str) -> None:
    """Print the costs with each kind of server."""
    urls = {"alive": alive_url, "refuses": "http://127.0.0.1:9", "silent": silent_url}
    clients = {kind: client(url) for kind, url in urls.items()}
    found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in clients}
    for one in clients.values():
        await one.__aenter__()
    for _ in range(ROUNDS + 1):
        for kind, one in clients.items():
            session = await one.session.start(session_id="chat_1", user_id="user_1")
            spent = await by_tasks(100, TURNS, recorded(session))
            found[kind].append((percentile(spent, 0.5), percentile(spent, 0.99)))
            await clients["alive"].flush()
    for one in clients.values():
        await one.shutdown(timeout=0.1)
    alive = [median(column) for column in zip(*found["alive"][1:], strict=True)]
    for kind, figures in found.items():
        p50, p99 = (median(column) for column in zip(*figures[1:], strict=True))
        print(f"{kind:<8} p50 {p50:>6.1f} us, p99 {p99:>6.1f} us, p50 {p50 / alive[0]:.2f} times alive")


async def longest_stall() -> float:
    """Return the longest time between two looks of a task that looks as often as it can, in milliseconds."""
    longest = 0.0
    last = time.perf_counter()
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
            now = time.perf_counter()
            longest, last = max(longest, now - last), now
            continue
        return longest * 1000


async def burst(url: str) -> float:
    """Record many turns without a pause; return the longest stall while they are delivered."""
    async with client(url) as one:
        session = await one.session.start()
        for _ in range(BURST):
            turn = session.turn()
            await turn.annotate(text="x" * 50)
            turn.finish_nowait()
        watch = asyncio.create_task(longest_stall())
        assert await one.flush(60)  # noqa: S101
        watch.cancel()
        return await watch


async def main() -> None:
    """Print everything."""
    with sink() as alive, sink(delay_ms=float("inf")) as silent:
        await compared(alive, silent)
        stalls = [await burst(alive) for _ in range(1 if is_quick() else 5)]
    print(f"burst    of {BURST:,} turns: the longest stall while they are delivered is {median(stalls):.1f} ms")


if __name__ == "__main__":
    asyncio.run(main())
