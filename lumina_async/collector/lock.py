"""One process per database (FAULTS C11)."""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from lumina_async.collector.errors import StartError


@contextmanager
def locked(database: Path) -> Generator[None, None, None]:
    """Hold the lock beside a database; the system lets go of it when the process ends, however it ends.

    On Windows, which has no `flock`, nothing is locked.

    Raises:
        StartError: Another collector holds it, or the folder cannot be written to.
    """
    path = database.with_name(f"{database.name}.lock")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    except OSError as error:
        raise StartError(f"Cannot write beside {database}: {error.strerror}. Name another file with --db.") from None
    try:
        _lock(descriptor, database)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, database: Path) -> None:
    if sys.platform == "win32":
        return
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise StartError(f"Another collector is using {database}. Stop it, or name another file with --db.") from None
