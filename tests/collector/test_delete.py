"""What is deleted, by age and of a user, is gone, and the rest adds up (FAULTS C17, C34)."""

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from lumina_async._trace import new_event_id
from lumina_async.collector import Collector
from lumina_async.collector.costs import TurnCost
from lumina_async.collector.decode import Limits
from lumina_async.collector.sqlite import SqliteStore
from lumina_async.collector.store import Row

from .kit import event, get, items, lines, post, send, turn
from .test_store import AT, row

OLD, NEW = "2026-01-01T10:00:00.000Z", "2026-02-01T10:00:00.000Z"
BETWEEN = datetime(2026, 1, 15, tzinfo=UTC)
BODY = '{"text":"' + "x" * 800 + '"}'
RANDOM = random.Random(4)


async def delete(client: ClientSession, user: str) -> tuple[int, Any]:
    async with client.delete(f"/api/users/{user}", headers={"X-Lumina-Action": "delete"}) as response:
        return response.status, await response.json()


def mixed(number: int) -> dict[str, Any]:
    """A turn of Nora's, some from before she was known, or of Ben's, in a random place of every index."""
    place = f"{RANDOM.getrandbits(16):x}"
    text = "CANARY " * RANDOM.randrange(300)
    if number % 3:
        return turn(text.lower(), session_id=f"{place}_ben", distinct_id="ben", turn_id=f"{place}_b{number}")
    who = {"distinct_id": "anon_CANARY", "anonymous": True} if number % 2 else {"distinct_id": "CANARY_nora"}
    return turn(text, session_id=f"{place}_CANARY_{number}", turn_id=f"{place}_CANARY_{number}", **who)


async def test_a_deleted_user_is_in_no_file(tmp_path: Path) -> None:
    """Rows, summaries, properties, aliases, the log of changes, a former copy: no byte is left (FAULTS C34)."""
    db, copy = tmp_path / "lumina.db", tmp_path / "lumina.db.schema-1"
    copy.write_text("CANARY")
    known = event(
        "identify", session_id=None, distinct_id="CANARY_nora", previous_id="anon_CANARY", properties={"a": 1}
    )
    turns = [mixed(number) for number in range(3000)]
    said = event("feedback", session_id=None, distinct_id="ops", turn_id=turns[0]["turn_id"], comment="CANARY")
    async with Collector(db=db, port=0) as collector:
        async with ClientSession(collector.url, headers={"X-Api-Key": "k"}) as client:
            for start in range(0, 3000, 100):
                await send(client, *turns[start : start + 100])
            await send(client, known, said)
            status, answer = await delete(client, "anon_CANARY")
            assert (status, answer["deleted"]) == (200, {"events": 1002, "sessions": 1000, "is_erased": True})
            assert not [path.name for path in tmp_path.iterdir() if b"CANARY" in path.read_bytes()]
            assert (await get(client, "/api/users/ben"))[1]["user"]["turns"] == 2000
            assert [(await get(client, f"/api/users/{user}"))[0] for user in ("CANARY_nora", "anon_CANARY")] == [
                404
            ] * 2
            assert (await delete(client, "CANARY_nora"))[0] == 404
    assert not copy.exists()
    with closing(sqlite3.connect(db)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_a_conversation_is_deleted_as_a_whole(client: ClientSession) -> None:
    """Turns of others repeat what the user said; what the user only said of others' turns goes alone (FAULTS C34)."""
    await send(client, turn(session_id="both", distinct_id="nora"), turn(session_id="both", distinct_id="ben"))
    await send(client, turn(session_id="bens", distinct_id="ben", turn_id="b1"))
    await send(client, *[event("feedback", session_id=None, distinct_id=who, turn_id="b1") for who in ("nora", "ben")])
    _, answer = await delete(client, "nora")
    assert (answer["deleted"]["events"], answer["deleted"]["sessions"]) == (3, 1)
    (session,) = await items(client, "/api/sessions")
    assert (session["session_id"], session["turns"], session["feedback"]) == ("bens", 1, 1)


async def test_deleting_needs_the_header(client: ClientSession) -> None:
    """A request that does not say that it is meant deletes nothing (FAULTS C21, C34)."""
    await send(client, turn(distinct_id="nora"))
    async with client.delete("/api/users/nora") as response:
        assert response.status == 403
    assert len(await items(client, "/api/events")) == 1


async def test_another_program_in_the_way_of_deleting_is_told(tmp_path: Path) -> None:
    """While somebody else reads the file, the answer does not claim that all bytes are gone (FAULTS C34)."""
    db = tmp_path / "lumina.db"
    async with Collector(db=db, port=0) as collector:
        async with ClientSession(collector.url, headers={"X-Api-Key": "k"}) as client:
            await send(client, turn(distinct_id="nora"))
            with closing(sqlite3.connect(db, isolation_level=None)) as other:
                other.execute("BEGIN")
                other.execute("SELECT * FROM events").fetchall()
                _, answer = await delete(client, "nora")
            assert answer["deleted"] == {"events": 1, "sessions": 1, "is_erased": False}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "lumina.db")
    await store.open()
    yield store
    await store.aclose()


