"""Connections that go stale, reset, trickle and flood, by servers that break HTTP byte by byte."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from support import config

from faults.raw import OK, Connection, raw_server
from lumina_async._transport import HttpTransport, Payload


@asynccontextmanager
async def transport(url: str, timeout_ms: int = 10_000) -> AsyncIterator[HttpTransport]:
    made = HttpTransport(config(endpoint=url, request_timeout_ms=timeout_ms))
    await made.open()
    try:
        yield made
    finally:
        await made.aclose()


def payload(name: str) -> Payload:
    return Payload(body=f'{{"event_id":"{name}"}}\n'.encode(), count=1, batch_id=name, encoding=None)


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_a_stale_connection_costs_no_attempt(end: str) -> None:
    """A request on a kept connection that has ended is sent at once, once, on a fresh one (FAULTS N22)."""
    bodies: list[tuple[int, bytes]] = []

    async def once_each(connection: Connection) -> None:
        bodies.append((connection.number, await connection.request() or b""))
        connection.writer.write(OK)
        bodies.append((connection.number, await connection.request() or b""))
        if end == "reset":
            connection.reset()

    async with raw_server(once_each) as server, transport(server.url) as http:
        assert [str(await http.post(payload(name), "now")) for name in "ab"] == ["status 200"] * 2
    assert bodies[:3] == [(1, payload("a").body), (1, payload("b").body), (2, payload("b").body)]


async def test_a_fresh_connection_that_fails_is_a_failed_attempt() -> None:
    """Only a kept connection is retried: a server that always hangs up is asked once (FAULTS N22)."""

    async def hang_up(connection: Connection) -> None:
        await connection.request()

    async with raw_server(hang_up) as server, transport(server.url) as http:
        assert (await http.post(payload("a"), "now")).failure == "ServerDisconnectedError"
    assert server.connections == 1


async def test_the_retry_on_a_fresh_connection_shares_the_deadline() -> None:
    """A stale connection and then silence cost one timeout, not two (FAULTS N13, N22)."""

    async def once_then_silence(connection: Connection) -> None:
        if connection.number > 1:
            await asyncio.Event().wait()
        await connection.request()
        connection.writer.write(OK)
        await connection.request()
        await asyncio.sleep(0.15)

    async with raw_server(once_then_silence) as server, transport(server.url, timeout_ms=250) as http:
        assert (await http.post(payload("a"), "now")).status == 200
        began = asyncio.get_running_loop().time()
        assert (await http.post(payload("b"), "now")).failure == "TimeoutError"
        assert asyncio.get_running_loop().time() - began < 0.35
    assert server.connections == 2


async def test_connections_are_kept_between_batches() -> None:
    """Ten batches one after the other take one connection, whether or not the answer has a body."""

    async def empty_or_not(connection: Connection) -> None:
        while (body := await connection.request()) is not None:
            connection.writer.write(OK if b"3" in body else b"HTTP/1.1 204 No Content\r\n\r\n")

    async with raw_server(empty_or_not) as server, transport(server.url) as http:
        for number in range(10):
            assert (await http.post(payload(str(number)), "now")).status in {200, 204}
    assert server.connections == 1
