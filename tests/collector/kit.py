"""What the tests of the collector share: events, bodies, and a socket without a client library."""

import asyncio
import gzip
import time
from typing import Any

import orjson
from aiohttp import ClientSession

from lumina_async._trace import new_event_id

NDJSON = "application/x-ndjson"

Answer = tuple[int, Any]


def event_id(ahead_s: float = 0) -> str:
    return new_event_id(time.time_ns() + int(ahead_s * 1e9))


def event(name: str = "turn", **fields: Any) -> dict[str, Any]:
    common = {"v": 1, "event_id": event_id(), "name": name, "source": "lumina-async", "distinct_id": "user_1"}
    return {**common, "anonymous": False, "session_id": "chat_1", **fields}


def turn(text: str = "Where is my order?", **fields: Any) -> dict[str, Any]:
    said = [{"role": "user", "content": text}, {"role": "assistant", "content": "On its way."}]
    facts = {"turn_id": "00f067aa0ba902b7", "seq": 1, "status": "ok", "started_at": "2026-01-01T10:00:00.000Z"}
    return event(**{**facts, "messages": said, **fields})


def lines(*events: Any) -> bytes:
    return b"".join(orjson.dumps(one) + b"\n" for one in events)


async def post(client: ClientSession, body: bytes, path: str = "/v1/ingest", **headers: str) -> Answer:
    sent = {"Content-Type": NDJSON, **{name.replace("_", "-"): value for name, value in headers.items()}}
    async with client.post(path, data=body, headers=sent) as response:
        return response.status, orjson.loads(await response.read())


async def post_gzip(client: ClientSession, packed: bytes, **headers: str) -> Answer:
    return await post(client, packed, Content_Encoding="gzip", **headers)


async def send(client: ClientSession, *events: Any) -> Any:
    status, answer = await post_gzip(client, gzip.compress(lines(*events)), X_Lumina_Count=str(len(events)))
    assert status == 200, answer
    return answer


async def get(client: ClientSession, path: str, **parameters: str) -> Answer:
    async with client.get(path, params=parameters) as response:
        return response.status, orjson.loads(await response.read())


async def items(client: ClientSession, path: str, **parameters: str) -> list[dict[str, Any]]:
    """Return all items of a list, page by page."""
    found: list[dict[str, Any]] = []
    while True:
        status, page = await get(client, path, **parameters)
        assert status == 200, page
        found += page["items"]
        if page["next"] is None:
            return found
        parameters["cursor"] = page["next"]


async def raw(port: int, request: bytes) -> bytes:
    """Send bytes and return everything until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        await writer.drain()
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def request(start: str, *headers: str, body: bytes = b"", host: str = "localhost") -> bytes:
    """Return the bytes of an HTTP request whose connection is closed after the answer."""
    head = [start, f"Host: {host}", "Connection: close", *headers]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body
