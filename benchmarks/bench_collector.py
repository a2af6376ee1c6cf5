"""How many events per second does the collector take, answered after their sync, and what holds it up?

Run with `python benchmarks/bench_collector.py [--quick]`. Linux only. Three parts:

1. Batches of 100 events of 0.8 KB over 1, 8 and 64 connections that never rest, beside a handler of aiohttp that only
   reads the body (the floor). Both take turns, round by round; each figure is the median over the rounds.
2. Slow connections, half of them with half a head and half with half a body, while one client sends a batch each 5 ms.
3. A client that sends while old events are deleted.

Servers and slow connections are processes of their own, on the same cores as the client.
"""

import asyncio
import gzip
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import aiohttp
import orjson
from aiohttp import web
from measure import MESSAGES, is_quick, median

from lumina_async._trace import new_event_id
from lumina_async.collector import Collector
from lumina_async.collector.sqlite import SqliteStore
from lumina_async.collector.store import Row

SECONDS, ROUNDS = (0.5, 2) if is_quick() else (3.0, 5)
SLOW = 500 if is_quick() else 8000
OLD_EVENTS = 5000 if is_quick() else 200_000
BATCH = 100
HEAD = (
    "POST /v1/ingest HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: k\r\n"
    "Content-Type: text/plain\r\nContent-Length: 90\r\n\r\n{"
)

Times = list[float]


def line() -> bytes:
    """Return a turn of 0.8 KB with the id left open."""
    fields = {
        "v": 1,
        "event_id": "ID",
        "name": "turn",
        "source": "lumina-async",
        "distinct_id": "user_1",
        "anonymous": False,
        "session_id": "chat_1",
        "turn_id": "00f067aa0ba902b7",
        "status": "ok",
        "started_at": "2026-01-01T10:00:00.000Z",
        "messages": [{**message, "content": message["content"][:250]} for message in MESSAGES],
    }
    text = orjson.dumps(fields)
    return text[:-1] + b',"notes":"' + b"x" * (800 - len(text) - 11) + b'"}\n'


TEMPLATE = (line() * BATCH).replace(b'"ID"', b'"%b"')


def batch() -> bytes:
    """Return a body of events that nobody has seen."""
    now = time.time_ns()
    return TEMPLATE % tuple(new_event_id(now).encode() for _ in range(BATCH))


async def post(http: aiohttp.ClientSession, packed: bool, times: Times) -> None:
    """Send a batch; add what it took until the answer."""
    body = gzip.compress(batch(), 1) if packed else batch()
    began = time.perf_counter()
    async with http.post("/v1/ingest", data=body, headers={"Content-Encoding": "gzip"} if packed else {}) as answer:
        answer.raise_for_status()
        await answer.read()
    times.append(time.perf_counter() - began)


def client(url: str) -> aiohttp.ClientSession:
    """Return a client that opens as many connections as it is asked to."""
    headers = {"X-Api-Key": "k", "Content-Type": "application/x-ndjson"}
    return aiohttp.ClientSession(url, headers=headers, connector=aiohttp.TCPConnector(limit=0))


async def saturated(url: str, connections: int, packed: bool) -> tuple[float, float, float]:
    """Return events per second and the 50th and 99th percentile of the answers, in milliseconds."""
    times: Times = []
    until = time.perf_counter() + SECONDS

    async def work(http: aiohttp.ClientSession) -> None:
        while time.perf_counter() < until:
            await post(http, packed, times)

    async with client(url) as http:
        began = time.perf_counter()
        await asyncio.gather(*[work(http) for _ in range(connections)])
        rate = len(times) * BATCH / (time.perf_counter() - began)
    return rate, *percentiles(times)


