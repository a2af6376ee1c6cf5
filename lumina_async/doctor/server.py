"""What the doctor asks of the server: to take a ping, and what it tells of itself if it is a Lumina collector."""

import gzip
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast
from urllib.parse import urljoin, urlsplit

import aiohttp
import attrs
import orjson

from lumina_async._config import LuminaConfig
from lumina_async._encode import rfc3339
from lumina_async._outcome import Action, Answer, Outcome, decide
from lumina_async._trace import new_event_id
from lumina_async._transport import HttpTransport, Payload

PING = "ping"
MAX_ANSWER_BYTES = 64 << 20
_WORDS = ("version", "sqlite_version")
_SHOWN = 100

Fields = dict[str, Any]
"""A JSON object."""


@attrs.frozen(kw_only=True)
class Sent:
    """A ping and what came of it.

    Attributes:
        event_id: Of the ping.
        answer: To the last attempt.
        outcome: What the SDK would make of it.
        is_plain: It was sent uncompressed, after the server refused the compressed form.
        took_ms: From the request to the answer.
        at_s: The wall clock halfway between both.
    """

    event_id: str
    answer: Answer
    outcome: Outcome
    is_plain: bool
    took_ms: float
    at_s: float

    @property
    def is_stored(self) -> bool:
        """Whether the server claims to have it."""
        return self.outcome.action is Action.STORED and not self.outcome.rejected


async def send_ping(config: LuminaConfig) -> Sent:
    """Post the ping of the original's troubleshooting page by the transport of the SDK, once.

    It carries an id of ours so that it can be read back.
    """
    transport = HttpTransport(config)
    await transport.open()
    try:
        sent = await _send(config, transport, is_plain=config.compression == "none")
        if sent.outcome.action is Action.PLAIN:
            sent = await _send(config, transport, is_plain=True)
        return sent
    finally:
        await transport.aclose()


async def _send(config: LuminaConfig, transport: HttpTransport, *, is_plain: bool) -> Sent:
    now_ns = time.time_ns()
    event_id = new_event_id(now_ns)
    line = orjson.dumps({"source": "lumina-doctor", "name": PING, "event_id": event_id}) + b"\n"
    payload = Payload(
        body=line if is_plain else gzip.compress(line),
        count=1,
        batch_id=new_event_id(now_ns),
        encoding=None if is_plain else "gzip",
    )
    began = time.monotonic()
    answer = await transport.post(payload, rfc3339(now_ns))
    took_s = time.monotonic() - began
    return Sent(
        event_id=event_id,
        answer=answer,
        outcome=decide(answer, compressed=not is_plain),
        is_plain=is_plain and config.compression != "none",
        took_ms=took_s * 1000,
        at_s=now_ns / 1e9 + took_s / 2,
    )


async def redirect_target(config: LuminaConfig) -> str | None:
    """Return the origin that the server redirects to, or None where it names none. The key is not sent for that."""
    # An address may hold a token, so no more of it than the origin is ever shown.
    try:
        async with _http(config) as http, http.post(config.url, data=b"", allow_redirects=False) as response:
            parts = urlsplit(urljoin(config.url, response.headers.get("Location", "")))
    except (aiohttp.ClientError, OSError, ValueError):
        return None
    if parts.scheme not in {"http", "https"} or not 300 <= response.status <= 399:
        return None
    return shown(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}")


@attrs.frozen(kw_only=True)
class Collector:
    """What a Lumina collector tells.

    Attributes:
        facts: Its version and the like.
        status: `ok`, or why it is not: `degraded`.
        project: That of the key; None where it does not tell, as before this version.
        ping: The event that was sent, as it is stored; None where it is not there.
        newest: The latest event that is no ping; None where there is none lately.
        is_open: Whether it lets its events be read.
    """

    facts: dict[str, str]
    status: str = "ok"
    project: str | None = None
    ping: Fields | None = None
    newest: Fields | None = None
    is_open: bool = True


async def ask_collector(config: LuminaConfig, event_id: str) -> Collector | None:
    """Return what the server tells of itself and of this event; None where it is no Lumina collector."""
    async with _http(config) as http:
        # One that can store nothing at the moment says so with 503.
        health = await _object(http, config, "/healthz", statuses=(200, 503))
        if health is None or not {"status", "version"} <= health.keys():
            return None
        facts = {word: shown(health[word]) for word in _WORDS if isinstance(health.get(word), str)}
        project = await _project(http, config)
        where = {} if project is None else {"project": project}
        pings = await _events(http, config, {**where, "name": PING, "limit": "20"})
        latest = await _events(http, config, {**where, "limit": "20"})
    return Collector(
        facts=facts,
        status=shown(str(health["status"])),
        project=None if project is None else shown(project),
        ping=next((event for event in pings or () if event.get("event_id") == event_id), None),
        newest=next((event for event in latest or () if event.get("name") != PING), None),
        is_open=pings is not None,
    )


def shown(text: str) -> str:
    """Return text of a server as it may be printed: short, and nothing in it that a terminal would obey."""
    return "".join(character if character.isprintable() else "?" for character in text[:_SHOWN])


@asynccontextmanager
async def _http(config: LuminaConfig) -> AsyncGenerator[aiohttp.ClientSession, None]:
    """Give a session as the transport has it, but without the key."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=config.ssl or True),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=config.request_timeout_ms / 1000),
        trust_env=config.trust_env,
    ) as http:
        yield http


async def _project(http: aiohttp.ClientSession, config: LuminaConfig) -> str | None:
    """Return whose events the key brings. It is sent along: to the origin that the ping went to, and to no redirect."""
    answer = await _object(http, config, "/v1/project", headers={"X-Api-Key": config.write_key.reveal()})
    project: object = None if answer is None else answer.get("project")
    return project if isinstance(project, str) else None


async def _events(http: aiohttp.ClientSession, config: LuminaConfig, query: Mapping[str, str]) -> list[Fields] | None:
    page = await _object(http, config, "/api/events", query=query)
    items: object = None if page is None else page.get("items")
    if not isinstance(items, list):
        return None
    return [cast("Fields", item) for item in cast("list[object]", items) if isinstance(item, dict)]


async def _object(
    http: aiohttp.ClientSession,
    config: LuminaConfig,
    path: str,
    *,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    statuses: tuple[int, ...] = (200,),
) -> Fields | None:
    """Return the JSON object at a path below the endpoint, or None where there is none."""
    url = config.endpoint.rstrip("/") + path
    try:
        async with http.get(url, params=query, headers=headers, allow_redirects=False) as response:
            if response.status not in statuses:
                return None
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    return None
            found: object = orjson.loads(body)
    except (aiohttp.ClientError, OSError, ValueError):
        return None
    return cast("Fields", found) if isinstance(found, dict) else None
