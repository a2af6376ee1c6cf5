"""A process that is killed at any moment loses nothing that was finished, where it has a spool (FAULTS Q21, D1, G5)."""

import asyncio
import random
import signal
import sqlite3
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from faults.forms import form
from lumina_async import LuminaClient, LuminaConfig
from lumina_async.collector import Collector

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
