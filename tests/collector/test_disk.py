"""Disks that are full, broken or taken, and files that change under the collector (FAULTS C12-C15)."""

import asyncio
import os
import resource
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from lumina_async.collector import Collector
from lumina_async.collector.disk import LOG_BYTES
from lumina_async.collector.errors import StartError, StoreError
from lumina_async.collector.sqlite import SqliteStore

from .kit import event_id, get, items, lines, post, send, turn
from .test_store import AT, row


@asynccontextmanager
async def serving(db: Path) -> AsyncIterator[ClientSession]:
    async with Collector(db=db, port=0) as collector:
        async with ClientSession(collector.url, headers={"X-Api-Key": "k"}) as client:
            yield client


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB, which only root may mount; where it may not, the test has nothing to show."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not permitted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


async def health(client: ClientSession) -> tuple[int, Any]:
    return await get(client, "/healthz")


async def test_health_tells_of_the_disk(client: ClientSession) -> None:
    """`/healthz` has the version of SQLite, the free bytes and the length of the log (FAULTS C13)."""
    await send(client, turn())
    status, answer = await health(client)
    assert (status, answer["status"], answer["sqlite_version"]) == (200, "ok", sqlite3.sqlite_version)
    assert answer["disk"]["free_bytes"] > 0
    assert answer["disk"]["log_bytes"] > 0
    assert answer["disk"]["error"] is answer["disk"]["alarm"] is None


