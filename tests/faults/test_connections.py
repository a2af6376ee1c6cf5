"""Connections that go stale, reset, trickle and flood, by servers that break HTTP byte by byte."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from support import config

from faults.raw import OK, Connection, raw_server
from lumina_async import LuminaClient
from lumina_async._transport import HttpTransport, Payload
from lumina_async.testing import until


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


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK[: OK.index(b"{")], b"{}"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 5 + OK[: OK.index(b"{")], b"{}"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-A\r\n\r\n", b"2\r\n{}\r\n0\r\nX-A: 1\r\n\r\n"),
    ],
    ids=["100", "103 five times", "trailers"],
)
async def test_what_http_allows_is_tolerated(head: bytes, body: bytes) -> None:
    """Answers before the answer, and chunks with trailers (FAULTS N26)."""

    async def serve(connection: Connection) -> None:
        while await connection.request() is not None:
            connection.writer.write(head + body)

    async with raw_server(serve) as server, transport(server.url) as http:
        answers = [await http.post(payload(name), "now") for name in "ab"]
    assert [(answer.status, answer.body) for answer in answers] == [(200, b"{}")] * 2


async def test_a_header_of_64_kb_is_a_failure_like_any_other() -> None:
    """It is refused, so that it costs no memory, and the events are sent again (FAULTS N26)."""

    async def serve(connection: Connection) -> None:
        while await connection.request() is not None:
            connection.writer.write(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 65_536 + b"\r\nContent-Length: 0\r\n\r\n")

    async with raw_server(serve) as server, transport(server.url) as http:
        answer = await http.post(payload("a"), "now")
    assert answer.status is None
    assert answer.failure.isidentifier()


async def test_a_silent_server_sees_no_more_connections_than_may_be() -> None:
    """While nothing is answered, attempts time out one after the other on max_in_flight connections (FAULTS N13)."""

    async def silent(connection: Connection) -> None:
        await connection.reader.read(-1)

    async with raw_server(silent) as server:
        options = {"max_in_flight": 3, "max_batch_bytes": 1_000, "request_timeout_ms": 50, "retry_delays_ms": (0, 0)}
        async with LuminaClient(config(endpoint=server.url, **options)) as client:
            for _ in range(30):
                async with (await client.session.start()).turn():
                    pass
            await until(lambda: server.connections >= 9)
            assert (await client.stats()).lost_total == 0
            await client.shutdown(0)
    assert server.most_open <= 3
