"""Connections that are slow, and connections that are too many (FAULTS C25, C26, G13)."""

import asyncio
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import ClientSession

from lumina_async.collector import Collector
from lumina_async.collector.descriptors import allow_many, connections_of
from lumina_async.collector.sockets import Patience, Slow, Sockets

from .kit import get, lines, post, raw, request, turn

QUICK = Patience(head_s=0.1, body_s=1.0, body_grace_s=0.1, body_bytes_per_s=100_000, write_s=0.1)
HEAD = ("X-Api-Key: k", "Content-Type: text/plain")


@asynccontextmanager
async def serving(patience: Patience) -> AsyncIterator[tuple[Collector, ClientSession]]:
    async with Collector(db=":memory:", port=0, patience=patience) as collector:
        async with ClientSession(collector.url, headers={"X-Api-Key": "k"}) as client:
            yield collector, client


async def slow(client: ClientSession) -> dict[str, int]:
    _, stats = await get(client, "/api/stats")
    return stats["connections"]["slow"]  # type: ignore[no-any-return]


async def ended(reader: asyncio.StreamReader) -> None:
    with suppress(ConnectionResetError):
        while await reader.read(100_000):
            pass


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing at all"),
        pytest.param(b"POST /v1/ing", id="half a request line"),
        pytest.param(request("GET /healthz HTTP/1.1")[:-2], id="headers without an end"),
        pytest.param(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" + b"GET /", id="half a second request"),
    ],
)
async def test_slow_headers_end_the_connection(sent: bytes) -> None:
    """Who does not finish the head of a request in time is cut off and counted, at any request (FAULTS C25)."""
    async with serving(QUICK) as (collector, client):
        reader, writer = await asyncio.open_connection("127.0.0.1", collector.port)
        first, rest = sent[:-5], sent[-5:]
        writer.write(first)
        if b"\r\n\r\n" in first:
            await reader.readuntil(b"\r\n\r\n")
        writer.write(rest)
        await ended(reader)
        writer.close()
        assert (await slow(client))["head"] == 1


@pytest.mark.parametrize("sent", [b"", b"x" * 999], ids=len)
async def test_a_slow_body_ends_with_408(sent: bytes) -> None:
    """A body that stops, or comes with less than the least rate, is answered so that it is sent again (FAULTS C25)."""
    async with serving(QUICK) as (collector, client):
        head = request("POST /v1/ingest HTTP/1.1", *HEAD, "Content-Length: 1000", body=sent)
        answer = await raw(collector.port, head)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"slow_body"' in answer
        assert await slow(client) == {"body": 1}


