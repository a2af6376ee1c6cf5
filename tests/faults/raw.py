"""Servers that speak, or break, HTTP byte by byte: what no framework would send."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import attrs

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


@attrs.define(eq=False)
class Connection:
    """One connection as the server sees it."""

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def request(self) -> bytes | None:
        """Return the body of the next request, or None at the end of the connection."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        return await self.reader.readexactly(int(length))

    def reset(self) -> None:
        """End it with an RST."""
        self.writer.transport.abort()


@attrs.define(eq=False)
class RawServer:
    """Where it listens, and how many connections came, and are open."""

    url: str = ""
    port: int = 0
    connections: int = 0
    now_open: int = 0
    most_open: int = 0


Serve = Callable[[Connection], Awaitable[None]]


@asynccontextmanager
async def raw_server(
    serve: Serve, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[RawServer]:
    """Serve each connection by this function; what still runs at the end is cancelled."""
    server, tasks = RawServer(), set[asyncio.Task[None]]()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        server.connections += 1
        server.now_open += 1
        server.most_open = max(server.most_open, server.now_open)
        # A server that ends its handlers by cancelling them is no news to the loop.
        with suppress(asyncio.CancelledError, ConnectionError, asyncio.IncompleteReadError):
            await serve(Connection(server.connections, reader, writer))
        server.now_open -= 1
        tasks.discard(task)
        writer.close()

    listening = await asyncio.start_server(connected, host, 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    server.url = f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{server.port}"
    try:
        yield server
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def answer_all(connection: Connection) -> None:
    """Answer every request with 200 and keep the connection."""
    while await connection.request() is not None:
        connection.writer.write(OK)
        await connection.writer.drain()