async def expire(store: SqliteStore) -> int:
    total = 0
    while deleted := await store.expire(BETWEEN):
        total += deleted
    return total


def old_id(number: int = 0) -> str:
    return new_event_id(int(BETWEEN.timestamp() * 1e9) - 10**15 + number)


def known(user: str, alias: str, **fields: Any) -> Row:
    facts = {"name": "identify", "session_id": None, "distinct_id": user, "anonymous": False, "alias": alias}
    return row(**{"event_id": old_id(), "properties": {"plan": "pro"}, **facts, **fields})


async def test_what_is_old_is_deleted_with_what_hangs_on_it(store: SqliteStore) -> None:
    """Events go by age, and with the last of them their session and their user (FAULTS C17)."""
    gone = [row(session_id="gone", distinct_id="anon_1", anonymous=True, event_id=old_id(1)) for _ in range(1)]
    await store.add("p", [*gone, known("nora", "anon_1"), known("ben", "anon_2", event_id=old_id(2))], received_at=OLD)
    await store.add("p", [row(session_id="kept", distinct_id="ben")], received_at=NEW)
    assert await expire(store) == 3
    assert [one.session_id for one in (await store.sessions("p", limit=9)).items] == ["kept"]
    assert await store.user("p", "nora") is await store.user("p", "anon_1") is None
    ben = await store.user("p", "anon_2")
    assert ben is not None
    assert (ben.user_id, ben.properties, ben.sessions) == ("ben", {"plan": "pro"}, 1)


async def test_a_session_that_goes_on_counts_what_is_left_of_it(store: SqliteStore) -> None:
    """Turns, errors, feedback and costs that were deleted are no longer counted in their session (FAULTS C17)."""
    bad = {"status": "error", "body": '{"status":"error"}'}
    feedback = {"name": "feedback", "session_id": None}
    cost = TurnCost(nano_usd=500_000_000, unpriced=1, calls=())
    old = [row(turn_id="a", **bad, cost=cost), row(turn_id="b", **bad), row(turn_id="a", **feedback)]
    await store.add("p", old, received_at=OLD)
    await store.add("p", [row(turn_id="c", **bad, cost=cost), row(turn_id="b", **feedback)], received_at=NEW)
    assert await expire(store) == 3
    (session,) = (await store.sessions("p", limit=9)).items
    assert (session.turns, session.errors, session.feedback) == (1, 1, 0)
    assert (session.cost_usd, session.unpriced) == (0.5, 1)
    assert (await store.totals("p")).events == {"turn": 3, "feedback": 2}


async def test_other_projects_and_newer_events_stay(store: SqliteStore) -> None:
    """Of each project what is old goes, and nothing else (FAULTS C17)."""
    for received_at, count in ((OLD, 700), (NEW, 1)):
        for project in ("a", "b"):
            await store.add(project, [row(session_id="s") for _ in range(count)], received_at=received_at)
    assert await expire(store) == 1400
    assert await expire(store) == 0
    for project in ("a", "b"):
        assert [one.turns for one in (await store.sessions(project, limit=9)).items] == [1]


async def test_senders_are_served_while_old_events_are_deleted(store: SqliteStore) -> None:
    """Deleting goes in steps with commits between them, and none is held up for long (FAULTS C17)."""
    for _ in range(4):
        await store.add("p", [row(body=BODY) for _ in range(5000)], received_at=OLD)
    deleting = asyncio.create_task(expire(store))
    commits, slowest, loop = 0, 0.0, asyncio.get_running_loop()
    while not deleting.done():
        began = loop.time()
        await store.add("p", [row()], received_at=NEW)
        commits, slowest = commits + 1, max(slowest, loop.time() - began)
    assert await deleting == 20_000
    assert commits >= 20
    # A step takes 20 ms and a sync; the goal of 100 ms is measured by `benchmarks/bench_collector.py`.
    assert slowest < 1.0


async def test_retention_works_by_itself(tmp_path: Path) -> None:
    """A collector with a retention deletes what is older, and rejects what would be (FAULTS C17)."""
    db = tmp_path / "lumina.db"
    before = SqliteStore(db)
    await before.open()
    await before.add("default", [row(event_id=old_id()), row(event_id=old_id(1))], received_at=OLD)
    await before.aclose()
    async with Collector(db=db, port=0, retention=timedelta(days=1), limits=Limits()) as collector:
        async with ClientSession(collector.url, headers={"X-Api-Key": "k"}) as client:
            await send(client, turn())
            while len(await items(client, "/api/events")) > 1:
                await asyncio.sleep(0.01)
            _, answer = await post(client, lines(turn(event_id=old_id())))
            assert [one["code"] for one in answer["rejected"]] == ["too_old"]


async def test_without_retention_nothing_is_deleted(client: ClientSession, collector: Collector) -> None:
    """By default events stay for good (FAULTS C17)."""
    await collector.store.add("default", [row(body=BODY)], received_at=AT)
    await send(client, turn())
    assert len(await items(client, "/api/events")) == 2
