"""The store on its own: commits, groups, cancellation (FAULTS C8, C10, C12, trap 17)."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from lumina_async.collector import sqlite_links, sqlite_read, sqlite_users
from lumina_async.collector.connections import open_reader
from lumina_async.collector.errors import StoreError
from lumina_async.collector.sqlite import SqliteStore
from lumina_async.collector.store import Row

from .kit import event_id

AT = "2026-01-01T00:00:00.000Z"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "lumina.db")
    await store.open()
    yield store
    await store.aclose()


def row(**fields: Any) -> Row:
    return Row(**{"event_id": event_id(), "name": "turn", "body": "{}", "session_id": "s", **fields})


async def test_ids_are_of_one_project(store: SqliteStore) -> None:
    """The same id in two projects is two events, and each project sees its own (FAULTS C8)."""
    one = row()
    for project in ("a", "b"):
        added = await store.add(project, [one], received_at=AT)
        assert (added.accepted, added.duplicates) == (1, 0)
    assert len((await store.events("a", limit=10)).items) == 1
    assert (await store.sessions("c", limit=10)).items == []


async def test_batches_that_wait_are_committed_together(store: SqliteStore) -> None:
    """Many senders share one sync to disk, and each gets its own counts (FAULTS trap 18)."""
    known = row()
    batches = [[known, row()] for _ in range(200)]
    added = await asyncio.gather(*[store.add("p", batch, received_at=AT) for batch in batches])
    assert sum(one.accepted for one in added) == 201
    assert sum(one.duplicates for one in added) == 199
    with sqlite3.connect(store.path) as connection:
        (turns,) = connection.execute("SELECT turns FROM sessions").fetchone()
    connection.close()
    assert turns == 201


async def test_a_cancelled_sender_leaves_no_transaction_open(store: SqliteStore) -> None:
    """Whoever waits may be cancelled at any moment; what was begun is committed and others go on (FAULTS C10)."""
    for _ in range(50):
        waiting = [asyncio.create_task(store.add("p", [row()], received_at=AT)) for _ in range(4)]
        await asyncio.sleep(0)
        for task in waiting[:3]:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    assert (await store.totals("p")).events == {"turn": 200}


async def test_a_failed_commit_fails_its_senders_and_no_one_else(store: SqliteStore) -> None:
    """A batch that cannot be stored leaves nothing behind, and the next one is stored (FAULTS C13)."""
    blocker = sqlite3.connect(store.path, isolation_level=None)
    blocker.execute("CREATE TRIGGER full BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    with pytest.raises(StoreError, match="disk full"):
        await store.add("p", [row(), row()], received_at=AT)
    blocker.execute("DROP TRIGGER full")
    blocker.close()
    await store.add("p", [row()], received_at=AT)
    assert (await store.totals("p")).events == {"turn": 1}


async def test_a_poisoned_batch_does_not_fail_those_beside_it(store: SqliteStore) -> None:
    """Of batches that go into one commit only the one that cannot be stored fails (FAULTS C13)."""
    poisoned = row(body="\ud800")
    batches = [[row()], [row()], [row(), poisoned], [row()]]
    results = await asyncio.gather(
        *[store.add("p", batch, received_at=AT) for batch in batches], return_exceptions=True
    )
    assert [isinstance(result, Exception) for result in results] == [False, False, True, False]
    assert (await store.totals("p")).events == {"turn": 3}


async def test_readers_can_neither_write_nor_checkpoint(store: SqliteStore) -> None:
    """There is one connection that writes and checkpoints, so the WAL fault of older SQLite cannot occur (trap 17)."""
    reader = open_reader(store.path)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM events")
    assert reader.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)
    reader.close()


async def test_the_writer_waits_for_the_disk(store: SqliteStore) -> None:
    """The file is in WAL mode and each commit is synced (FAULTS C10)."""
    connection = store._connection
    assert connection is not None
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


async def test_a_read_that_takes_too_long_fails_alone(tmp_path: Path) -> None:
    """A long read ends with an error instead of holding up the checkpoints, and the next one works (FAULTS C14)."""
    store = SqliteStore(tmp_path / "lumina.db", read_timeout_s=-1)
    await store.open()
    await store.add("p", [row(session_id=f"s{number}") for number in range(2000)], received_at=AT)
    with pytest.raises(StoreError, match="interrupted"):
        await store.sessions("p", limit=10, text="nowhere")
    assert await store.session("p", "s7") is not None
    await store.aclose()


QUERIES = {
    f"{module.__name__.rpartition('.')[2]}.{name}": text
    for module in (sqlite_links, sqlite_read, sqlite_users)
    for name, text in vars(module).items()
    if isinstance(text, str) and text.split()[:1] == ["SELECT"] and "WHERE" in text
}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
async def test_every_list_is_read_off_an_index(store: SqliteStore, query: str) -> None:
    """No query walks through or sorts a table of events, however many there are (FAULTS C29)."""
    reader = open_reader(store.path)
    plan = [step[3] for step in reader.execute(f"EXPLAIN QUERY PLAN {query}", [1] * query.count("?"))]
    reader.close()
    assert not [step for step in plan if "SCAN" in step or ("TEMP" in step and "counters" not in query)]


async def test_a_closed_store_says_so(store: SqliteStore) -> None:
    """After the end neither a write nor a read hangs (FAULTS C13)."""
    await store.aclose()
    with pytest.raises(StoreError, match="closed"):
        await store.add("p", [row()], received_at=AT)
    with pytest.raises(StoreError, match="closed"):
        await store.totals("p")


async def test_closing_finishes_what_was_begun(tmp_path: Path) -> None:
    """Every batch that was handed over before the end is committed and answered (FAULTS C31)."""
    store = SqliteStore(tmp_path / "lumina.db")
    await store.open()
    waiting = [asyncio.create_task(store.add("p", [row()], received_at=AT)) for _ in range(20)]
    await asyncio.sleep(0)
    await store.aclose()
    assert sum(added.accepted for added in await asyncio.gather(*waiting)) == 20
