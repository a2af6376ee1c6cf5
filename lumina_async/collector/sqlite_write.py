"""One transaction of the writer: synchronous code for the writer's thread, so that nothing stops it half-way."""

import sqlite3
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import attrs
import orjson

from lumina_async._events import Status
from lumina_async.collector.costs import usd_of
from lumina_async.collector.sessions import SessionState, add_event, add_feedback
from lumina_async.collector.sqlite_links import feedback_of, identify
from lumina_async.collector.store import Added, Row, SessionSummary

SESSION_COLUMNS = (
    "session_id, trace_id, distinct_id, anonymous, started_at, last_at, turns, errors, cancelled, feedback, pointers, "
    "preview, nano_usd, unpriced"
)

_OF_ONE_ROW = (sqlite3.Error, ValueError, TypeError, ArithmeticError)
"""What a value raises that SQLite cannot hold; a disk that is full raises `OperationalError` and is not of one row."""
_OF_THE_FILE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_COUNTED = frozenset({Status.ERROR.value, Status.CANCELLED.value})

_INSERT_EVENT = """
INSERT INTO events (project, event_id, name, received_at, session_id, distinct_id, turn_id, started_at, seq, body, cost)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (project, event_id) DO NOTHING
"""
_DIFFERS = "SELECT body <> ? FROM events WHERE project = ? AND event_id = ?"
_READ_SESSION = f"SELECT {SESSION_COLUMNS}, preview_at FROM sessions WHERE project = ? AND session_id = ?"  # noqa: S608
_WRITE_SESSION = f"""
INSERT OR REPLACE INTO sessions (project, last_arrival, {SESSION_COLUMNS}, preview_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""  # noqa: S608  (column names from a fixed list)
_READ_REPORT = "SELECT event_id, lost FROM reports WHERE project = ? AND client_id = ?"
_WRITE_REPORT = "INSERT OR REPLACE INTO reports (project, client_id, event_id, lost) VALUES (?, ?, ?, ?)"
_COUNT = """
INSERT INTO counters (project, kind, name, value) VALUES (?, ?, ?, ?)
ON CONFLICT (project, kind, name) DO UPDATE SET value = value + excluded.value
"""


_Key = tuple[str, str]
"""A project and a session id."""


@attrs.frozen(kw_only=True)
class Batch:
    """What one request brings."""

    project: str
    rows: Sequence[Row]
    received_at: str
    rejected: int


@attrs.define
class _Transaction:
    """The changes of one transaction that are written once at its end."""

    connection: sqlite3.Connection
    sessions: dict[_Key, SessionState] = attrs.field(factory=dict[_Key, SessionState])
    arrivals: dict[_Key, int] = attrs.field(factory=dict[_Key, int])
    counts: Counter[tuple[str, str, str]] = attrs.field(factory=Counter[tuple[str, str, str]])

    def add(self, batch: Batch) -> Added:
        stored: list[Row] = []
        duplicates = conflicts = 0
        for row in batch.rows:
            if (arrival := self._insert(batch, row)) is not None:
                self._summarise(batch, row, arrival)
                stored.append(row)
                continue
            duplicates += 1
            differs = self.connection.execute(_DIFFERS, (row.body, batch.project, row.event_id)).fetchone()
            conflicts += differs[0]
        self.counts[batch.project, "wire", "duplicates"] += duplicates
        self.counts[batch.project, "wire", "conflicts"] += conflicts
        self.counts[batch.project, "wire", "rejected"] += batch.rejected
        return Added(stored=tuple(stored), duplicates=duplicates)

    def finish(self) -> None:
        for (project, session_id), state in self.sessions.items():
            values = _session_values(state)
            self.connection.execute(_WRITE_SESSION, (project, self.arrivals[project, session_id], *values))
        self.connection.executemany(_COUNT, [(*key, value) for key, value in self.counts.items() if value])

    def _insert(self, batch: Batch, row: Row) -> int | None:
        cursor = self.connection.execute(
            _INSERT_EVENT,
            (
                batch.project,
                row.event_id,
                row.name,
                batch.received_at,
                row.session_id,
                row.distinct_id,
                row.turn_id,
                row.started_at,
                row.seq,
                row.body,
                None if row.cost is None else orjson.dumps(row.cost.fields).decode(),
            ),
        )
        return cursor.lastrowid if cursor.rowcount == 1 else None

    def _summarise(self, batch: Batch, row: Row, arrival: int) -> None:
        project = batch.project
        self.counts[project, "event", row.name] += 1
        if row.status is not None and row.status in _COUNTED:
            self.counts[project, "turn", row.status] += 1
        if row.client_id is not None and row.lost is not None:
            self._report(project, row.client_id, row.event_id, row.lost)
        identify(self.connection, project, row, arrival, batch.received_at)
        if row.session_id is not None:
            key = project, row.session_id
            state = self._session(*key)
            if state is None:
                self.counts[project, "session", "sessions"] += 1
            self.sessions[key] = add_event(state, row, row.session_id, batch.received_at)
            self.arrivals[key] = arrival
        session_id, feedback = feedback_of(self.connection, project, row, arrival)
        if session_id is not None and (state := self._session(project, session_id)):
            self.sessions[project, session_id] = add_feedback(state, feedback, batch.received_at)
            self.arrivals[project, session_id] = arrival

    def _session(self, project: str, session_id: str) -> SessionState | None:
        return self.sessions.get((project, session_id)) or self._read_session(project, session_id)

    def _read_session(self, project: str, session_id: str) -> SessionState | None:
        values = self.connection.execute(_READ_SESSION, (project, session_id)).fetchone()
        if values is None:
            return None
        return SessionState(summary=session_of(values[:-1]), preview_at=values[-1], nano_usd=values[-3])

    def _report(self, project: str, client_id: str, event_id: str, lost: Mapping[str, int]) -> None:
        before = self.connection.execute(_READ_REPORT, (project, client_id)).fetchone()
        old_id: str = before[0] if before else ""
        old_lost: dict[str, int] = orjson.loads(before[1]) if before else {}
        # Ids of one process sort in the order they were made, so a report that was held up does not bring old counts.
        if event_id < old_id:
            return
        for reason in {*old_lost, *lost}:
            self.counts[project, "lost", reason] += lost.get(reason, 0) - old_lost.get(reason, 0)
        self.connection.execute(_WRITE_REPORT, (project, client_id, event_id, orjson.dumps(lost).decode()))


def write(connection: sqlite3.Connection, batches: Sequence[Batch]) -> list[Added | Exception]:
    """Store the batches, in one transaction unless one of them spoils it.

    Returns:
        For each batch what became of it: durable, or the error for which none of it is stored.

    Raises:
        sqlite3.Error: The file takes nothing at the moment, or is damaged; no batch is stored.
    """
    try:
        return [*_write_together(connection, batches)]
    except sqlite3.OperationalError:
        raise
    except _OF_ONE_ROW as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _OF_THE_FILE:
            raise
        if len(batches) == 1:
            return [error]
        # One sender's rows must not be the loss of those whose batches happened to wait beside it.
        return [outcome for batch in batches for outcome in write(connection, [batch])]


def _write_together(connection: sqlite3.Connection, batches: Sequence[Batch]) -> list[Added]:
    with transaction(connection):
        changes = _Transaction(connection)
        added = [changes.add(batch) for batch in batches]
        changes.finish()
    return added


@contextmanager
def transaction(connection: sqlite3.Connection) -> Generator[None, None, None]:
    """Commit what is done in the block, or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A failed COMMIT has rolled back by itself on some errors (a full disk), and not on others.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def session_of(values: Sequence[Any]) -> SessionSummary:
    """Return the summary whose `SESSION_COLUMNS` have these values."""
    anonymous = values[3]
    return SessionSummary(
        session_id=values[0],
        trace_id=values[1],
        distinct_id=values[2],
        anonymous=None if anonymous is None else bool(anonymous),
        started_at=values[4],
        last_at=values[5],
        turns=values[6],
        errors=values[7],
        cancelled=values[8],
        feedback=values[9],
        pointers=orjson.loads(values[10]),
        preview=values[11],
        cost_usd=usd_of(values[12]),
        unpriced=values[13],
    )


def _session_values(state: SessionState) -> tuple[Any, ...]:
    it = state.summary
    return (
        it.session_id,
        it.trace_id,
        it.distinct_id,
        it.anonymous,
        it.started_at,
        it.last_at,
        it.turns,
        it.errors,
        it.cancelled,
        it.feedback,
        orjson.dumps(it.pointers).decode(),
        it.preview,
        state.nano_usd,
        it.unpriced,
        state.preview_at,
    )
