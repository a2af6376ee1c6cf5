"""A process that is killed at any moment loses nothing that was finished, where it has a spool (FAULTS Q21, D1, G5)."""

import asyncio
import random
import signal
import sqlite3
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

from faults.forms import form
from lumina_async import LuminaClient, LuminaConfig
from lumina_async._batch import Line
from lumina_async._log import Once
from lumina_async._spool import Spool
from lumina_async._trace import new_event_id
from lumina_async.collector import Collector
from lumina_async.testing import FaultyIngest

KILLS = form(20, 200)
AT_ONCE = 4

# Records turns for ever; a number is printed once its turn is finished, which is the promise.
RECORD = """
import asyncio, os, sys
from lumina_async import LuminaClient, LuminaConfig

async def main(endpoint, spool, life):
    options = {"flush_interval_ms": 20, "max_batch_bytes": 4_000, "retry_delays_ms": (10,), "max_queue_bytes": 30_000}
    config = LuminaConfig(endpoint=endpoint, write_key="gi_test", spool_dir=spool, **options)
    async with LuminaClient(config) as client:
        session = await client.session.start()
        number = 0
        while True:
            async with session.turn() as turn:
                await turn.annotate(life=life, number=number)
            # With a slow disk the promise is another one, and `stats` says so.
            if (await client.stats()).spool == "direct":
                os.write(1, b"%d\\n" % number)
            number += 1
            await asyncio.sleep(0.0005)

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


async def one_life(endpoint: str, spool: Path, life: int) -> set[tuple[int, int]]:
    """Let a process record until it is killed; return what it had finished."""
    command = [sys.executable, "-c", RECORD, endpoint, str(spool), str(life)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    first = await process.stdout.readline()
    # Time passes here because the moment of the kill is what varies.
    await asyncio.sleep(random.Random(life).uniform(0.0, 0.3))
    process.send_signal(signal.SIGKILL)
    rest = await process.stdout.read()
    await process.wait()
    return {(life, int(number)) for number in (first + rest).split()}


def rows(db: Path) -> list[tuple[int, int]]:
    """The turns that the collector holds."""
    query = "SELECT json_extract(body, '$.annotations.life'), json_extract(body, '$.annotations.number') FROM events"
    connection = sqlite3.connect(db)
    try:
        return connection.execute(query + " WHERE name = 'turn'").fetchall()
    finally:
        connection.close()


async def test_killed_processes_lose_and_double_nothing(tmp_path: Path) -> None:
    """Whatever was finished before a kill -9 is stored once by those that come after (FAULTS Q21, D1)."""
    finished = set[tuple[int, int]]()
    db, spool = tmp_path / "lumina.db", tmp_path / "spool"
    async with Collector(db=db, port=0) as collector:
        url, port = collector.url, collector.port
    for first in range(0, KILLS, AT_ONCE):
        lives = [one_life(url, spool, life) for life in range(first, first + AT_ONCE)]
        # Half of the lives find no server; who comes later has their events to send as well.
        async with AsyncExitStack() as stack:
            if first % (2 * AT_ONCE):
                await stack.enter_async_context(Collector(db=db, port=port))
            finished.update(*await asyncio.gather(*lives))
    async with Collector(db=db, port=port):
        async with LuminaClient(LuminaConfig(endpoint=url, write_key="gi_test", spool_dir=spool)) as client:
            assert await client.flush(30)
    stored = rows(db)
    assert len(stored) == len(set(stored))
    assert finished <= set(stored)
    assert list(spool.glob("v1-*")) == []


# Records, and ends as if nobody had told it of flush and shutdown.
FORGETFUL = """
import asyncio, sys
from lumina_async import Lumina

async def main(endpoint, spool):
    await Lumina.init(endpoint=endpoint, write_key="gi_test", spool_dir=spool)
    session = await Lumina.session.start()
    for number in range(100):
        async with session.turn() as turn:
            await turn.annotate(number=number)

asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


async def test_a_program_that_just_ends_leaves_its_events_to_the_next(tmp_path: Path) -> None:
    """With a spool an exit without shutdown loses nothing, and says nothing (FAULTS Q19)."""
    async with FaultyIngest() as ingest:
        command = [sys.executable, "-W", "default", "-c", FORGETFUL, ingest.url, str(tmp_path)]
        process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
        assert (await process.communicate())[1] == b""
        async with LuminaClient(LuminaConfig(endpoint=ingest.url, write_key="gi_test", spool_dir=tmp_path)) as client:
            assert await client.flush()
        assert len(ingest.events) == 101
    assert list(tmp_path.iterdir()) == []


# Sends a backlog, and new turns beside it; prints by how many kilobytes it grew, and what it stored.
CATCH_UP = """
import asyncio, resource, sys
from lumina_async import LuminaClient, LuminaConfig

def size():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

async def main(endpoint, spool, count):
    async with LuminaClient(LuminaConfig(endpoint=endpoint, write_key="gi_test")) as client:
        session = await client.session.start()
        async with session.turn() as turn:
            await turn.annotate(text="x" * 100_000)
        await client.flush()
    before = size()
    async with LuminaClient(LuminaConfig(endpoint=endpoint, write_key="gi_test", spool_dir=spool)) as client:
        session = await client.session.start()
        while (await client.stats()).stored < count:
            async with session.turn() as turn:
                await turn.annotate(new=True)
            await asyncio.sleep(0.01)
        await client.flush()
        stats = await client.stats()
        print(size() - before, stats.adopted, stats.lost_total)

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


async def test_a_large_backlog_is_streamed(tmp_path: Path) -> None:
    """It is read back file by file: memory does not grow with it, and new turns arrive meanwhile (FAULTS D9)."""
    files = form(30, 1_000)
    seen = 0
    async with Collector(db=":memory:", port=0) as collector:
        spool = Spool(tmp_path, collector.url + "/v1/ingest", syncs=False, max_bytes=1 << 40, once=Once(), left={})
        for _ in range(files * 100):
            event_id = new_event_id(time.time_ns())
            line = b'{"v":1,"event_id":"%s","name":"old","pad":"%s"}\n' % (event_id.encode(), b"x" * 10_000)
            assert spool.writer.keep(Line(event_id, line), spill=False, waits=True)
        spool.abandon()
        command = [sys.executable, "-c", CATCH_UP, collector.url, str(tmp_path), str(files * 100)]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        while process.returncode is None and not seen:
            # What is seen first of the new turns is seen while the old ones are on their way.
            events = (await collector.store.totals("default")).events
            seen = events.get("old", 0) if events.get("turn", 0) > 1 else 0
            await asyncio.sleep(0.01)
        assert process.stdout is not None
        grown_kb, adopted, lost = map(int, (await process.stdout.read()).split())
        assert (adopted, lost) == (files * 100, 0)
        assert grown_kb < 40_000
        assert 0 < seen < files * 100
