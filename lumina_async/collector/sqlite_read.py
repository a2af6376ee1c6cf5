"""The queries of the readers: plain synchronous code for the readers' threads. Bound parameters only."""

import sqlite3
from collections.abc import Sequence
from string import ascii_lowercase, ascii_uppercase
from typing import Any

import attrs

from lumina_async.collector.cursors import cursor_of, key_of
from lumina_async.collector.sqlite_write import SESSION_COLUMNS, session_of
from lumina_async.collector.store import Page, SessionSummary, StoredEvent, Totals

_EXPORT_ROWS = 500
_TOP_NAMES = 100
_MAX_FEEDBACK = 50
"""Shown of one turn; what more there is has been counted."""
LAST = 2**63 - 1
"""Before it is every arrival."""
_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)

# A session is stored under the id that it came with; whose it is, is found when it is read (SPEC 10).
SESSIONS = f"""
SELECT {SESSION_COLUMNS}, COALESCE(user_id, CASE WHEN anonymous = 0 THEN distinct_id END), last_arrival
FROM sessions LEFT JOIN aliases ON aliases.project = sessions.project AND anonymous_id = distinct_id
"""  # noqa: S608  (column names from a fixed list)
_SESSIONS = f"""
{SESSIONS} WHERE sessions.project = ? AND last_arrival < ?
ORDER BY last_arrival DESC LIMIT ?
"""
_SESSIONS_WITH = f"""
{SESSIONS} WHERE sessions.project = ? AND last_arrival < ? AND (
    instr(lower(session_id), ?) OR instr(lower(distinct_id), ?) OR instr(lower(user_id), ?) OR instr(lower(preview), ?)
)
ORDER BY last_arrival DESC LIMIT ?
"""
_SESSION = f"{SESSIONS} WHERE sessions.project = ? AND session_id = ?"
_SESSION_TURNS = """
SELECT body, received_at, cost, turn_id, started_at, seq, event_id FROM events
WHERE project = ? AND session_id = ? AND name = 'turn' AND (started_at, seq, event_id) > (?, ?, ?)
ORDER BY started_at, seq, event_id LIMIT ?
"""
_TURN = """
SELECT body, received_at, cost, turn_id FROM events
WHERE project = ? AND turn_id = ? AND name = 'turn' ORDER BY arrival LIMIT 1
"""
_FEEDBACK = """
SELECT body, received_at FROM events
WHERE project = ? AND turn_id = ? AND name = 'feedback' ORDER BY arrival DESC LIMIT ?
"""
_EVENTS = """
SELECT body, received_at, arrival FROM events
WHERE arrival < ? AND project = ? ORDER BY arrival DESC LIMIT ?
"""
_EVENTS_NAMED = """
SELECT body, received_at, arrival FROM events
WHERE arrival < ? AND project = ? AND name = ? ORDER BY arrival DESC LIMIT ?
"""
# From one name to the next by the index, since each project may have any number of counters.
_PROJECTS = """
WITH RECURSIVE names (project) AS (
    SELECT MIN(project) FROM counters
    UNION ALL
    SELECT (SELECT MIN(project) FROM counters WHERE project > names.project) FROM names WHERE project IS NOT NULL
)
SELECT project FROM names WHERE project IS NOT NULL
"""
_EVENT_COUNTS = """
SELECT name, value FROM counters WHERE project = ? AND kind = 'event' ORDER BY value DESC, name LIMIT ?
"""
_COUNTS = "SELECT kind, name, value FROM counters WHERE project = ? AND kind IN ('wire', 'turn', 'session')"
_LOST = """
SELECT name, value FROM counters WHERE project = ? AND kind = 'lost' AND value > 0
ORDER BY value DESC, name LIMIT ?
"""
_EXPORT = (
    "SELECT body, received_at, cost, arrival FROM events WHERE project = ? AND arrival > ? ORDER BY arrival LIMIT ?"
)


def sessions(
    connection: sqlite3.Connection, project: str, limit: int, cursor: str | None, text: str | None
) -> Page[SessionSummary]:
    """Return a page of sessions, latest activity first."""
    before = key_of(cursor, int)[0] if cursor else LAST
    if text is None:
        rows = connection.execute(_SESSIONS, (project, before, limit + 1)).fetchall()
    else:
        # Not LIKE: there `%` and `_` would be wildcards, and a NUL would end the pattern. Case counts beyond ASCII,
        # which is all that SQLite folds, so no more is folded here.
        part = text.translate(_LOWER)
        rows = connection.execute(_SESSIONS_WITH, (project, before, *(part,) * 4, limit + 1)).fetchall()
    return session_page(rows, limit)


