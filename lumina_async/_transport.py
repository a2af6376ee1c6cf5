"""Bytes over HTTP to the ingest server: the one place that knows aiohttp, and where its errors stop."""

import asyncio
from types import SimpleNamespace
from typing import Protocol

import aiohttp
import attrs

from lumina_async._config import LuminaConfig
from lumina_async._outcome import Answer
from lumina_async._version import __version__

MAX_ANSWER_BYTES = 65_536


@attrs.frozen(kw_only=True)
class Payload:
    """The body of one request; a retry sends the same one.

    Attributes:
        body: NDJSON, as it goes over the wire.
        count: Events in it.
        batch_id: A UUIDv7 for the server's logs.
        encoding: `Content-Encoding`, or None for plain bytes.
    """

    body: bytes
    count: int
    batch_id: str
    encoding: str | None


class Transport(Protocol):
    """What carries payloads. The one for tests is in memory; this module's is HTTP."""

    async def open(self) -> None:
        """Make ready, on the running loop."""

    async def post(self, payload: Payload, sent_at: str) -> Answer:
        """Send one payload, once. Never raises for what the network or the server does."""
        ...

    async def aclose(self) -> None:
        """Let go of every connection; a later `open` starts anew."""


class HttpTransport:
    """Posts to `{endpoint}{ingest_path}`, follows no redirect, keeps no cookie."""

    def __init__(self, config: LuminaConfig) -> None:
        self._config = config
        self._pooled: aiohttp.ClientSession | None = None
        self._fresh: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self) -> None:
        """Make the sessions of the running loop: one that keeps its connections, one that opens each anew.

        Those that are left on a former loop go.
        """
        self._drop()
        self._loop = asyncio.get_running_loop()
        self._pooled, self._fresh = self._session(force_close=False), self._session(force_close=True)

    def _session(self, *, force_close: bool) -> aiohttp.ClientSession:
        config, tracing = self._config, aiohttp.TraceConfig()
        tracing.on_connection_reuseconn.append(_note_reuse)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=config.max_in_flight, ssl=config.ssl or True, force_close=force_close),
            cookie_jar=aiohttp.DummyCookieJar(),
            # The one deadline is ours: aiohttp rounds its own up to whole seconds.
            timeout=aiohttp.ClientTimeout(),
            trust_env=config.trust_env,
            headers={"User-Agent": f"lumina-async/{__version__}", "Content-Type": "application/x-ndjson"},
            trace_configs=[tracing],
        )

    async def post(self, payload: Payload, sent_at: str) -> Answer:
        """Send one payload, once, within `request_timeout_ms` in total.

        A server may close a connection while nothing is on it, and the next request meets its end: sent again at once
        on a fresh connection, that is no failed attempt. If it did arrive, the collector knows its events by their ids.
        """
        if self._pooled is None or self._fresh is None:
            return Answer(failure="not open")
        deadline = asyncio.get_running_loop().time() + self._config.request_timeout_ms / 1000
        was_reused: list[bool] = []
        try:
            try:
                response = await self._head(self._pooled, payload, sent_at, deadline, was_reused)
            except aiohttp.ClientConnectionError:
                if not was_reused:
                    raise
                response = await self._head(self._fresh, payload, sent_at, deadline, was_reused)
            return await _read(response, deadline)
        # ValueError: an answer that is no HTTP, or a malformed one. The text of these errors may hold the headers.
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return Answer(failure=type(error).__name__)

    async def _head(
        self, session: aiohttp.ClientSession, payload: Payload, sent_at: str, deadline: float, was_reused: list[bool]
    ) -> aiohttp.ClientResponse:
        """Send the payload and return the answer as soon as its head is there."""
        # The key is given at the call: a session's headers show up in its repr and in aiohttp's errors.
        headers = {
            "X-Api-Key": self._config.write_key.reveal(),
            "X-Lumina-Batch": payload.batch_id,
            "X-Lumina-Count": str(payload.count),
            "X-Lumina-Sent-At": sent_at,
        }
        if payload.encoding is not None:
            headers["Content-Encoding"] = payload.encoding
        async with asyncio.timeout_at(deadline):
            return await session.post(
                self._config.url,
                data=payload.body,
                headers=headers,
                allow_redirects=False,
                trace_request_ctx=was_reused,
            )

    async def aclose(self) -> None:
        """Close the sessions and their connections, on the loop that opened them, or after that was closed."""
        if self._loop is asyncio.events._get_running_loop():
            sessions, self._pooled, self._fresh = (self._pooled, self._fresh), None, None
            for session in sessions:
                if session is not None:
                    await session.close()
        elif self._loop is not None and self._loop.is_closed():
            self._drop()

    def _drop(self) -> None:
        """Close sessions whose loop does not run: by what aiohttp does before it waits for its connections."""
        sessions, self._pooled, self._fresh = (self._pooled, self._fresh), None, None
        for session in sessions:
            if session is not None and session.connector is not None:
                session.connector._close()


async def _note_reuse(_: object, context: SimpleNamespace, __: object) -> None:
    context.trace_request_ctx.append(True)


async def _read(response: aiohttp.ClientResponse, deadline: float) -> Answer:
    """Return the answer. The status decides; of a body that is too long, cut or late, nothing is used.

    The body only tells of rejected lines and how long to wait: a server that says 200 and then hangs has stored.
    """
    body = bytearray()
    try:
        async with asyncio.timeout_at(deadline):
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    body.clear()
                    break
    except (aiohttp.ClientError, TimeoutError, OSError):
        body.clear()
    finally:
        # Of a body that was read whole the connection is back in the pool by now; every other one goes.
        response.close()
    retry_after = response.headers.getall("Retry-After", [])
    return Answer(
        status=response.status,
        content_type=response.content_type,
        body=bytes(body),
        retry_after=retry_after[0] if len(retry_after) == 1 else None,
        date=response.headers.get("Date"),
    )
