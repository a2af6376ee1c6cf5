"""The tables of the SQLite file, and how a file of an earlier version becomes one of this.

Two connections that write and checkpoint at once can lose committed rows on SQLite before 3.51.3 (FAULTS trap 17), so
there is one connection that does both, and the readers do neither.
"""

import os
import sqlite3
from pathlib import Path

from lumina_async.collector.errors import StartError

_APPLICATION_ID = 0x4C554D41
"""`LUMA`, so that no file of another program is ever migrated."""

_WRITER_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA wal_autocheckpoint = 2000",
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -32000",
    "PRAGMA trusted_schema = OFF",
)
_READER_PRAGMAS = (
    "PRAGMA query_only = ON",
    "PRAGMA wal_autocheckpoint = 0",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA temp_store = MEMORY",
)

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
)
"""One tuple of statements per version. A released one never changes."""


def open_writer(path: Path) -> sqlite3.Connection:
    """Open the one connection that writes, creating or migrating the file.

    Raises:
        StartError: The file cannot be opened, is not ours, or is of a later version.
    """
    try:
        # Transcripts are nobody's but the user's who runs this; SQLite gives its side files the same mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise StartError(f"Cannot open {path}: {_reason(error)}. Name another file with --db.") from None
    try:
        _check_owner(connection, path)
        for pragma in _WRITER_PRAGMAS:
            connection.execute(pragma)
        _migrate(connection, path)
    except sqlite3.Error as error:
        connection.close()
        raise StartError(f"Cannot use {path}: {_reason(error)}. Name another file with --db.") from None
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a connection that can neither write nor checkpoint."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        for pragma in _READER_PRAGMAS:
            connection.execute(pragma)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_owner(connection: sqlite3.Connection, path: Path) -> None:
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    if tables and application_id != _APPLICATION_ID:
        raise StartError(f"{path} is the database of another program. Name another file with --db.")


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise StartError(
            f"{path} was written by a later version of lumina_async (schema {version}; this one reads up to "
            f"{len(MIGRATIONS)}). Upgrade lumina_async or name another file with --db."
        )
    for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else str(error)) or type(error).__name__
