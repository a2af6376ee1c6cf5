"""How the SQLite file is opened: by one that writes, and by those that only read.

Two connections that write and checkpoint at once can lose committed rows on SQLite before 3.51.3 (FAULTS trap 17), so
there is one connection that does both, and the readers do neither.
"""

import os
import sqlite3
from pathlib import Path

from lumina_async.collector.errors import StartError
from lumina_async.collector.schema import APPLICATION_ID, migrate

_WRITER_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA wal_autocheckpoint = 2000",
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -32000",
    "PRAGMA trusted_schema = OFF",
    # What is deleted or replaced is overwritten, so that nothing of a user is left once they are deleted (FAULTS C34).
    "PRAGMA secure_delete = ON",
)
_BUSY_S = 2.0
"""Nobody else should be writing; who does, with a tool of SQLite, holds up every sender for so long at most."""
_READER_PRAGMAS = (
    "PRAGMA query_only = ON",
    "PRAGMA wal_autocheckpoint = 0",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA temp_store = MEMORY",
)


def open_writer(path: Path) -> sqlite3.Connection:
    """Open the one connection that writes, creating or migrating the file.

    Raises:
        StartError: The file cannot be opened, is not ours, or is of a later version.
    """
    try:
        # Transcripts are nobody's but the user's who runs this; SQLite gives its side files the same mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise StartError(f"Cannot open {path}: {_reason(error)}. Name another file with --db.") from None
    try:
        _check_owner(connection, path)
        for pragma in _WRITER_PRAGMAS:
            connection.execute(pragma)
        migrate(connection, path)
    except (OSError, sqlite3.Error) as error:
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
    if tables and application_id != APPLICATION_ID:
        raise StartError(f"{path} is the database of another program. Name another file with --db.")


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else str(error)) or type(error).__name__
