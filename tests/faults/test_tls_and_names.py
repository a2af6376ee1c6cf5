"""Certificates that are wrong, names that do not resolve, and proxies: nothing is sent, and the key stays here."""

import asyncio
import logging
import ssl
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp.resolver
import pytest
import trustme
from support import KEY, assert_closed

from faults.raw import Connection, answer_all, raw_server
from lumina_async import LuminaClient, LuminaConfig
from lumina_async.testing import FaultyIngest, until

LONG_AGO = datetime.now(UTC) - timedelta(days=2)


def served(kind: str, authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if kind == "expired":
        authority.issue_cert("127.0.0.1", not_after=LONG_AGO).configure_cert(context)
    elif kind == "wrong host":
        authority.issue_cert("elsewhere.example").configure_cert(context)
    elif kind == "self-signed":
        trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    else:
        authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def one_event(url: str, context: ssl.SSLContext | None, *, stored: bool) -> LuminaClient:
    options: dict[str, Any] = {"flush_interval_ms": 1, "retry_delays_ms": (0, 0, 0)}
    client = LuminaClient(LuminaConfig(endpoint=url, write_key=KEY, ssl=context, **options))
    async with client:
        await client.session.start()
        assert await client.flush(0.3 if not stored else 10) is stored
        stats = await client.stats()
        assert (stats.stored, stats.lost_total) == (int(stored), 0)
        await client.shutdown(0)
    assert_closed(await client.stats())
    return client


@pytest.mark.parametrize("kind", ["expired", "wrong host", "self-signed"])
async def test_a_wrong_certificate_gets_no_request(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """Expired, for another host, of an unknown authority: no byte of HTTP, one clear line, data kept (FAULTS N19)."""
    caplog.set_level(logging.WARNING, "lumina_async")
    authority, requests = trustme.CA(), []

    async def note(connection: Connection) -> None:
        requests.append(await connection.reader.read(1_000))

    async with raw_server(note, tls=served(kind, authority)) as server:
        await one_event(server.url, trusting(authority), stored=False)
    assert not any(requests)
    assert sum("is its certificate valid" in record.message for record in caplog.records) == 1
    assert KEY not in caplog.text


async def test_a_certificate_of_an_authority_of_ones_own_is_taken() -> None:
    """With its `ssl` context the event arrives (FAULTS N19)."""
    authority = trustme.CA()
    async with raw_server(answer_all, tls=served("good", authority)) as server:
        await one_event(server.url, trusting(authority), stored=True)


async def test_plain_http_on_a_tls_port_shows_no_key() -> None:
    """An https endpoint whose server speaks plain HTTP sees a handshake and no key (FAULTS N19)."""
    seen = bytearray()

    async def plain(connection: Connection) -> None:
        seen.extend(await connection.reader.read(10_000))
        connection.writer.write(b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n")

    async with raw_server(plain) as server:
        await one_event(server.url.replace("http", "https"), None, stored=False)
    assert seen
    assert KEY.encode() not in seen


async def test_a_name_that_does_not_resolve_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS that fails, then works: nothing is lost (FAULTS N21)."""
    asked: list[str] = []
    async with FaultyIngest() as ingest:
        port = int(ingest.url.rpartition(":")[2])

        async def look_up(_: object, host: str, *args: Any, **more: Any) -> list[dict[str, Any]]:
            asked.append(host)
            if len(asked) < 3:
                raise OSError(None, "no such name")
            return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": 2, "proto": 0, "flags": 0}]

        monkeypatch.setattr(aiohttp.resolver.DefaultResolver, "resolve", look_up)
        options: dict[str, Any] = {"flush_interval_ms": 1, "retry_delays_ms": (10, 10, 10)}
        async with LuminaClient(
            LuminaConfig(endpoint=f"http://ingest.example:{port}", write_key=KEY, **options)
        ) as client:
            await client.session.start()
            assert await client.flush(10)
        assert len(ingest.events) == 1
    assert len(asked) == 3


async def test_slow_dns_holds_up_nobody_and_ends_with_the_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that never answers costs the one deadline of the attempt; the loop runs on (FAULTS N21)."""

    async def never(*_: Any, **__: Any) -> list[dict[str, Any]]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(aiohttp.resolver.DefaultResolver, "resolve", never)
    options: dict[str, Any] = {"flush_interval_ms": 1, "retry_delays_ms": (), "request_timeout_ms": 100}
    async with LuminaClient(LuminaConfig(endpoint="http://ingest.example", write_key=KEY, **options)) as client:
        began = time.monotonic()
        await client.session.start()
        assert client._flusher is not None
        endpoint = client._flusher._endpoint
        await until(lambda: endpoint.rounds)
        assert time.monotonic() - began < 1.0
        await client.shutdown(0)


async def test_an_ipv6_only_server_is_reached() -> None:
    """An endpoint that is an IPv6 address works as any other (FAULTS N21)."""
    try:
        async with raw_server(answer_all, host="::1") as server:
            await one_event(server.url, None, stored=True)
    except OSError:
        pytest.skip("this machine has no IPv6")
