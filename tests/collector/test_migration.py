"""A file of an earlier version becomes one of this, whole or not at all (FAULTS C16)."""

import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession

from lumina_async.collector import Collector
from lumina_async.collector.errors import StartError
from lumina_async.collector.schema import MIGRATIONS

from .kit import event, get, items, send, turn

SCHEMA_1 = """
CREATE TABLE events (
    arrival INTEGER PRIMARY KEY,
    project TEXT NOT NULL,
    event_id TEXT NOT NULL,
    name TEXT NOT NULL,
    received_at TEXT NOT NULL,
    session_id TEXT,
    distinct_id TEXT,
    turn_id TEXT,
    started_at TEXT NOT NULL,
    seq INTEGER NOT NULL,
    body TEXT NOT NULL
);
CREATE UNIQUE INDEX events_id ON events (project, event_id);
CREATE INDEX events_recent ON events (project, arrival);
CREATE INDEX events_name ON events (project, name);
CREATE INDEX events_session ON events (project, session_id, started_at, seq, event_id) WHERE name = 'turn';
CREATE INDEX events_turn ON events (project, turn_id) WHERE name = 'turn';
CREATE TABLE sessions (
    project TEXT NOT NULL,
    session_id TEXT NOT NULL,
    last_arrival INTEGER NOT NULL,
    trace_id TEXT,
    distinct_id TEXT,
    anonymous INTEGER,
    started_at TEXT NOT NULL,
    last_at TEXT NOT NULL,
    turns INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    pointers TEXT NOT NULL,
    preview TEXT,
    preview_at TEXT NOT NULL,
    PRIMARY KEY (project, session_id)
) WITHOUT ROWID;
CREATE INDEX sessions_recent ON sessions (project, last_arrival);
CREATE INDEX sessions_user ON sessions (project, distinct_id, last_arrival);
CREATE TABLE counters (
    project TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    value INTEGER NOT NULL,
    PRIMARY KEY (project, kind, name)
) WITHOUT ROWID;
CREATE TABLE reports (
    project TEXT NOT NULL,
    client_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    lost TEXT NOT NULL,
    PRIMARY KEY (project, client_id)
) WITHOUT ROWID;
PRAGMA application_id = 0x4C554D41;
PRAGMA user_version = 1;
"""
"""What version 1 made of an empty file."""

AT = "2026-01-01T10:00:00.000Z"


def visitor(session_id: str, anonymous_id: str = "anon_1", **fields: Any) -> dict[str, Any]:
    return turn(session_id=session_id, distinct_id=anonymous_id, anonymous=True, **fields)


def identify(previous_id: object, user_id: str = "nora", **fields: Any) -> dict[str, Any]:
    return event("identify", session_id=None, distinct_id=user_id, previous_id=previous_id, **fields)


