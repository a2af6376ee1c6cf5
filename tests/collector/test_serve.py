"""The collector as a whole: start, end, files (FAULTS C10, C11, C16, C22)."""

import asyncio
import signal
import socket
import sqlite3
import stat
import sys
import time
from contextlib import closing
from pathlib import Path
from subprocess import PIPE, Popen

import pytest
from aiohttp import ClientSession

from lumina_async.collector import Collector
from lumina_async.collector.errors import StartError

from .kit import items, lines, raw, request, send, turn


def session(collector: Collector) -> ClientSession:
    return ClientSession(collector.url, headers={"X-Api-Key": "gi_test"})


async def test_rows_are_there_after_a_restart(tmp_path: Path) -> None:
    """What was accepted is on disk, and known to be a duplicate after a restart (FAULTS C9)."""
    db, sent = tmp_path / "lumina.db", turn()
    async with Collector(db=db, port=0) as collector, session(collector) as client:
        await send(client, sent)
    async with Collector(db=db, port=0) as collector, session(collector) as client:
        assert (await send(client, sent))["duplicates"] == 1
        assert len(await items(client, "/api/events")) == 1


SERVE = """
import asyncio, sys
from lumina_async.collector import Collector

async def main():
    async with Collector(db=sys.argv[1], port=0) as collector:
        print(collector.url, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_an_accepted_batch_survives_kill_9(tmp_path: Path) -> None:
    """200 means committed: killed right after the answer, the collector still has every row (FAULTS C10, C15)."""
    db = tmp_path / "lumina.db"
    process = Popen([sys.executable, "-c", SERVE, str(db)], stdout=PIPE, text=True)  # noqa: ASYNC220
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    async with ClientSession(url, headers={"X-Api-Key": "k"}) as client:
        for _ in range(5):
            await send(client, *[turn() for _ in range(20)])
        process.send_signal(signal.SIGKILL)
    process.communicate()
    async with Collector(db=db, port=0) as collector, session(collector) as client:
        assert len(await items(client, "/api/events", limit="200")) == 100
    with closing(sqlite3.connect(db)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_a_second_collector_on_one_file_is_refused(tmp_path: Path) -> None:
    """One process per database, whichever name it goes by; the message says what to do (FAULTS C11)."""
    db, other = tmp_path / "lumina.db", tmp_path / "link.db"
    async with Collector(db=db, port=0):
        other.symlink_to(db)
        for name in (db, other, str(db)):
            with pytest.raises(StartError, match=r"Another collector is using .* --db"):
                await Collector(db=name, port=0).__aenter__()
    async with Collector(db=db, port=0):
        pass


async def test_a_second_process_on_one_file_is_refused(tmp_path: Path) -> None:
    """The lock holds between processes (FAULTS C11)."""
    db = tmp_path / "lumina.db"
    async with Collector(db=db, port=0):
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", SERVE, str(db), stderr=PIPE)
        _, errors = await process.communicate()
    assert process.returncode != 0
    assert b"Another collector is using" in errors


async def test_a_taken_port_is_named(tmp_path: Path) -> None:
    """The message names the port and the option, and the file is free again (FAULTS C11)."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=rf"Port {port} .* --port"):
            await Collector(db=tmp_path / "l.db", port=port).__aenter__()
    async with Collector(db=tmp_path / "l.db", port=port):
        pass


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.1", "example.com", ""])  # noqa: S104
async def test_a_host_beyond_loopback_is_refused(host: str) -> None:
    """Without access control nobody else is served (FAULTS C22)."""
    with pytest.raises(StartError, match="loopback only"):
        await Collector(db=":memory:", host=host, port=0).__aenter__()


async def test_a_file_of_another_program_is_refused(tmp_path: Path) -> None:
    """Neither another database nor any other file is taken over (FAULTS C15)."""
    foreign, text = tmp_path / "foreign.db", tmp_path / "notes.txt"
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE theirs (a)")
    connection.close()
    text.write_text("no database " * 100)
    for path in (foreign, text, tmp_path, tmp_path / "missing" / "l.db"):
        with pytest.raises(StartError, match="--db"):
            await Collector(db=path, port=0).__aenter__()
    assert text.read_text() == "no database " * 100


async def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    """Transcripts are readable by nobody else on the machine (FAULTS S4)."""
    db = tmp_path / "lumina.db"
    async with Collector(db=db, port=0) as collector, session(collector) as client:
        await send(client, turn())
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in sorted(tmp_path.iterdir())}
    assert modes == dict.fromkeys(["lumina.db", "lumina.db-shm", "lumina.db-wal", "lumina.db.lock"], 0o600)


async def test_the_temporary_file_is_deleted() -> None:
    """`:memory:` leaves nothing behind."""
    async with Collector(db=":memory:", port=0) as collector:
        folder = collector.store.path.parent  # type: ignore[attr-defined]
        assert folder.exists()
    assert not folder.exists()


async def test_outside_its_block_there_is_no_store() -> None:
    """Use before or after says what to do."""
    collector = Collector(db=":memory:", port=0)
    with pytest.raises(RuntimeError, match="async with"):
        _ = collector.store
    async with collector:
        assert collector.url == f"http://127.0.0.1:{collector.port}"
    with pytest.raises(RuntimeError, match="async with"):
        _ = collector.store


async def test_half_a_body_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """A sender that never finishes has been promised nothing, so the end does not wait for it (FAULTS C31)."""
    head = ["X-Api-Key: k", "Content-Type: text/plain", "Content-Length: 1000"]
    async with Collector(db=tmp_path / "l.db", port=0) as collector:
        _, writer = await asyncio.open_connection("127.0.0.1", collector.port)
        writer.write(request("POST /v1/ingest HTTP/1.1", *head, body=b"{}"))
        assert (await raw(collector.port, request("GET /healthz HTTP/1.1"))).startswith(b"HTTP/1.1 200")
        began = time.monotonic()
    assert time.monotonic() - began < 2
    writer.close()


async def test_what_is_under_way_at_the_end_is_answered_or_not_stored(tmp_path: Path) -> None:
    """Every batch sent as the collector ends is either answered with 200 and stored, or not answered (FAULTS C31)."""
    db = tmp_path / "l.db"
    async with Collector(db=db, port=0) as collector:
        bodies = [lines(*[turn() for _ in range(50)]) for _ in range(30)]
        head = ["X-Api-Key: k", "Content-Type: text/plain"]
        posts = [request("POST /v1/ingest HTTP/1.1", *head, f"Content-Length: {len(b)}", body=b) for b in bodies]
        answers = [asyncio.create_task(raw(collector.port, post)) for post in posts]
        await asyncio.sleep(0.02)
    stored = [await answer for answer in answers]
    async with Collector(db=db, port=0) as collector, session(collector) as client:
        kept = len(await items(client, "/api/events", limit="200"))
    assert kept >= 50 * sum(b" 200 " in answer.partition(b"\r\n")[0] for answer in stored)
