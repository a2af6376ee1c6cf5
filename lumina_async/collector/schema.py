"""The tables of the SQLite file, and how a file of an earlier version becomes one of this."""

import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from lumina_async.collector.errors import StartError

logger = logging.getLogger("lumina_async.collector")

APPLICATION_ID = 0x4C554D41
"""`LUMA`, so that no file of another program is ever migrated."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # `arrival` numbers the events of the file in the order in which they were stored: lists are sorted by it.
        """
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
        )
        """,
        "CREATE UNIQUE INDEX events_id ON events (project, event_id)",
        "CREATE INDEX events_recent ON events (project, arrival)",
        "CREATE INDEX events_name ON events (project, name)",
        "CREATE INDEX events_session ON events (project, session_id, started_at, seq, event_id) WHERE name = 'turn'",
        "CREATE INDEX events_turn ON events (project, turn_id) WHERE name = 'turn'",
        """
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
        ) WITHOUT ROWID
        """,
        "CREATE INDEX sessions_recent ON sessions (project, last_arrival)",
        "CREATE INDEX sessions_user ON sessions (project, distinct_id, last_arrival)",
        """
        CREATE TABLE counters (
            project TEXT NOT NULL,
            kind TEXT NOT NULL,
            name TEXT NOT NULL,
            value INTEGER NOT NULL,
            PRIMARY KEY (project, kind, name)
        ) WITHOUT ROWID
        """,
        # The latest report of each sending process, so that the next one counts for its difference only.
        """
        CREATE TABLE reports (
            project TEXT NOT NULL,
            client_id TEXT NOT NULL,
            event_id TEXT NOT NULL,
            lost TEXT NOT NULL,
            PRIMARY KEY (project, client_id)
        ) WITHOUT ROWID
        """,
    ),
    # Version 2: who an anonymous visitor turned out to be, and what was said of a turn.
    (
        # The first user that an anonymous id is said to be stays it (SPEC 10); `arrival` is that of the event.
        """
        CREATE TABLE aliases (
            project TEXT NOT NULL,
            anonymous_id TEXT NOT NULL,
            user_id TEXT NOT NULL,
            arrival INTEGER NOT NULL,
            PRIMARY KEY (project, anonymous_id)
        ) WITHOUT ROWID
        """,
        "CREATE INDEX aliases_user ON aliases (project, user_id, arrival)",
        # `event_id` is that of the event with the properties, or empty while there are none.
        """
        CREATE TABLE users (
            project TEXT NOT NULL,
            user_id TEXT NOT NULL,
            identified_at TEXT NOT NULL,
            event_id TEXT NOT NULL,
            properties TEXT NOT NULL,
            PRIMARY KEY (project, user_id)
        ) WITHOUT ROWID
        """,
        "CREATE INDEX events_feedback ON events (project, turn_id) WHERE name = 'feedback'",
        "ALTER TABLE sessions ADD COLUMN feedback INTEGER NOT NULL DEFAULT 0",
        # What came before this version. JSON that nests deeper than SQLite reads is passed over; CASE stops in time.
        """
        INSERT OR IGNORE INTO aliases (project, anonymous_id, user_id, arrival)
        SELECT project, previous_id, distinct_id, arrival FROM (
            SELECT project, distinct_id, arrival, CASE WHEN json_valid(body) THEN
                CASE WHEN json_type(body, '$.previous_id') = 'text' AND json_type(body, '$.anonymous') IS NOT 'true'
                THEN json_extract(body, '$.previous_id') END END AS previous_id
            FROM events WHERE name = 'identify' AND substr(distinct_id, 1, 5) <> 'anon_'
        )
        WHERE substr(previous_id, 1, 5) = 'anon_' AND length(previous_id) <= 200 ORDER BY arrival
        """,
        """
        INSERT INTO users (project, user_id, identified_at, event_id, properties)
        SELECT project, distinct_id, received_at, CASE properties WHEN '{}' THEN '' ELSE event_id END, properties FROM (
            SELECT project, distinct_id, received_at, event_id, arrival,
                CASE WHEN json_valid(body) AND length(body) <= 16384 THEN
                CASE WHEN json_type(body, '$.properties') = 'object' THEN json_extract(body, '$.properties')
                ELSE '{}' END ELSE '{}' END AS properties,
                CASE WHEN json_valid(body) THEN json_type(body, '$.anonymous') END AS anonymous
            FROM events WHERE name = 'identify' AND substr(distinct_id, 1, 5) <> 'anon_'
        )
        WHERE anonymous IS NOT 'true' ORDER BY arrival
        ON CONFLICT (project, user_id) DO UPDATE SET event_id = excluded.event_id, properties = excluded.properties
        WHERE excluded.event_id > users.event_id
        """,
        """
        UPDATE sessions SET feedback = said.count FROM (
            SELECT project, COUNT(*) AS count, CASE WHEN turn_id IS NULL THEN session_id ELSE (
                SELECT turn.session_id FROM events AS turn
                WHERE turn.project = events.project AND turn.turn_id = events.turn_id AND turn.name = 'turn'
                ORDER BY turn.arrival LIMIT 1
            ) END AS about
            FROM events WHERE name = 'feedback' GROUP BY project, about
        ) AS said
        WHERE said.project = sessions.project AND said.about = sessions.session_id
        """,
    ),
    # Version 3: what a turn cost, as it was found when the turn arrived; nothing is known of what came before.
    (
        "ALTER TABLE events ADD COLUMN cost TEXT",
        "ALTER TABLE sessions ADD COLUMN nano_usd INTEGER",
        "ALTER TABLE sessions ADD COLUMN unpriced INTEGER NOT NULL DEFAULT 0",
    ),
)
"""One tuple of statements per version. A released one never changes."""


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring a file to this version, step by step, each in a transaction of its own.

    A file with data is copied first, beside itself under the number of its version: only an earlier lumina_async can
    read what this leaves of it. The copy holds transcripts, so a line of the log names it.

    Raises:
        StartError: The file is of a later version.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise StartError(
            f"{path} was written by a later version of lumina_async (schema {version}; this one reads up to "
            f"{len(MIGRATIONS)}). Upgrade lumina_async or name another file with --db."
        )
    if 0 < version < len(MIGRATIONS):
        copy = _copy(connection, path, version)
        logger.warning("%s is brought to a later version; %s is what it was. Delete it when all is well.", path, copy)
    for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
        _step(connection, statements, number)


def _step(connection: sqlite3.Connection, statements: tuple[str, ...], number: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _copy(connection: sqlite3.Connection, path: Path, version: int) -> Path:
    copy, unfinished = (path.with_name(f"{path.name}.schema-{version}{end}") for end in ("", ".part"))
    os.close(os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600))
    with closing(sqlite3.connect(unfinished)) as target:
        connection.backup(target)
    # Whatever a process left that was stopped half-way is written anew; what bears the name is whole.
    unfinished.replace(copy)
    return copy
