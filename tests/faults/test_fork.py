"""After a fork parent and child send what is theirs, once, and neither gets in the other's way (FAULTS Q22, Q23)."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from faults.forms import form
from lumina_async.collector import Collector
from lumina_async.testing import FaultyIngest

FORKS = form(20, 100)
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

COMMON = """
import asyncio, multiprocessing, os, sys, threading, warnings
from lumina_async import LuminaClient, LuminaConfig

# Python itself warns of a fork beside threads; that it works all the same is what is shown here.
warnings.filterwarnings("ignore", category=DeprecationWarning)
URL, FORKS, SPOOL = sys.argv[1], int(sys.argv[2]), sys.argv[3] or None

client = LuminaClient(LuminaConfig(endpoint=URL, write_key="gi_test", flush_interval_ms=5, spool_dir=SPOOL))

async def record(client, who, count):
    session = await client.session.start(new=True)
    for number in range(count):
        async with session.turn() as turn:
            await turn.annotate(who=who, number=number)

async def in_child(who, count=50):
    async with client:
        await record(client, who, count)
        assert await client.flush(20)
        stats = await client.stats()
        # Another child may have left some of its own in the spool; nothing here is the parent's.
        assert stats.captured == count + 1 and stats.lost_total == 0, stats
"""

# The parent forks in the middle of its sending; its children run a loop of their own.
WHILE_SENDING = """
async def parent():
    children = []
    async with client:
        for number in range(FORKS):
            await record(client, "parent", 50)
            await asyncio.sleep(0.002)
            child = multiprocessing.get_context("fork").Process(target=lambda: asyncio.run(in_child(f"child {number}")))
            child.start()
            children.append(child)
        await record(client, "parent", 50)
        assert await client.flush(20)
        while any(child.is_alive() for child in children):
            await asyncio.sleep(0.01)
        assert [child.exitcode for child in children] == [0] * FORKS
        stats = await client.stats()
        assert (stats.captured, stats.lost_total) == ((FORKS + 1) * 51, 0), stats

asyncio.run(parent())
"""

# Threads record, and so hold locks, at every moment of every fork.
WITH_LOCKS = """
stop = threading.Event()
finished = [0, 0]

def hammer(which):
    async def main():
        session = await client.session.start()
        while not stop.is_set():
            async with session.turn() as turn:
                await turn.annotate(who=f"thread {which}", number=finished[which])
            finished[which] += 1
            await asyncio.sleep(0)
    asyncio.run(main())

threads = [threading.Thread(target=hammer, args=(which,)) for which in range(2)]
for thread in threads:
    thread.start()
children = []
for number in range(FORKS):
    pid = os.fork()
    if not pid:
        asyncio.run(in_child(f"child {number}", 5))
        os._exit(0)
    children.append(pid)
assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * FORKS
stop.set()
for thread in threads:
    thread.join()

async def end():
    async with client:
        assert await client.flush(20)

asyncio.run(end())
print(sum(finished))
"""


def turns_of(ingest: FaultyIngest) -> list[tuple[str, int]]:
    found = [event["annotations"] for event in ingest.events if event["name"] == "turn"]
    return [(row["who"], row["number"]) for row in found]


async def run(ingest: FaultyIngest, code: str, spool: str = "", forks: int = FORKS) -> bytes:
    command = [sys.executable, "-c", COMMON + code, ingest.url, str(forks), spool]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(form(50, 300)):
        output, _ = await process.communicate()
    assert process.returncode == 0
    return output


@pytest.mark.parametrize("has_spool", [False, True], ids=["memory", "spool"])
async def test_a_fork_while_sending_doubles_and_loses_nothing(tmp_path: Path, has_spool: bool) -> None:
    """Children begin empty; the parent's connections go on; every turn is stored once (FAULTS Q22)."""
    async with FaultyIngest() as ingest:
        await run(ingest, WHILE_SENDING, str(tmp_path) if has_spool else "")
        children = [(f"child {child}", number) for child in range(FORKS) for number in range(50)]
        assert sorted(turns_of(ingest)) == sorted(children + [("parent", n) for n in range(50)] * (FORKS + 1))
        assert ingest.duplicates == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("has_spool", [False, True], ids=["memory", "spool"])
async def test_a_fork_while_other_threads_hold_locks_does_not_hang(tmp_path: Path, has_spool: bool) -> None:
    """Whatever lock a thread holds at the fork, the child records, sends and ends (FAULTS Q23)."""
    async with FaultyIngest() as ingest:
        recorded = int(await run(ingest, WITH_LOCKS, str(tmp_path) if has_spool else ""))
        # A batch that is on its way when its loop ends is sent again, under the same ids.
        assert len(turns_of(ingest)) == recorded + FORKS * 5


# What gunicorn loads before it forks: the client is built at import, each worker starts it in its lifespan.
APP = """
import os
from contextlib import asynccontextmanager

from fastapi import FastAPI

from lumina_async import LuminaClient, LuminaConfig

client = LuminaClient(LuminaConfig(endpoint=os.environ["ENDPOINT"], write_key="gi_test"))


@asynccontextmanager
async def lifespan(app):
    async with client:
        session = await client.session.start(new=True)
        for number in range(int(os.environ["TURNS"])):
            async with session.turn() as turn:
                await turn.annotate(who=str(os.getpid()), number=number)
        yield


app = FastAPI(lifespan=lifespan)
"""


async def test_preloaded_workers_of_gunicorn_store_every_turn_once(tmp_path: Path) -> None:
    """Four workers of one preloaded app, 5,000 turns each, are 20,000 rows after SIGTERM (FAULTS Q22, G18)."""
    (tmp_path / "preloaded.py").write_text(APP)
    async with Collector(db=tmp_path / "lumina.db", port=0) as collector:
        environment = os.environ | {"ENDPOINT": collector.url, "TURNS": "5000"}
        options = ["--preload", "-w", "4", "-k", "uvicorn_worker.UvicornWorker", "-b", "127.0.0.1:0", "--log-level"]
        command = [sys.executable, "-m", "gunicorn", *options, "error", "preloaded:app"]
        process = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, env=environment)
        try:
            async with asyncio.timeout(50):
                while (await collector.store.totals("default")).events.get("turn", 0) < 19_000:
                    await asyncio.sleep(0.05)
                await asyncio.sleep(0)
        finally:
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
        totals = await collector.store.totals("default")
        assert (totals.events["turn"], totals.duplicates) == (20_000, 0)
