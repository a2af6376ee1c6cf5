"""What is deleted: by age, and of one user (FAULTS C17, C34).

Synchronous code for the writer's thread, but for what says that it reads. Deleting goes in short steps, each one
transaction, so that batches that come meanwhile are stored in between.
"""

import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any

import attrs
import orjson

from lumina_async._events import EventName, Status
from lumina_async._trace import event_id_ms
from lumina_async.collector.costs import NANO
from lumina_async.collector.sqlite_links import feedback_of
from lumina_async.collector.sqlite_write import transaction
from lumina_async.collector.store import Row

_STEP_ROWS = 500
_STEP_S = 0.01
_SCAN_ROWS = 2000

_COLUMNS = "arrival, project, event_id, name, session_id, distinct_id, turn_id, received_at, cost"
_OLDEST = f"SELECT {_COLUMNS}, body FROM events ORDER BY arrival LIMIT ?"  # noqa: S608  (column names from a fixed list)
_ONE = f"SELECT {_COLUMNS}, body FROM events WHERE arrival = ?"  # noqa: S608  (column names from a fixed list)
_SCAN = """
SELECT arrival, name, session_id, distinct_id, turn_id FROM events
WHERE project = ? AND arrival > ? ORDER BY arrival LIMIT ?
"""
_FEEDBACK = "SELECT arrival FROM events WHERE project = ? AND turn_id = ? AND name = 'feedback'"
_DELETE = "DELETE FROM events WHERE arrival = ?"
_SUBTRACT = """
UPDATE sessions SET turns = turns - ?, errors = errors - ?, cancelled = cancelled - ?, feedback = feedback - ?,
    nano_usd = nano_usd - ?, unpriced = unpriced - ?
WHERE project = ? AND session_id = ?
"""
_ENDED_SESSIONS = "SELECT session_id, distinct_id FROM sessions WHERE project = ? AND last_arrival <= ?"
_SESSIONS_OF = "SELECT session_id FROM sessions INDEXED BY sessions_user WHERE project = ? AND distinct_id = ?"
_DELETE_SESSION = "DELETE FROM sessions WHERE project = ? AND session_id = ?"
_ALIAS = "SELECT user_id FROM aliases WHERE project = ? AND anonymous_id = ?"
_ALIASES = "SELECT anonymous_id FROM aliases WHERE project = ? AND user_id = ?"
_DELETE_ALIASES = "DELETE FROM aliases WHERE project = ? AND user_id = ?"
_USER = "SELECT identified_at, event_id FROM users WHERE project = ? AND user_id = ?"
_DELETE_USER = "DELETE FROM users WHERE project = ? AND user_id = ?"


@attrs.frozen
class Person:
    """Everything of one user that is to be deleted, except for their events."""

    project: str
    user_id: str
    ids: frozenset[str]
    """The user's own, and those that they had before they were known."""
    sessions: frozenset[str]


def person(connection: sqlite3.Connection, project: str, distinct_id: str) -> Person:
    """Return who an id stands for; reads only."""
    alias = connection.execute(_ALIAS, (project, distinct_id)).fetchone()
    user_id: str = alias[0] if alias else distinct_id
    ids = frozenset([user_id, *(row[0] for row in connection.execute(_ALIASES, (project, user_id)))])
    sessions = (row[0] for one in ids for row in connection.execute(_SESSIONS_OF, (project, one)))
    return Person(project, user_id, ids, frozenset(sessions))


def with_turns(connection: sqlite3.Connection, who: Person, after: int) -> tuple[Person, int | None]:
    """Add the sessions in which they have a turn among the next events; reads only.

    Returns:
        The person, and where to go on; None at the end.
    """
    rows = connection.execute(_SCAN, (who.project, after, _SCAN_ROWS)).fetchall()
    theirs = {row[2] for row in rows if row[1] == EventName.TURN and row[3] in who.ids and row[2] is not None}
    return attrs.evolve(who, sessions=who.sessions | theirs), rows[-1][0] if rows else None


