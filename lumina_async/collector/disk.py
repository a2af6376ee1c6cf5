"""What the SQLite file stands on: whether the disk takes what is written, and how long the log of changes has become.

Synchronous code for the writer's thread, but for what is only read.
"""

import glob
import logging
import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs

from lumina_async.collector.errors import DiskError
from lumina_async.collector.sqlite_write import Batch, write
from lumina_async.collector.store import Added, Health

logger = logging.getLogger("lumina_async.collector")

LOG_BYTES = 64 * 1024 * 1024
"""What the log of changes may hold; a longer one is an alarm (FAULTS C14)."""
_EARLY_LOG_BYTES = LOG_BYTES // 2
_READERS_END_MS = 250

_PROBE_BYTES = 1024 * 1024
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

_Id = tuple[int, int]


@attrs.define(eq=False)
class Disk:
    """Commits batches, and knows whether that works.

    A disk that is full or fails is tried again with each batch, so that it needs no restart. A file that is damaged,
    or is no longer the one that was opened, is not written to any more.
    """

    path: Path
    interrupt_readers: Callable[[], None]
    """Ends every read under way, from any thread."""
    error: DiskError | None = attrs.field(init=False, default=None)
    alarm: str | None = attrs.field(init=False, default=None)
    _is_lost: bool = attrs.field(init=False, default=False)
    _id: _Id | None = attrs.field(init=False, default=None)
    _tried_bytes: int = attrs.field(init=False, default=0)
    """How long the log was when emptying it failed."""

    @property
    def is_lost(self) -> bool:
        """Whether nothing but a restart, with another file, helps."""
        return self._is_lost

    def commit(self, connection: sqlite3.Connection, batches: Sequence[Batch]) -> list[Added | Exception]:
        """Store the batches as `write` does; raises `DiskError` when the disk takes nothing."""
        self._check_file()
        changes = connection.total_changes
        try:
            outcomes = write(connection, batches)
        except sqlite3.Error as error:
            raise self._failed(error) from error
        # A transaction that changes nothing is not written, and proves nothing.
        if connection.total_changes != changes:
            self._works()
            self._shorten_log(connection)
        return outcomes

    def probe(self, connection: sqlite3.Connection) -> None:
        """Find out whether the disk works again."""
        try:
            self._check_file()
            self._write_beside()
            # The version that it has anyway: the least that is written and synced.
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            connection.execute(f"PRAGMA user_version = {version}")
        except (DiskError, OSError):
            return
        except sqlite3.Error as error:
            self._failed(error)
            return
        self._works()

    def erase(self, connection: sqlite3.Connection) -> bool:
        """Let nothing of what is deleted be left; return whether there was room for that and no program in the way.

        The copies from before a migration go too: they hold everything, and are of no use to this version.
        """
        # Pages whose rows were moved to others keep bytes of them that `secure_delete` does not overwrite, so the file
        # is written anew. It would be built in memory otherwise.
        connection.execute("PRAGMA temp_store = FILE")
        try:
            connection.execute("VACUUM")
        except sqlite3.Error as error:
            logger.error("%s could not be written anew after a deletion: %s.", self.path, error)
            return False
        finally:
            connection.execute("PRAGMA temp_store = MEMORY")
        for copy in self.path.parent.glob(f"{glob.escape(self.path.name)}.schema-*"):
            copy.unlink(missing_ok=True)
        self.interrupt_readers()
        return _truncated(connection, _READERS_END_MS)

    def health(self) -> Health:
        """Return what there is to say, for any thread."""
        try:
            usage = os.statvfs(self.path.parent)
            free_bytes = usage.f_bavail * usage.f_frsize
        except (OSError, AttributeError):  # Windows has no such call.
            free_bytes = None
        error = None if self.error is None else str(self.error)
        return Health(error=error, alarm=self.alarm, free_bytes=free_bytes, log_bytes=self._log_bytes() or 0)

    def _write_beside(self) -> None:
        # A few bytes find room on a disk that has none for a batch.
        path = self.path.with_name(f"{self.path.name}.probe")
        try:
            with path.open("wb") as file:
                file.write(bytes(_PROBE_BYTES))
                os.fsync(file.fileno())
        finally:
            path.unlink(missing_ok=True)

    def _failed(self, error: sqlite3.Error) -> DiskError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _DAMAGED:
            self._is_lost = True
            message = f"The database is damaged ({error}). It is kept as it is, and not written to any more."
        else:
            message = f"The database takes nothing: {error} ({getattr(error, 'sqlite_errorname', 'SQLITE_ERROR')})."
        return self._fails(DiskError(message, is_full=code == sqlite3.SQLITE_FULL))

    def _fails(self, error: DiskError) -> DiskError:
        if self.error is None:
            logger.error("%s What is sent now is refused, so that it is sent again. (%s)", error, self.path)
        self.error = error
        return error

    def _works(self) -> None:
        if self.error is not None:
            logger.warning("%s takes events again.", self.path)
            self.error = None

    def _check_file(self) -> None:
        if self._is_lost:
            assert self.error is not None  # noqa: S101
            raise self.error
        # Whoever deletes or replaces the file of a running collector leaves it writing into one that nobody will find.
        now = _id_of(self.path)
        self._id = self._id or now
        if now is None or now != self._id or self._log_bytes() is None:
            self._is_lost = True
            message = "The database or its log of changes was deleted or replaced. Start the collector again."
            raise self._fails(DiskError(message))

    def _log_bytes(self) -> int | None:
        try:
            return os.stat(f"{self.path}-wal").st_size  # noqa: PTH116  (three times as fast, for every commit)
        except OSError:
            return None

    def _shorten_log(self, connection: sqlite3.Connection) -> None:
        size = self._log_bytes() or 0
        # Not with every commit: trying costs a moment, and the readers their pages.
        if size < _EARLY_LOG_BYTES or self._tried_bytes <= size < self._tried_bytes + _EARLY_LOG_BYTES // 4:
            return
        # 1. Nobody reads at this moment: done. 2. A read is under way: it has to end. 3. It is one of another program.
        is_short = _truncated(connection, 0)
        if not is_short and size >= LOG_BYTES:
            self.interrupt_readers()
            is_short = _truncated(connection, _READERS_END_MS)
        self._tried_bytes = 0 if is_short else size
        if is_short:
            self.alarm = None
        elif size >= LOG_BYTES:
            if self.alarm is None:
                logger.error("The log of changes of %s has %d bytes: another program is reading it.", self.path, size)
            self.alarm = "The log of changes grows, for another program is reading the database. End that program."


def truncate_log(connection: sqlite3.Connection, wait_ms: int) -> bool:
    """Write the log of changes back and empty it; return whether no reader stood in the way for that long."""
    (before,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute(f"PRAGMA busy_timeout = {wait_ms}")
    try:
        (is_busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.execute(f"PRAGMA busy_timeout = {before}")
    return not is_busy


def _truncated(connection: sqlite3.Connection, wait_ms: int) -> bool:
    try:
        return truncate_log(connection, wait_ms)
    except sqlite3.Error:
        # The rows are durable in the log already; that it cannot be written back shows at the next commit.
        return False


def _id_of(path: Path) -> _Id | None:
    try:
        found = os.stat(path)  # noqa: PTH116  (three times as fast, for every commit)
    except OSError:
        return None
    return found.st_dev, found.st_ino
