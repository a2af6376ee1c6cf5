"""What one event says about another: who a visitor turned out to be, and what was said of a turn.

Synchronous code for the writer's thread, within the transaction of the event. No event is changed by another: what is
linked here is looked up by the readers (SPEC 10).
"""

import sqlite3

import orjson

from lumina_async._events import EventName
from lumina_async.collector.store import Row

_ADD_ALIAS = """
INSERT INTO aliases (project, anonymous_id, user_id, arrival) VALUES (?, ?, ?, ?)
ON CONFLICT (project, anonymous_id) DO NOTHING
"""
# Ids of events sort by when they were made, so an event that was held up does not bring old properties.
_ADD_USER = """
INSERT INTO users (project, user_id, identified_at, event_id, properties) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (project, user_id) DO UPDATE SET event_id = excluded.event_id, properties = excluded.properties
WHERE excluded.event_id > users.event_id
"""
_TURN = """
SELECT arrival, session_id FROM events WHERE project = ? AND turn_id = ? AND name = 'turn' ORDER BY arrival LIMIT 1
"""
_FEEDBACK_COUNT = "SELECT COUNT(*) FROM events WHERE project = ? AND turn_id = ? AND name = 'feedback'"


def identify(connection: sqlite3.Connection, project: str, row: Row, arrival: int, received_at: str) -> None:
    """Keep what an event says of a user: the first user that a visitor turns out to be, the latest properties."""
    if row.properties is None:
        return
    if row.alias is not None:
        connection.execute(_ADD_ALIAS, (project, row.alias, row.distinct_id, arrival))
    event_id = row.event_id if row.properties else ""
    properties = orjson.dumps(row.properties).decode()
    connection.execute(_ADD_USER, (project, row.distinct_id, received_at, event_id, properties))


def feedback_of(connection: sqlite3.Connection, project: str, row: Row, arrival: int) -> tuple[str | None, int]:
    """Return of which session a stored event tells feedback, and how much: a turn may come after what is said of it."""
    if row.name == EventName.FEEDBACK:
        if row.turn_id is None:
            return row.session_id, 1
        turn = connection.execute(_TURN, (project, row.turn_id)).fetchone()
        return (turn[1], 1) if turn else (None, 0)
    if row.name != EventName.TURN or row.turn_id is None:
        return None, 0
    (count,) = connection.execute(_FEEDBACK_COUNT, (project, row.turn_id)).fetchone()
    # Of several turns with one id feedback is that of the first.
    if not count or connection.execute(_TURN, (project, row.turn_id)).fetchone()[0] != arrival:
        return None, 0
    return row.session_id, count