def former(path: Path, *events: dict[str, Any]) -> Path:
    """Write a file as version 1 left it when its process was killed: part of it is still in the WAL."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(SCHEMA_1)
        for one in events:
            keep(connection, one)
        connection.commit()
    return path


def keep(connection: sqlite3.Connection, one: dict[str, Any]) -> None:
    ids = [one.get(name) for name in ("event_id", "name", "session_id", "distinct_id", "turn_id")]
    connection.execute(
        "INSERT INTO events (project, event_id, name, session_id, distinct_id, turn_id, received_at, started_at, seq, "
        "body) VALUES ('default', ?, ?, ?, ?, ?, ?, ?, 0, ?)",
        (*ids, AT, one.get("started_at", ""), one.get("body") or orjson.dumps(one).decode()),
    )
    if one["session_id"] is not None:
        connection.execute(
            "INSERT OR REPLACE INTO sessions VALUES ('default', ?, last_insert_rowid(), NULL, ?, ?, ?, ?, 1, 0, 0, "
            "'{}', 'Hello', '')",
            (one["session_id"], one["distinct_id"], one["anonymous"], AT, AT),
        )


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return int(version)


@asynccontextmanager
async def reading(db: Path) -> AsyncIterator[ClientSession]:
    async with Collector(db=db, port=0) as collector:
        async with ClientSession(collector.url, headers={"X-Api-Key": "k"}) as client:
            yield client


async def test_a_file_of_version_1_is_read_and_written_on(tmp_path: Path) -> None:
    """Its events and sessions are all there, and new ones join them."""
    db = former(tmp_path / "lumina.db", visitor("a", turn_id="t1"), visitor("b"))
    async with reading(db) as client:
        assert [session["session_id"] for session in await items(client, "/api/sessions")] == ["b", "a"]
        await send(client, visitor("a", turn_id="t2"), identify("anon_1"))
        sessions = {session["session_id"]: session for session in await items(client, "/api/sessions")}
        assert (sessions["a"]["turns"], sessions["a"]["user_id"], sessions["b"]["user_id"]) == (2, "nora", "nora")
        assert len(await items(client, "/api/events")) == 4
    assert version_of(db) == len(MIGRATIONS)


async def test_identities_of_version_1_are_learned(tmp_path: Path) -> None:
    """An identification that version 1 stored and did not use counts as if it came today: the first one wins."""
    first = identify("anon_1", properties={"plan": "free"})
    later = [identify("anon_1", "ben"), identify("anon_2", properties={"plan": "pro"}), identify("anon_3")]
    odd = [identify("known"), identify(7), identify("anon_4", anonymous=True), identify("anon_4", "anon_5")]
    deep = {**identify("anon_6", "ida"), "body": '{"a":' + "[" * 1010 + "]" * 1010 + "}"}
    sessions = [visitor(f"s{number}", f"anon_{number}") for number in range(1, 5)]
    db = former(tmp_path / "lumina.db", *sessions, first, *later, *odd, deep)
    async with reading(db) as client:
        found = {session["session_id"]: session["user_id"] for session in await items(client, "/api/sessions")}
        assert found == {"s1": "nora", "s2": "nora", "s3": "nora", "s4": None}
        _, answer = await get(client, "/api/users/nora")
        assert answer["user"]["properties"] == {"plan": "pro"}
        assert answer["user"]["aliases"] == ["anon_3", "anon_2", "anon_1"]
        assert (await get(client, "/api/users/ida"))[1]["user"]["properties"] == {}


async def test_feedback_of_version_1_is_shown_and_counted(tmp_path: Path) -> None:
    """What was said of a turn is found with it, and counts for its session."""
    said = [event("feedback", session_id=None, turn_id=turn_id, score=1) for turn_id in ("t1", "t1", "t9")]
    general = event("feedback", session_id="b", kind="nps")
    db = former(tmp_path / "lumina.db", *said, general, visitor("a", turn_id="t1"), visitor("b"))
    async with reading(db) as client:
        assert {one["session_id"]: one["feedback"] for one in await items(client, "/api/sessions")} == {"a": 2, "b": 1}
        assert len((await get(client, "/api/turns/t1"))[1]["feedback"]) == 2


async def test_the_file_is_copied_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The former version can go on with the copy, which is whole, private, named in the log; a new file has none."""
    db = former(tmp_path / "lumina.db", visitor("a"))
    async with reading(db), reading(tmp_path / "new.db"):
        pass
    copy = tmp_path / "lumina.db.schema-1"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert version_of(copy) == 1
    assert [record.getMessage() for record in caplog.records if str(copy) in record.getMessage()]
    assert {path.name for path in tmp_path.iterdir() if "schema" in path.name} == {copy.name}


KILLED = """
import os, signal, sqlite3, sys
from pathlib import Path
from lumina_async.collector.schema import migrate

connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.set_trace_callback(lambda sql: sys.argv[2] in " ".join(sql.split()) and os.kill(os.getpid(), signal.SIGKILL))
migrate(connection, Path(sys.argv[1]))
"""


STATEMENTS = [" ".join(statement.split())[:30] for statement in MIGRATIONS[1]]


@pytest.mark.parametrize("statement", [*STATEMENTS, "application_id", "user_version = 2"])
async def test_a_kill_in_the_middle_leaves_the_former_file(tmp_path: Path, statement: str) -> None:
    """Killed at any statement, the file is still one of the former version, and the next start goes on (FAULTS C16)."""
    db = former(tmp_path / "lumina.db", visitor("a"), identify("anon_1"))
    killed = subprocess.run([sys.executable, "-c", KILLED, str(db), statement], check=False)  # noqa: ASYNC221
    assert killed.returncode == -signal.SIGKILL
    assert version_of(db) == 1
    async with reading(db) as client:
        assert [session["user_id"] for session in await items(client, "/api/sessions")] == ["nora"]
    assert version_of(db) == len(MIGRATIONS)


async def test_a_file_that_cannot_be_brought_over_is_left_alone(tmp_path: Path) -> None:
    """What stands in the way is said, and nothing is changed."""
    db = former(tmp_path / "lumina.db", visitor("a"))
    with closing(sqlite3.connect(db)) as connection:
        connection.execute("CREATE TABLE users (theirs)")
    with pytest.raises(StartError, match="users already exists"):
        await Collector(db=db, port=0).__aenter__()
    assert version_of(db) == 1


@pytest.mark.parametrize("version", [len(MIGRATIONS) + 1, 2**31 - 1])
async def test_a_later_version_is_refused(tmp_path: Path, version: int) -> None:
    """A file of a later version is not touched, and the message says what to do."""
    db = tmp_path / "lumina.db"
    async with reading(db):
        pass
    with closing(sqlite3.connect(db)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    before = db.read_bytes()
    with pytest.raises(StartError, match=rf"later version .*schema {version}; this one reads up to .*Upgrade"):
        await Collector(db=db, port=0).__aenter__()
    assert db.read_bytes() == before
    assert not list(tmp_path.glob("*.schema-*"))