async def test_a_body_at_the_least_rate_is_taken() -> None:
    """A sender on a thin line has the time that its bytes have earned it, up to the bound (FAULTS C25)."""
    patience = Patience()
    assert [patience.body_until(received) for received in (0, 1000, 9000, 10**7)] == [5.0, 6.0, 14.0, 15.0]
    async with serving(Patience(body_grace_s=0.2, body_bytes_per_s=2000)) as (collector, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", collector.port)
        body = lines(turn()).ljust(1200)
        writer.write(request("POST /v1/ingest HTTP/1.1", *HEAD, "Content-Length: 1200"))
        for start in range(0, 1200, 300):
            writer.write(body[start : start + 300])
            await asyncio.sleep(0.1)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        writer.close()


async def test_a_slow_reader_is_cut_off() -> None:
    """Who asks for much and takes nothing of it does not hold it in memory (FAULTS C25)."""
    async with serving(QUICK) as (collector, client):
        for _ in range(10):
            await post(client, lines(*[turn("x" * 10_000) for _ in range(100)]))
        reader, writer = await asyncio.open_connection("127.0.0.1", collector.port, limit=1)
        writer.write(request("GET /api/export HTTP/1.1"))
        while not await slow(client):
            await asyncio.sleep(0.05)
        await ended(reader)
        writer.close()
        assert await slow(client) == {"write": 1}


async def test_a_kept_connection_may_rest() -> None:
    """Between two requests a client may wait longer than a head may take (FAULTS C25)."""
    async with serving(Patience(head_s=0.1)) as (collector, client):
        reader, writer = await asyncio.open_connection("127.0.0.1", collector.port)
        for _ in range(2):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await reader.readuntil(b"}")
            await asyncio.sleep(1.2)
        writer.close()
        assert await slow(client) == {}


async def test_too_many_connections_get_503() -> None:
    """Beyond the bound a connection gets an answer that says when to come again, and others go on (FAULTS C26)."""
    async with serving(Patience(connections=3)) as (collector, client):
        await get(client, "/healthz")
        held = [await asyncio.open_connection("127.0.0.1", collector.port) for _ in range(2)]
        answer = b""
        while b" 503 " not in answer:
            answer = await raw(collector.port, request("GET /healthz HTTP/1.1"))
        assert b"\r\nRetry-After: " in answer
        assert b"\r\nContent-Security-Policy: " in answer
        _, stats = await get(client, "/api/stats")
        assert (stats["connections"]["open"], stats["connections"]["refused"] > 0) == (3, True)
        for _, writer in held:
            writer.close()
        while not (await raw(collector.port, request("GET /healthz HTTP/1.1"))).startswith(b"HTTP/1.1 200 "):
            pass


async def test_a_refused_connection_that_says_nothing_ends() -> None:
    """Who is not admitted and waits does not stay (FAULTS C26)."""
    async with serving(Patience(connections=0)) as (collector, _):
        assert await raw(collector.port, b"") == b""


class Peer:
    def slow(self, now: float, patience: Patience) -> Slow | None:
        del now, patience
        return None

    def cut(self) -> None:
        raise AssertionError


def test_one_address_cannot_take_all_connections() -> None:
    """One address has a bound of its own, but for this machine, where a proxy may stand for many (FAULTS C26)."""
    sockets = Sockets(Patience(connections=10, per_address=2))
    far = [Peer() for _ in range(3)]
    assert [sockets.admit(peer, "192.0.2.1") for peer in far] == [True, True, False]
    assert [sockets.admit(Peer(), address) for address in ("192.0.2.2", *["127.0.0.1"] * 4, "::1", None)] == [True] * 7
    sockets.closed(far[2])
    sockets.closed(far[0])
    assert [sockets.admit(Peer(), "192.0.2.1") for _ in range(2)] == [True, False]
    assert sockets.facts["refused"] == 2


async def test_many_slow_connections_do_not_slow_a_healthy_one() -> None:
    """Half-sent heads and bodies by the hundred are gone in time, while requests beside them pass (FAULTS G13)."""
    half = request("POST /v1/ingest HTTP/1.1", *HEAD, "Content-Length: 1000", body=b"{")
    async with serving(Patience(head_s=0.5, body_grace_s=0.5)) as (collector, client):
        peers = [await asyncio.open_connection("127.0.0.1", collector.port) for _ in range(300)]
        for number, (_, writer) in enumerate(peers):
            writer.write(half[: -1 if number % 2 else 20])
        while sum((await slow(client)).values()) < 300:
            assert (await post(client, lines(turn())))[0] == 200
        assert await slow(client) == {"head": 150, "body": 150}
        for _, writer in peers:
            writer.close()


async def test_deep_pipelining_is_answered_in_order(collector: Collector) -> None:
    """A thousand requests in one go are answered one by one, and memory holds no more than a few (FAULTS C26)."""
    one = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = await raw(collector.port, one * 999 + request("GET /healthz HTTP/1.1"))
    assert answer.count(b"HTTP/1.1 200 ") == 1000


async def test_headers_without_end_are_refused(collector: Collector) -> None:
    """A hundred thousand bytes of headers, in one field or many, are no request (FAULTS C26)."""
    for headers in (["X-Long: " + "x" * 100_000], [f"X-{number}: y" for number in range(10_000)]):
        assert (await raw(collector.port, request("GET / HTTP/1.1", *headers))).startswith((b"HTTP/1.1 400 ", b""))
        assert (await raw(collector.port, request("GET /healthz HTTP/1.1"))).startswith(b"HTTP/1.1 200 ")


def test_there_are_files_for_all_connections() -> None:
    """Where few files may be open there are fewer connections, so that accepting never fails (FAULTS C26)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        assert connections_of(10_000) == 156
        assert connections_of(10) == 10
        allow_many()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(hard, 65_536)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