def events_of(connection: sqlite3.Connection, who: Person, after: int) -> tuple[list[int], int | None]:
    """Return the arrivals among the next events that are to be deleted, and where to go on; reads only.

    A conversation goes as a whole, since each of its turns may repeat what was said before, and with it what was said
    of its turns.
    """
    rows = connection.execute(_SCAN, (who.project, after, _SCAN_ROWS)).fetchall()
    found = [row for row in rows if row[3] in who.ids or row[2] in who.sessions]
    turns = [row[4] for row in found if row[1] == EventName.TURN and row[4] is not None]
    said = [one[0] for turn_id in turns for one in connection.execute(_FEEDBACK, (who.project, turn_id))]
    return [*(row[0] for row in found), *said], rows[-1][0] if rows else None


def delete_events(connection: sqlite3.Connection, arrivals: Sequence[int]) -> int:
    """Delete the first of these events, as many as are done in a moment; return how many of them are done."""

    def rows() -> Iterator[Sequence[Any]]:
        for arrival in arrivals[:_STEP_ROWS]:
            # One that is gone already counts as done.
            yield connection.execute(_ONE, (arrival,)).fetchone() or ()

    with transaction(connection):
        return len(_deleted(connection, rows()))


def delete_person(connection: sqlite3.Connection, who: Person) -> bool:
    """Delete the sessions of a user, who they are, and who they were before; return whether there was any of it."""
    changes = connection.total_changes
    with transaction(connection):
        connection.executemany(_DELETE_SESSION, [(who.project, session_id) for session_id in who.sessions])
        connection.execute(_DELETE_ALIASES, (who.project, who.user_id))
        connection.execute(_DELETE_USER, (who.project, who.user_id))
    return connection.total_changes != changes


def expire(connection: sqlite3.Connection, before: datetime) -> int:
    """Delete the oldest events if they arrived before a time, as many as are done in a moment; return how many."""
    first = _text(before)
    with transaction(connection):
        oldest = connection.execute(_OLDEST, (_STEP_ROWS,)).fetchall()
        done = _deleted(connection, takewhile(lambda row: row[7] < first, oldest))
        for project in {row[1] for row in done}:
            # Sessions whose latest event is gone have no other.
            last = max(row[0] for row in done if row[1] == project)
            ended = connection.execute(_ENDED_SESSIONS, (project, last)).fetchall()
            connection.executemany(_DELETE_SESSION, [(project, session_id) for session_id, _ in ended])
            identified = {row[5] for row in done if row[1] == project and row[3] == EventName.IDENTIFY}
            people = {distinct_id for _, distinct_id in ended} | identified
            _expire_people(connection, project, people - {None}, before)
    return len(done)


def _expire_people(connection: sqlite3.Connection, project: str, people: Iterable[str], before: datetime) -> None:
    first_ms = before.timestamp() * 1000
    for who in {person(connection, project, one) for one in people}:
        known = connection.execute(_USER, (project, who.user_id)).fetchone()
        if who.sessions or (known and (known[0] >= _text(before) or (event_id_ms(known[1]) or 0) >= first_ms)):
            continue
        connection.execute(_DELETE_ALIASES, (project, who.user_id))
        connection.execute(_DELETE_USER, (project, who.user_id))


def _deleted(connection: sqlite3.Connection, rows: Iterable[Sequence[Any]]) -> list[Sequence[Any]]:
    until = time.monotonic() + _STEP_S
    done: list[Sequence[Any]] = []
    for row in rows:
        done.append(row)
        if row:
            _subtract(connection, row)
            connection.execute(_DELETE, (row[0],))
        if time.monotonic() > until:
            break
    return done


def _subtract(connection: sqlite3.Connection, row: Sequence[Any]) -> None:
    arrival, project, event_id, name, session_id, _, turn_id, _, cost, body = row
    event = Row(event_id=event_id, name=name, body="", session_id=session_id, turn_id=turn_id)
    about, feedback = feedback_of(connection, project, event, arrival)
    if about is not None and feedback:
        connection.execute(_SUBTRACT, (0, 0, 0, feedback, 0, 0, project, about))
    if name == EventName.TURN and session_id is not None:
        status = orjson.loads(body).get("status")
        spent = orjson.loads(cost or "{}")
        costs = round((spent.get("usd") or 0) * NANO), spent.get("unpriced", 0)
        counts = (1, status == Status.ERROR, status == Status.CANCELLED, 0, *costs)
        connection.execute(_SUBTRACT, (*counts, project, session_id))


def _text(moment: datetime) -> str:
    """Return a time as `received_at` has it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
