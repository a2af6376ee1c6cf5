"""Bytes over HTTP to the ingest server: the one place that knows aiohttp, and where its errors stop."""

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
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the session of the running loop."""
        config = self._config
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=config.max_in_flight, ssl=config.ssl or True),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=config.request_timeout_ms / 1000),
            trust_env=config.trust_env,
            headers={"User-Agent": f"lumina-async/{__version__}", "Content-Type": "application/x-ndjson"},
        )

    async def post(self, payload: Payload, sent_at: str) -> Answer:
        """Send one payload, once."""
        if self._session is None:
            return Answer(failure="not open")
        # The key is given at the call: a session's headers show up in its repr and in aiohttp's errors.
        headers = {
            "X-Api-Key": self._config.write_key.reveal(),
            "X-Lumina-Batch": payload.batch_id,
            "X-Lumina-Count": str(payload.count),
            "X-Lumina-Sent-At": sent_at,
        }
        if payload.encoding is not None:
            headers["Content-Encoding"] = payload.encoding
        try:
            async with self._session.post(
                self._config.url, data=payload.body, headers=headers, allow_redirects=False
            ) as response:
                return await _read(response)
        # ValueError: an answer that is no HTTP, or a malformed one. The text of these errors may hold the headers.
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return Answer(failure=type(error).__name__)

    async def aclose(self) -> None:
        """Close the session and its connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


async def _read(response: aiohttp.ClientResponse) -> Answer:
    """Return the answer. Its body is only read as far as it may tell of rejected lines; the status decides."""
    body = bytearray()
    try:
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                body.clear()
                response.close()
                break
    except aiohttp.ClientPayloadError:
        body.clear()
    retry_after = response.headers.getall("Retry-After", [])
    return Answer(
        status=response.status,
        content_type=response.content_type,
        body=bytes(body),
        retry_after=retry_after[0] if len(retry_after) == 1 else None,
        date=response.headers.get("Date"),
    )