async def test_a_full_disk_is_507_until_there_is_room(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing refused is stored, what was accepted stays readable, and room is all that it needs (FAULTS C13)."""
    ballast, stored = small_disk / "ballast", 0
    ballast.write_bytes(bytes(500_000))
    async with serving(small_disk / "lumina.db") as client:
        while (answer := await post(client, lines(turn("x" * 50_000))))[0] == 200:
            stored += 1
        assert (answer[0], answer[1]["error"]["code"]) == (507, "disk_full")
        status, answer = await health(client)
        assert (status, answer["status"], "full" in answer["disk"]["error"]) == (503, "degraded", True)
        assert len(await items(client, "/api/events")) == stored > 0
        assert (await post(client, lines(turn("x" * 50_000))))[0] == 507
        ballast.unlink()
        assert (await post(client, lines(turn("x" * 50_000))))[0] == 200
        assert (await health(client))[0] == 200
        assert len(await items(client, "/api/events")) == stored + 1
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


async def test_a_disk_that_cannot_be_written_to_is_refused_at_the_start(small_disk: Path) -> None:
    """A read-only disk is named at once, with what to do (FAULTS C13)."""
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)  # noqa: ASYNC221
    with pytest.raises(StartError, match=r"Read-only file system.*--db"):
        await Collector(db=small_disk / "lumina.db", port=0).__aenter__()


@contextmanager
def failing_writes(size: int) -> Iterator[None]:
    """Let the system refuse each write beyond this position of a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_failing_disk_is_503_until_it_works(tmp_path: Path) -> None:
    """A write that the system refuses fails its batch; reads go on, and the next write is tried (FAULTS C13)."""
    async with serving(tmp_path / "lumina.db") as client:
        await send(client, turn())
        sent = lines(*[turn("x" * 10_000) for _ in range(50)])
        with failing_writes(300_000):
            status, answer = await post(client, sent)
            assert (status, answer["error"]["code"]) == (503, "unavailable")
            assert "IOERR" in (await health(client))[1]["disk"]["error"]
            assert len(await items(client, "/api/events")) == 1
        assert (await post(client, sent))[1]["accepted"] == 50


async def test_health_finds_out_by_itself_that_the_disk_works_again(tmp_path: Path) -> None:
    """Senders that stay away while health is red do not keep it red (FAULTS C13)."""
    async with serving(tmp_path / "lumina.db") as client:
        with failing_writes(300_000):
            await post(client, lines(*[turn("x" * 10_000) for _ in range(50)]))
        assert (await health(client))[0] == 200


async def test_a_database_locked_by_another_program_is_503(tmp_path: Path) -> None:
    """Who writes to the file with a tool of SQLite holds up the senders for a moment, not for good (FAULTS C13)."""
    db = tmp_path / "lumina.db"
    async with serving(db) as client:
        with closing(sqlite3.connect(db, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert (await post(client, lines(turn())))[0] == 503
            assert await items(client, "/api/events") == []
        assert (await post(client, lines(turn())))[0] == 200


async def test_a_damaged_file_is_not_written_to_any_more(tmp_path: Path) -> None:
    """Damage is noticed at the first write, the file is kept as it is, and health says so (FAULTS C13)."""
    db = tmp_path / "lumina.db"
    async with serving(db) as client:
        await send(client, *[turn("x" * 5000, session_id=f"s{number}") for number in range(200)])
    content = bytearray(db.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    db.write_bytes(content)
    async with serving(db) as client:
        for _ in range(2):
            assert (await post(client, lines(turn())))[0] == 503
        status, answer = await health(client)
        assert status == 503
        assert "damaged" in answer["disk"]["error"]
    assert db.read_bytes() == content


@pytest.mark.parametrize("suffix", ["", "-wal"])
async def test_a_file_deleted_under_the_collector_takes_nothing(tmp_path: Path, suffix: str) -> None:
    """What would be written into a file that nobody will find is refused (FAULTS C15)."""
    db = tmp_path / "lumina.db"
    async with serving(db) as client:
        await send(client, turn())
        Path(f"{db}{suffix}").unlink()
        assert (await post(client, lines(turn())))[0] == 503
        status, answer = await health(client)
        assert status == 503
        assert "deleted or replaced" in answer["disk"]["error"]


async def test_a_file_replaced_under_the_collector_is_left_alone(tmp_path: Path) -> None:
    """A restored backup is not written over by the collector that still runs (FAULTS C15)."""
    db, backup = tmp_path / "lumina.db", tmp_path / "backup.db"
    async with serving(backup) as client:
        await send(client, turn())
    content = backup.read_bytes()
    async with serving(db) as client:
        await send(client, turn())
        backup.replace(db)
        assert (await post(client, lines(turn())))[0] == 503
    assert db.read_bytes() == content
    Path(f"{db}-wal").unlink(missing_ok=True)
    async with serving(db) as client:
        assert len(await items(client, "/api/events")) == 1


async def grow(store: SqliteStore, size: int) -> int:
    """Store rows until this much has gone into the log; return its length."""
    for _ in range(size // 4_000_000):
        await store.add("p", [row(event_id=event_id(), body="x" * 1_000_000) for _ in range(4)], received_at=AT)
    return (await store.health()).log_bytes


async def test_a_long_read_does_not_let_the_log_grow(tmp_path: Path) -> None:
    """Beyond its bound the reads under way are ended, and the log is emptied (FAULTS C14)."""
    store = SqliteStore(tmp_path / "lumina.db", read_timeout_s=60)
    await store.open()
    await store.add("p", [row()], received_at=AT)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n, events"
    reading = asyncio.ensure_future(store._read(lambda connection: connection.execute(endless).fetchone()))
    assert await grow(store, 2 * LOG_BYTES) < LOG_BYTES
    with pytest.raises(StoreError, match="interrupted"):
        await reading
    await store.aclose()


async def test_a_reader_of_another_program_is_an_alarm(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One that cannot be ended is said once in the log and in health, until it is gone (FAULTS C14)."""
    store = SqliteStore(tmp_path / "lumina.db")
    await store.open()
    await store.add("p", [row()], received_at=AT)
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM events").fetchall()
        await grow(store, 2 * LOG_BYTES)
        assert "another program" in ((await store.health()).alarm or "")
        assert (await store.health()).error is None
    await grow(store, LOG_BYTES // 2)
    assert (await store.health()).alarm is None
    assert (await store.health()).log_bytes < LOG_BYTES
    await store.aclose()
    assert len(caplog.records) == 1
