"""A collector in a process of its own, to be killed, and what its file has to say afterwards."""

import asyncio
import sqlite3
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

SERVE = """
import asyncio, sys
from lumina_async.collector import Collector
from lumina_async.collector.commands import stop_signals

async def main():
    with stop_signals() as stop:
        async with Collector(db=sys.argv[1], port=0) as collector:
            print(collector.url, flush=True)
            await stop.wait()

asyncio.run(main())
"""


@asynccontextmanager
async def served(db: Path, *before: str) -> AsyncIterator[tuple[Process, str]]:
    """A collector over a file, and its address; `before` is a program that runs it. It is killed in the end."""
    process = await asyncio.create_subprocess_exec(*before, sys.executable, "-c", SERVE, str(db), stdout=PIPE)
    assert process.stdout is not None
    try:
        yield process, (await process.stdout.readline()).decode().strip()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def stored_ids(db: Path) -> list[str]:
    """Return the ids of all events in a file whose checks all pass and whose sums agree."""
    with closing(sqlite3.connect(db)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        ids = [event_id for (event_id,) in connection.execute("SELECT event_id FROM events")]
        turns = "SELECT COUNT(*) FROM events WHERE name = 'turn' AND session_id IS NOT NULL"
        (turn_count,) = connection.execute(turns).fetchone()
        assert connection.execute("SELECT COALESCE(SUM(turns), 0) FROM sessions").fetchone() == (turn_count,)
        counted = "SELECT COALESCE(SUM(value), 0) FROM counters WHERE kind = 'event'"
        assert connection.execute(counted).fetchone() == (len(ids),)
    return ids
