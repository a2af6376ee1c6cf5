"""The collector as a whole: the file, its lock, the store, the server."""

import asyncio
import errno
import logging
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

import attrs
from aiohttp import web
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy

from lumina_async.collector.access import Access
from lumina_async.collector.app import create_app
from lumina_async.collector.decode import Limits
from lumina_async.collector.descriptors import connections_of
from lumina_async.collector.errors import StartError
from lumina_async.collector.lock import locked
from lumina_async.collector.protocol import protocol_factory
from lumina_async.collector.retention import kept_for
from lumina_async.collector.sockets import Patience, Sockets
from lumina_async.collector.sqlite import SqliteStore
from lumina_async.collector.store import Store

logger = logging.getLogger("lumina_async.collector")

MEMORY = ":memory:"

LOOPBACK = {"127.0.0.1": "127.0.0.1", "::1": "::1", "localhost": "127.0.0.1"}
"""Names that only this machine reaches, and where they are served."""
_FROM_HERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "localhost": "127.0.0.1"}  # noqa: S104
"""The address of this machine at which it answers itself."""
_BACKLOG = 1024
_SHUTDOWN_S = 5.0


@attrs.define(kw_only=True, eq=False)
class Collector:
    """A collector that serves while its block runs.

        async with Collector(db=":memory:", port=0) as collector:
            client = LuminaClient(LuminaConfig(endpoint=collector.url, write_key="gi_dev"))

    Leaving the block stops accepting, commits and answers what was read whole, and closes the file.

    Args:
        db: The SQLite file, created when missing; `":memory:"` keeps everything in a temporary one that is deleted.
        host: A loopback address; with an `access` that asks for keys and a page token, any.
        port: 0 takes a free one; `port` and `url` then say which.
        limits: What one request may hold.
        retention: How long events are kept after they arrived; None keeps them for good. What is sent later than that
            after it happened is rejected as `too_old`.
        patience: How many connections there may be, and how long each may take.
        access: Who may write and look; as it stands everybody on this machine.

    Raises:
        StartError: On entering: the port or the file is taken, the host is not loopback, the file is not a
            collector's or of a later version. The message says what to do.
    """

    db: str | Path = "lumina.db"
    host: str = "127.0.0.1"
    port: int = 4600
    limits: Limits = attrs.field(factory=Limits)
    retention: timedelta | None = None
    patience: Patience = attrs.field(factory=Patience)
    access: Access = attrs.field(factory=Access)
    _stack: AsyncExitStack = attrs.field(init=False, factory=AsyncExitStack)
    _store: SqliteStore | None = attrs.field(init=False, default=None)

    @property
    def url(self) -> str:
        """The origin to send events to, which is also the address of the page."""
        address = _FROM_HERE.get(self.host, self.host)
        return f"http://{f'[{address}]' if ':' in address else address}:{self.port}"

    @property
    def store(self) -> Store:
        """The open store; a `RuntimeError` outside the block."""
        if self._store is None:
            raise RuntimeError("The collector is not running; use it with `async with`.")
        return self._store

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            address = self._address()
            path = self._path(stack)
            lock = stack.enter_context(locked(path))
            lock.check()
            self._store = SqliteStore(path)
            await self._store.open()
            stack.push_async_callback(self._store.aclose)
            lock.note()
            if self.retention is not None:
                await stack.enter_async_context(kept_for(self._store, self.retention))
                self.limits = attrs.evolve(self.limits, retention_ms=int(self.retention.total_seconds() * 1000))
            await self._serve(stack, address)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._store = None
        await self._stack.aclose()

    def _address(self) -> str:
        if self.host not in LOOPBACK and self.access.is_open:
            raise StartError(
                f"Whoever reaches this collector may write and read: it serves on loopback only, not on {self.host}. "
                "Use `lumina collector`, which asks for keys and a page token."
            )
        return LOOPBACK.get(self.host, self.host)

    def _check_parser(self) -> None:
        # The one in Python takes requests that proxies read in another way (FAULTS C27).
        if HttpRequestParser is not HttpRequestParserPy:
            return
        message = "aiohttp has no compiled parser here: AIOHTTP_NO_EXTENSIONS is set, or there is no wheel of it."
        if not self.access.is_open:
            raise StartError(f"{message} Install aiohttp with its extensions to serve others.")
        logger.warning("%s Do not serve others with it.", message)

    def _path(self, stack: AsyncExitStack) -> Path:
        if str(self.db) == MEMORY:
            folder = stack.enter_context(TemporaryDirectory(prefix="lumina-", ignore_cleanup_errors=True))
            return Path(folder) / "lumina.db"
        # Two names of one file must not have two locks.
        return Path(self.db).expanduser().resolve()

    async def _serve(self, stack: AsyncExitStack, address: str) -> None:
        # `handler_cancellation` stays off: a batch whose sender left is still committed (FAULTS trap 8).
        most = connections_of(self.patience.connections)
        sockets = Sockets(attrs.evolve(self.patience, connections=most))
        stack.enter_context(sockets.swept())
        self._check_parser()
        app = create_app(self.store, self.limits, sockets, self.access)
        runner = web.AppRunner(app, shutdown_timeout=_SHUTDOWN_S)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_server(protocol_factory(runner, sockets), address, self.port, backlog=_BACKLOG)
        except OSError as error:
            raise StartError(_bind_message(error, address, self.port)) from None
        stack.callback(server.close)
        self.port = server.sockets[0].getsockname()[1]


def _bind_message(error: OSError, address: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {address} is taken. Stop what uses it, or choose another with --port (0: any free one)."
    return f"Cannot serve on {address}, port {port}: {error.strerror}. Choose another with --port."
