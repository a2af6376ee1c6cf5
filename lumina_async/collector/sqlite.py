"""A store in one SQLite file: one thread writes, a few read, and batches that wait are committed together."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import attrs

from lumina_async.collector import sqlite_delete, sqlite_read, sqlite_users
from lumina_async.collector.commits import Commits
from lumina_async.collector.connections import open_reader, open_writer
from lumina_async.collector.disk import Disk
from lumina_async.collector.errors import StoreError
from lumina_async.collector.sqlite_write import Batch
from lumina_async.collector.store import (
    Added,
    Forgotten,
    Health,
    Page,
    Row,
    SessionSummary,
    StoredEvent,
    Totals,
    UserSummary,
)

_READERS = 3
_PROGRESS_STEPS = 1000

_Result = TypeVar("_Result")
_Args = ParamSpec("_Args")


@attrs.define(eq=False)
class SqliteStore:
    """Keeps events in one SQLite file; see `Store` for what each method does.

    A commit is a plain function in the writer's thread that no task owns: whoever waits for it may be cancelled, the
    transaction is not.
    """

    path: Path
    read_timeout_s: float = 5.0
    """A read that takes longer fails, so that none keeps the log of changes from being written back (FAULTS C14)."""
    _writer: ThreadPoolExecutor = attrs.field(init=False)
    _readers: ThreadPoolExecutor = attrs.field(init=False)
    _connection: sqlite3.Connection | None = attrs.field(init=False, default=None)
    _disk: Disk = attrs.field(init=False)
    _probing: asyncio.Lock = attrs.field(init=False, factory=asyncio.Lock)
    _reading: list[sqlite3.Connection] = attrs.field(init=False, factory=list[sqlite3.Connection])
    _local: threading.local = attrs.field(init=False, factory=threading.local)
    _commits: Commits = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._disk = Disk(self.path, self._interrupt_readers)
        self._commits = Commits(self._commit, _translated)

    @property
    def engine(self) -> Mapping[str, str]:
        """The version of SQLite; those before 3.51.3 rely on there being one writer (FAULTS trap 17)."""
        return {"sqlite_version": sqlite3.sqlite_version}

    async def open(self) -> None:
        """Open or create the file; raises `StartError`."""
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="lumina-writer")
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="lumina-reader")
        try:
            self._connection = await _in(self._writer, partial(open_writer, self.path))
        except BaseException:
            self._shut_threads()
            raise

    async def aclose(self) -> None:
        """Finish the commits under way, then close the readers and last the writer, who alone may checkpoint."""
        await self._commits.finish()
        connection, self._connection = self._connection, None
        if connection is None:
            return
        self._interrupt_readers()
        self._readers.shutdown(wait=True)
        for reader in self._reading:
            reader.close()
        self._writer.submit(connection.close)
        self._shut_threads()

    async def health(self) -> Health:
        """Return how the disk is."""
        async with self._probing:
            # Those who watch may have sent the senders elsewhere, so that no batch comes to find out.
            if self._disk.error is not None and not self._disk.is_lost and self._connection is not None:
                await _in(self._writer, partial(self._disk.probe, self._connection))
        return await asyncio.to_thread(self._disk.health)

    async def add(self, project: str, rows: Sequence[Row], *, received_at: str, rejected: int = 0) -> Added:
        """Store the rows that are new; durable when it returns."""
        if self._connection is None:
            raise StoreError("The store is closed.")
        return await self._commits.add(Batch(project=project, rows=rows, received_at=received_at, rejected=rejected))

    async def expire(self, before: datetime) -> int:
        """Delete some of what is older than that."""
        return await self._write(sqlite_delete.expire, before)

    async def forget(self, project: str, distinct_id: str) -> Forgotten | None:
        """Delete everything of a user."""
        who = await self._read(sqlite_delete.person, project, distinct_id)
        after: int | None = -1
        while after is not None:
            who, after = await self._read(sqlite_delete.with_turns, who, after)
        arrivals: dict[int, None] = {}
        after = -1
        while after is not None:
            found, after = await self._read(sqlite_delete.events_of, who, after)
            arrivals.update(dict.fromkeys(found))
        left = list(arrivals)
        while left:
            del left[: await self._write(sqlite_delete.delete_events, left)]
        is_known = await self._write(sqlite_delete.delete_person, who)
        if not is_known and not arrivals:
            return None
        is_erased = await self._write(self._disk.erase)
        return Forgotten(events=len(arrivals), sessions=len(who.sessions), is_erased=is_erased)

    async def sessions(
        self, project: str, *, limit: int, cursor: str | None = None, text: str | None = None
    ) -> Page[SessionSummary]:
        """Return sessions, latest activity first."""
        return await self._read(sqlite_read.sessions, project, limit, cursor, text)

    async def session(self, project: str, session_id: str) -> SessionSummary | None:
        """Return one session."""
        return await self._read(sqlite_read.session, project, session_id)

    async def session_turns(
        self, project: str, session_id: str, *, limit: int, cursor: str | None = None
    ) -> Page[StoredEvent]:
        """Return the turns of a session in order."""
        return await self._read(sqlite_read.session_turns, project, session_id, limit, cursor)

    async def turn(self, project: str, turn_id: str) -> StoredEvent | None:
        """Return one turn."""
        return await self._read(sqlite_read.turn, project, turn_id)

    async def user(self, project: str, distinct_id: str) -> UserSummary | None:
        """Return what is known of a user."""
        return await self._read(sqlite_users.user, project, distinct_id)

    async def user_sessions(
        self, project: str, distinct_id: str, *, limit: int, cursor: str | None = None
    ) -> Page[SessionSummary]:
        """Return the sessions of a user."""
        return await self._read(sqlite_users.user_sessions, project, distinct_id, limit, cursor)

    async def events(
        self, project: str, *, limit: int, cursor: str | None = None, name: str | None = None
    ) -> Page[StoredEvent]:
        """Return events, latest arrival first."""
        return await self._read(sqlite_read.events, project, limit, cursor, name)

    async def projects(self) -> Sequence[str]:
        """Return the names of the projects."""
        return await self._read(sqlite_read.projects)

    async def totals(self, project: str) -> Totals:
        """Return the counts."""
        return await self._read(sqlite_read.totals, project)

    async def export(self, project: str) -> AsyncIterator[Sequence[StoredEvent]]:
        """Yield every event."""
        after = -1
        while True:
            events, after = await self._read(sqlite_read.export, project, after)
            if not events:
                return
            yield events

    def _commit(self, batches: Sequence[Batch]) -> "asyncio.Future[list[Added | Exception]]":
        assert self._connection is not None  # noqa: S101  (`aclose` waits for the commits before it lets go of it)
        return _in(self._writer, partial(self._disk.commit, self._connection, batches))

    async def _read(
        self,
        query: Callable[Concatenate[sqlite3.Connection, _Args], _Result],
        *args: _Args.args,
        **kwargs: _Args.kwargs,
    ) -> _Result:
        if self._connection is None:
            raise StoreError("The store is closed.")
        try:
            return await _in(self._readers, lambda: query(self._reader(), *args, **kwargs))
        except sqlite3.Error as error:
            raise _translated(error) from error

    async def _write(
        self, step: Callable[Concatenate[sqlite3.Connection, _Args], _Result], *args: _Args.args, **kwargs: _Args.kwargs
    ) -> _Result:
        if self._connection is None:
            raise StoreError("The store is closed.")
        try:
            return await _in(self._writer, partial(step, self._connection, *args, **kwargs))
        except sqlite3.Error as error:
            raise _translated(error) from error

    def _reader(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = open_reader(self.path)
            self._reading.append(connection)
        deadline = time.monotonic() + self.read_timeout_s
        connection.set_progress_handler(lambda: time.monotonic() > deadline, _PROGRESS_STEPS)
        return connection

    def _interrupt_readers(self) -> None:
        for reader in tuple(self._reading):
            reader.interrupt()

    def _shut_threads(self) -> None:
        self._readers.shutdown(wait=True)
        self._writer.shutdown(wait=True)


def _in(threads: ThreadPoolExecutor, function: Callable[[], _Result]) -> "asyncio.Future[_Result]":
    return asyncio.get_running_loop().run_in_executor(threads, function)


def _translated(error: BaseException) -> BaseException:
    if isinstance(error, sqlite3.Error):
        return StoreError(f"SQLite says: {error} ({getattr(error, 'sqlite_errorname', type(error).__name__)}).")
    return error