def session_page(rows: Sequence[Sequence[Any]], limit: int) -> Page[SessionSummary]:
    """Return the page for rows of `SESSIONS`, of which there is one more than the page takes if there is another."""
    return Page(items=[_session(row) for row in rows[:limit]], next=_next(rows, limit, -1))


def session(connection: sqlite3.Connection, project: str, session_id: str) -> SessionSummary | None:
    """Return one session."""
    values = connection.execute(_SESSION, (project, session_id)).fetchone()
    return None if values is None else _session(values)


def session_turns(
    connection: sqlite3.Connection, project: str, session_id: str, limit: int, cursor: str | None
) -> Page[StoredEvent]:
    """Return a page of the turns of a session, each with what was said of it."""
    after = key_of(cursor, str, int, str) if cursor else ("", -1, "")
    rows = connection.execute(_SESSION_TURNS, (project, session_id, *after, limit + 1)).fetchall()
    return Page(items=[_turn(connection, project, row) for row in rows[:limit]], next=_next(rows, limit, 4))


def turn(connection: sqlite3.Connection, project: str, turn_id: str) -> StoredEvent | None:
    """Return the turn of this id with what was said of it."""
    row = connection.execute(_TURN, (project, turn_id)).fetchone()
    return None if row is None else _turn(connection, project, row)


def events(
    connection: sqlite3.Connection, project: str, limit: int, cursor: str | None, name: str | None
) -> Page[StoredEvent]:
    """Return a page of events, latest arrival first."""
    before = key_of(cursor, int)[0] if cursor else LAST
    if name is None:
        rows = connection.execute(_EVENTS, (before, project, limit + 1)).fetchall()
    else:
        rows = connection.execute(_EVENTS_NAMED, (before, project, name, limit + 1)).fetchall()
    return Page(items=[_event(row) for row in rows[:limit]], next=_next(rows, limit, 2))


def projects(connection: sqlite3.Connection) -> list[str]:
    """Return the names of the projects."""
    return [name for (name,) in connection.execute(_PROJECTS)]


def totals(connection: sqlite3.Connection, project: str) -> Totals:
    """Return the counts; of the names of events and reasons those that are most frequent."""
    names = connection.execute(_EVENT_COUNTS, (project, _TOP_NAMES)).fetchall()
    counts = {(kind, name): value for kind, name, value in connection.execute(_COUNTS, (project,))}
    return Totals(
        events=dict(names),
        sessions=counts.get(("session", "sessions"), 0),
        errors=counts.get(("turn", "error"), 0),
        cancelled=counts.get(("turn", "cancelled"), 0),
        duplicates=counts.get(("wire", "duplicates"), 0),
        conflicts=counts.get(("wire", "conflicts"), 0),
        rejected=counts.get(("wire", "rejected"), 0),
        lost=dict(connection.execute(_LOST, (project, _TOP_NAMES))),
    )


def export(connection: sqlite3.Connection, project: str, after: int) -> tuple[list[StoredEvent], int]:
    """Return the next events in order of arrival, without their feedback, and where to go on; none at the end."""
    rows = connection.execute(_EXPORT, (project, after, _EXPORT_ROWS)).fetchall()
    events = [StoredEvent(body=body, received_at=at, cost=cost) for body, at, cost, _ in rows]
    return events, rows[-1][3] if rows else after


def _session(row: Sequence[Any]) -> SessionSummary:
    *values, user_id, _ = row
    return attrs.evolve(session_of(values), user_id=user_id)


def _turn(connection: sqlite3.Connection, project: str, row: Sequence[Any]) -> StoredEvent:
    said = connection.execute(_FEEDBACK, (project, row[3], _MAX_FEEDBACK)).fetchall()
    return attrs.evolve(_event(row), feedback=[_event(one) for one in reversed(said)], cost=row[2])


def _next(rows: Sequence[Sequence[Any]], limit: int, key_from: int) -> str | None:
    # One row more than asked for tells whether there is a next page.
    return cursor_of(*rows[limit - 1][key_from:]) if len(rows) > limit else None


def _event(row: Sequence[Any]) -> StoredEvent:
    return StoredEvent(body=row[0], received_at=row[1])
