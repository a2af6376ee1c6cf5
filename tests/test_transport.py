"""HTTP against real servers that misbehave: no exception comes out, no key leaves, no redirect is followed."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from support import KEY, config

from lumina_async._outcome import Answer
from lumina_async._transport import HttpTransport, Payload

PAYLOAD = Payload(body=b'{"a":1}\n', count=1, batch_id="b", encoding=None)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def answering_raw(reply: bytes, *, hang: bool = False) -> AsyncIterator[str]:
    """A server that sends these bytes to whoever connects, then closes, or keeps quiet."""
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(reply)
        if hang:
            await done.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        done.set()
        server.close()


async def post(endpoint: str, payload: Payload = PAYLOAD, timeout_ms: int = 10_000) -> Answer:
    transport = HttpTransport(config(endpoint=endpoint, request_timeout_ms=timeout_ms))
    await transport.open()
    try:
        return await transport.post(payload, "2026-01-01T00:00:00.000Z")
    finally:
        await transport.aclose()


async def test_a_request_has_the_headers_of_the_wire() -> None:
    """Content type, key, agent, batch, count, time and encoding are those of SPEC 8."""
    seen: list[web.Request] = []

    async def store(request: web.Request) -> web.Response:
        seen.append(request)
        return web.json_response({"accepted": 1})

    async with serving(store) as url:
        answer = await post(url, Payload(body=b"x", count=3, batch_id="batch", encoding="gzip"))
    [request] = seen
    assert (request.method, request.path) == ("POST", "/v1/ingest")
    assert request.headers["Content-Type"] == "application/x-ndjson"
    assert request.headers["X-Api-Key"] == KEY
    assert request.headers["User-Agent"].startswith("lumina-async/")
    assert [request.headers[f"X-Lumina-{name}"] for name in ("Batch", "Count")] == ["batch", "3"]
    assert request.headers["X-Lumina-Sent-At"].endswith("Z")
    assert request.headers["Content-Encoding"] == "gzip"
    assert (answer.status, answer.body) == (200, b'{"accepted": 1}')


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    """The other server sees no request and no key (FAULTS N12)."""
    reached: list[str] = []

    async def other(request: web.Request) -> web.Response:
        reached.append(request.path)
        return web.Response()

    async with serving(other) as elsewhere:

        async def redirect(_: web.Request) -> web.Response:
            return web.Response(status=status, headers={"Location": f"{elsewhere}/v1/ingest"})

        async with serving(redirect) as url:
            assert (await post(url)).status == status
    assert reached == []


async def test_an_endless_answer_is_read_as_far_as_it_matters() -> None:
    """Of a body without end 64 kB are read; the status decides (FAULTS N15)."""

    async def flood(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65_536)

    async with serving(flood) as url:
        answer = await post(url)
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 999999 X\r\n\r\n",
        b"\x15\x03\x01",
    ],
    ids=["closed", "cut header", "another protocol", "no status", "tls alert"],
)
async def test_what_is_no_http_is_a_failure_without_text(reply: bytes) -> None:
    """Broken answers become the name of an error, never its text, which may hold the headers (FAULTS N16)."""
    async with answering_raw(reply) as url:
        answer = await post(url)
    assert answer.status is None
    assert answer.failure.isidentifier()


async def test_a_truncated_body_keeps_its_status() -> None:
    """A cut answer to a stored batch is still an answer."""
    async with answering_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{}") as url:
        assert (await post(url)).status == 200


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200"], ids=["silent", "half a head"])
async def test_the_deadline_is_for_the_whole_attempt(reply: bytes) -> None:
    """A server that never answers costs one timeout (FAULTS N13)."""
    async with answering_raw(reply, hang=True) as url:
        answer = await post(url, timeout_ms=50)
    assert answer.failure == "TimeoutError"


@pytest.mark.parametrize("status", [200, 413, 503])
async def test_an_answer_whose_body_never_ends_keeps_its_status(status: int) -> None:
    """The status decides; the body gets the rest of the one deadline and is not used (FAULTS N14)."""
    async with answering_raw(f"HTTP/1.1 {status} X\r\nContent-Length: 90\r\n\r\n{{".encode(), hang=True) as url:
        answer = await post(url, timeout_ms=50)
    assert (answer.status, answer.body) == (status, b"")


async def test_a_server_that_is_not_there_is_a_failure() -> None:
    """Refused, or a host that does not resolve (FAULTS N21)."""
    assert (await post("http://127.0.0.1:1")).failure == "ClientConnectorError"
    assert (await post("http://nowhere.invalid")).failure in {"ClientConnectorDNSError", "ClientConnectorError"}


async def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY means nothing unless trust_env is set (FAULTS N25)."""

    async def store(_: web.Request) -> web.Response:
        return web.Response(status=204)

    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with serving(store) as url:
        assert (await post(url)).status == 204
        transport = HttpTransport(config(endpoint=url, trust_env=True))
        await transport.open()
        assert (await transport.post(PAYLOAD, "now")).status is None
        await transport.aclose()


async def test_two_retry_after_headers_are_none() -> None:
    """A server that says two things says nothing (FAULTS N5)."""

    async def busy(_: web.Request) -> web.Response:
        response = web.Response(status=503)
        response.headers.extend([("Retry-After", "1"), ("Retry-After", "9")])
        return response

    async with serving(busy) as url:
        assert (await post(url)).retry_after is None


async def test_the_key_is_in_no_log_and_no_repr(caplog: pytest.LogCaptureFixture) -> None:
    """At debug level, through failures and answers, nothing shows the key (FAULTS S1, S2)."""
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    for reply in (b"", b"HTTP/1.1 400 Bad\r\n\r\n"):
        async with answering_raw(reply) as url:
            answer = await post(url)
            transport = HttpTransport(config(endpoint=url))
            await transport.open()
            assert KEY not in f"{answer!r} {transport.__dict__!r} {transport._pooled.__dict__!r}"
            await transport.aclose()
    assert KEY not in caplog.text