def percentiles(times: Times) -> tuple[float, float]:
    """Return the 50th and the 99th, in milliseconds."""
    times.sort()
    return times[len(times) // 2] * 1000, times[int(len(times) * 0.99)] * 1000


async def throughput() -> None:
    """Print a line for each number of connections."""
    names = ("conns", "body", "floor ev/s", "p50", "p99", "ours ev/s", "p50", "p99", "CPU us", "MB")
    print("".join(f"{name:>11}" for name in names))
    with tempfile.TemporaryDirectory() as folder, served("floor") as (floor, _):
        for connections, packed in ((1, False), (8, False), (64, False), (8, True)):
            found: list[tuple[float, ...]] = []
            with served("collector", f"{folder}/{connections}{packed}.db") as (ours, pid):
                # The first round warms up.
                for _ in range(ROUNDS + 1):
                    by_hand = await saturated(floor, connections, packed)
                    before_s = cpu_s(pid)
                    rate, *percentiles_ms = await saturated(ours, connections, packed)
                    found.append((*by_hand, rate, *percentiles_ms, (cpu_s(pid) - before_s) / (rate * SECONDS) * 1e6))
                figures = [median(column) for column in zip(*found[1:], strict=True)]
                print(f"{connections:>11}{'gzip' if packed else 'plain':>11}", end="")
                print("".join(f"{figure:>11,.{0 if figure > 1000 else 1}f}" for figure in figures), end="")
                print(f"{memory_mb(pid):>11.0f}", flush=True)


async def beside_slow_ones() -> None:
    """Print how a client fares beside slow connections, while they are open and while they are cut off."""
    with tempfile.TemporaryDirectory() as folder, served("collector", f"{folder}/slow.db") as (url, pid):
        async with client(url) as http:
            alone = await steady(http, 5.0)
            with child("slow", url, str(SLOW)) as slow:
                assert slow.stdout is not None  # noqa: S101
                await asyncio.to_thread(slow.stdout.readline)
                gone = asyncio.create_task(asyncio.to_thread(slow.stdout.readline))
                began, memory, beside = time.perf_counter(), memory_mb(pid), Times()
                while not gone.done():
                    beside += await steady(http, 0.2)
                gone_s = time.perf_counter() - began
            async with http.get("/api/stats") as answer:
                connections = (await answer.json())["connections"]
    print(f"\nalone: {shown(alone)}; beside {SLOW} slow connections: {shown(beside)};")
    print(f"{memory:.0f} MB, all gone {gone_s:.1f} s after the last was opened; {connections}")


def shown(times: Times) -> str:
    """Return what there is to say of the times of answers."""
    p50, p99 = percentiles(times)
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {times[-1] * 1000:.0f} ms"


async def steady(http: aiohttp.ClientSession, seconds: float) -> Times:
    """Send a small batch each 5 ms; return what each took."""
    times: Times = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        body, began = TEMPLATE[: TEMPLATE.find(b"\n")] % new_event_id(time.time_ns()).encode(), time.perf_counter()
        async with http.post("/v1/ingest", data=body) as answer:
            answer.raise_for_status()
            await answer.read()
        times.append(time.perf_counter() - began)
        await asyncio.sleep(0.005)
    return times


async def while_deleting() -> None:
    """Print how long a commit takes at most while everything from before is deleted."""
    with tempfile.TemporaryDirectory() as folder:
        db = Path(folder) / "old.db"
        store = SqliteStore(db)
        await store.open()
        body = (line().decode().rstrip(),) * OLD_EVENTS
        rows = [Row(event_id=f"{n}", name="turn", body=one, session_id=f"s{n % 999}") for n, one in enumerate(body)]
        for start in range(0, OLD_EVENTS, 5000):
            await store.add("default", rows[start : start + 5000], received_at="2026-01-01T10:00:00.000Z")
        await store.aclose()
        with served("collector", str(db), "1") as (url, _):
            async with client(url) as http:
                times, began = Times(), time.perf_counter()
                while True:
                    times += await steady(http, 0.5)
                    async with http.get("/api/export") as answer:
                        first = await answer.content.readline()
                    if b'"ID"' not in first:
                        break
                took_s = time.perf_counter() - began
                afterwards = await steady(http, took_s)
    print(f"\n{OLD_EVENTS:,} old events deleted in {took_s:.1f} s; meanwhile: {shown(times)};")
    print(f"for as long afterwards: {shown(afterwards)}")


def cpu_s(pid: int) -> float:
    """Return the processor time that a process has used, its threads included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    """Return what a process has resident."""
    (found,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(found.split()[1]) / 1000


@contextmanager
def served(*arguments: str) -> Generator[tuple[str, int], None, None]:
    """Serve in a process of its own; give its address and its number."""
    with child(*arguments) as process:
        assert process.stdout is not None  # noqa: S101
        yield process.stdout.readline().strip(), process.pid


@contextmanager
def child(*arguments: str) -> Generator[subprocess.Popen[str], None, None]:
    """Run this file with these arguments."""
    command = [sys.executable, __file__, "--child", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


async def collector(db: str, retention_days: str = "") -> None:
    """Serve the collector."""
    retention = timedelta(days=int(retention_days)) if retention_days else None
    async with Collector(db=db, port=0, retention=retention) as running:
        print(running.url, flush=True)
        await asyncio.sleep(3600)


async def floor() -> None:
    """Serve a handler that only reads the body."""

    async def handle(request: web.Request) -> web.Response:
        body = await request.read()
        return web.json_response({"accepted": len(body) and BATCH})

    app = web.Application(client_max_size=2**24)
    app.router.add_post("/v1/ingest", handle)
    runner = web.AppRunner(app, access_log=None, auto_decompress=False)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.sleep(3600)


async def slow(url: str, count: str) -> None:
    """Open connections that do not go on; print a line when all are open, and one when all are closed."""
    port = int(url.rpartition(":")[2])
    writers: list[asyncio.StreamWriter] = []
    ends: list[asyncio.Task[bytes]] = []
    for number in range(int(count)):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD.encode()[: None if number % 2 else 40])
        writers.append(writer)
        ends.append(asyncio.create_task(reader.read()))
    print("open", flush=True)
    await asyncio.gather(*ends, return_exceptions=True)
    print("gone", flush=True)


async def main() -> None:
    """Print the three parts."""
    await throughput()
    await beside_slow_ones()
    await while_deleting()


def run(arguments: Sequence[str]) -> None:
    """Run what is asked for."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20_000) if hard > 0 else 20_000, hard))
    if "--child" not in arguments:
        asyncio.run(main())
        return
    name, *rest = arguments[arguments.index("--child") + 1 :]
    asyncio.run({"collector": collector, "floor": floor, "slow": slow}[name](*rest))


if __name__ == "__main__":
    run(sys.argv)
