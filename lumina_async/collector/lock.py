"""One process per database (FAULTS C11)."""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import attrs

from lumina_async.collector.errors import StartError


@attrs.frozen
class Lock:
    """The lock of a database that is held, with a note of which file it was."""

    descriptor: int
    database: Path

    def check(self) -> None:
        """Refuse a file that was put in the place of the former one, whose log of changes is still there (FAULTS C15).

        SQLite would write the changes of the one into the other. Raises `StartError`.
        """
        log = self.database.with_name(f"{self.database.name}-wal")
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        former = os.read(self.descriptor, 100)
        # Beside a file that was deleted SQLite deletes the log as well.
        if former and former != self._identity() != b"" and log.exists() and log.stat().st_size:
            raise StartError(
                f"{self.database} is another file than before, and {log.name} may be that of the former one. Delete "
                f"{log.name} if so; delete {self.database.name}.lock if the two belong together."
            )

    def note(self) -> None:
        """Note which file it is."""
        os.ftruncate(self.descriptor, 0)
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        os.write(self.descriptor, self._identity())

    def _identity(self) -> bytes:
        try:
            found = self.database.stat()
        except FileNotFoundError:
            return b""
        return f"{found.st_dev} {found.st_ino}\n".encode()


@contextmanager
def locked(database: Path) -> Generator[Lock, None, None]:
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
        yield Lock(descriptor, database)
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
