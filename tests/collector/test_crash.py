"""Kills, lost side files, and the order of the sync and the answer: what was answered is there (FAULTS C10, C15)."""

import asyncio
import os
import random
import re
import shutil
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from faults.forms import form
from support import until

from lumina_async.collector import Collector
from lumina_async.collector.errors import StartError

from .kit import lines, send, turn
from .processes import served, stored_ids

KILLS = form(20, 200)
RANDOM = random.Random(6)
Batch = list[dict[str, Any]]


class Senders:
    """Send batches, each again and again until it is answered, as the SDK does; `acked` has the ids of those."""

    def __init__(self) -> None:
        self.acked: list[str] = []
        self.unanswered: list[Batch] = []

    async def send(self, url: str) -> None:
        async with aiohttp.ClientSession(url, headers={"X-Api-Key": "k", "Content-Type": "text/plain"}) as client:
            with suppress(aiohttp.ClientError):
                while True:
                    batch = self.unanswered.pop() if self.unanswered else self.batch()
                    try:
                        async with client.post("/v1/ingest", data=lines(*batch)) as answer:
                            assert answer.status == 200
                            await answer.read()
                    except aiohttp.ClientError:
                        self.unanswered.append(batch)
                        raise
                    self.acked += [event["event_id"] for event in batch]

    def batch(self) -> Batch:
        return [turn("x" * RANDOM.randrange(3000), session_id=f"s{RANDOM.randrange(50)}") for _ in range(20)]


async def test_no_kill_loses_or_doubles_what_was_answered(tmp_path: Path) -> None:
    """Killed under load again and again, the collector has each answered event once and is sound (FAULTS C10, G6)."""
    db, senders = tmp_path / "lumina.db", Senders()
    for number in range(KILLS):
        async with served(db) as (process, url):
            answered = len(senders.acked)
            sending = [asyncio.create_task(senders.send(url)) for _ in range(4)]
            # Every other one lives until it has answered, however slow this machine is.
            if number % 2:
                await until(lambda answered=answered: len(senders.acked) > answered)
            await asyncio.sleep(RANDOM.uniform(0.01, 0.2))
            process.kill()
            await asyncio.gather(*sending)
    stored = stored_ids(db)
    assert len(senders.acked) > KILLS * 20
    assert set(senders.acked) <= set(stored)
    assert len(stored) == len(set(stored))


async def killed(db: Path) -> list[str]:
    """Leave a file whose process was killed, with everything still in its log; return the ids in it."""
    batch = [turn() for _ in range(30)]
    async with served(db) as (_, url), aiohttp.ClientSession(url, headers={"X-Api-Key": "k"}) as client:
        await send(client, *batch)
    assert Path(f"{db}-wal").stat().st_size > 30_000
    return [event["event_id"] for event in batch]


async def test_a_log_left_by_a_kill_is_read(tmp_path: Path) -> None:
    """What was committed and not yet in its place is there at the next start (FAULTS C15)."""
    db = tmp_path / "lumina.db"
    ids = await killed(db)
    async with Collector(db=db, port=0):
        pass
    assert stored_ids(db) == ids


@pytest.mark.parametrize("content", [None, b"", b"\xa5" * 32768], ids=["deleted", "empty", "garbage"])
async def test_a_stale_index_of_the_log_is_made_anew(tmp_path: Path, content: bytes | None) -> None:
    """The shared index is only a cache: deleted or damaged, it is built again (FAULTS C15)."""
    db = tmp_path / "lumina.db"
    ids = await killed(db)
    index = Path(f"{db}-shm")
    index.unlink() if content is None else index.write_bytes(content)
    async with Collector(db=db, port=0):
        pass
    assert stored_ids(db) == ids


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
async def test_a_log_that_is_cut_or_gone_leaves_a_sound_file(tmp_path: Path, keep: float) -> None:
    """Without its log, or with the beginning of it, the file is what it was at some commit (FAULTS C15)."""
    db = tmp_path / "lumina.db"
    ids = await killed(db)
    log = Path(f"{db}-wal")
    log.write_bytes(log.read_bytes()[: int(log.stat().st_size * keep)]) if keep else log.unlink()
    async with Collector(db=db, port=0) as collector:
        async with aiohttp.ClientSession(collector.url, headers={"X-Api-Key": "k"}) as client:
            await send(client, turn())
    stored = stored_ids(db)
    assert len(stored) == 1 or stored[:30] == ids


async def test_the_log_of_another_file_is_not_mixed_in(tmp_path: Path) -> None:
    """A file that was put beside the log of the former one is refused, until somebody decides (FAULTS C15)."""
    db, other = tmp_path / "lumina.db", tmp_path / "other.db"
    await killed(db)
    async with Collector(db=other, port=0) as collector:
        async with aiohttp.ClientSession(collector.url, headers={"X-Api-Key": "k"}) as client:
            await send(client, *[turn() for _ in range(5)])
    kept = stored_ids(other)
    other.replace(db)
    with pytest.raises(StartError, match=r"another file than before.*Delete lumina\.db-wal if so"):
        await Collector(db=db, port=0).__aenter__()
    Path(f"{db}-wal").unlink()
    async with Collector(db=db, port=0):
        pass
    assert stored_ids(db) == kept


async def test_a_deleted_file_is_begun_anew(tmp_path: Path) -> None:
    """Who deletes the file after a kill and forgets its log gets an empty one, not half of the former (FAULTS C15)."""
    db = tmp_path / "lumina.db"
    await killed(db)
    db.unlink()
    async with Collector(db=db, port=0):
        pass
    assert stored_ids(db) == []


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is missing: apt-get install strace")
async def test_the_disk_has_it_before_the_sender_is_told(tmp_path: Path) -> None:
    """Between reading a batch and writing its 200 the log of changes is written and synced (FAULTS C10)."""
    trace = tmp_path / "trace"
    calls = "trace=pwrite64,fdatasync,fsync,sendto,write,writev,sendmsg,recvfrom,read"
    async with served(tmp_path / "lumina.db", "strace", "-f", "-y", "-s", "40", "-e", calls, "-o", str(trace)) as run:
        process, url = run
        async with aiohttp.ClientSession(url, headers={"X-Api-Key": "k"}) as client:
            for _ in range(3):
                await send(client, turn())
        os.kill(int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()), signal.SIGTERM)
        await process.wait()
    assert order_of(trace.read_text())[:12] == ["batch", "log", "sync", "answer"] * 3


def order_of(trace: str) -> list[str]:
    """Return what happened in which order, the same thing in a row once."""
    kinds = {
        "batch": r"POST /v1/ingest",
        "log": r"pwrite64\(.*\.db-wal>",
        "sync": r"(fdatasync|fsync)\(.*\.db-wal>",
        "answer": r"HTTP/1\.1 200 OK",
    }
    found = [kind for line in trace.splitlines() for kind, pattern in kinds.items() if re.search(pattern, line)]
    first = found.index("batch")
    return [kind for last, kind in zip([None, *found[first:]], found[first:], strict=False) if kind != last]
