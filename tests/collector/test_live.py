"""Server-sent events (FAULTS C22, SPEC 10)."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import orjson
import pytest
from aiohttp import ClientResponse, ClientSession

from lumina_async.collector import Collector

from .kit import event, items, raw, request, send, turn


@asynccontextmanager
async def listening(client: ClientSession) -> AsyncIterator[ClientResponse]:
    async with client.get("/api/live") as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        yield response


async def heard(response: ClientResponse) -> dict[str, str]:
    block = await response.content.readuntil(b"\r\n\r\n")
    return dict(line.split(": ", 1) for line in block.decode().split("\r\n") if line)


async def test_an_event_is_told_once_it_is_stored(client: ClientSession) -> None:
    """A listener hears the name and the ids of an event that a reader can already find."""
    sent = turn()
    async with listening(client) as response:
        await send(client, sent)
        told = await heard(response)
    assert told["event"] == "turn"
    ids = {"event_id": sent["event_id"], "name": "turn", "session_id": "chat_1", "turn_id": sent["turn_id"]}
    assert orjson.loads(told["data"]) == ids
    assert len(await items(client, "/api/events")) == 1


async def test_every_listener_hears_every_event_in_order(client: ClientSession) -> None:
    """Listeners do not take events from each other."""
    sent = [turn() for _ in range(20)]
    async with listening(client) as first, listening(client) as second:
        await send(client, *sent)
        for response in (first, second):
            assert [(await heard(response))["id"] for _ in sent] == [one["event_id"] for one in sent]


async def test_a_duplicate_is_not_told(client: ClientSession) -> None:
    """Only what is new is told."""
    known, new = turn(), turn()
    await send(client, known)
    async with listening(client) as response:
        await send(client, known, new)
        assert (await heard(response))["id"] == new["event_id"]


@pytest.mark.parametrize("name", ["error", "open", "message", "two\nlines", "data: x", "é", "a" * 65])
async def test_an_odd_name_goes_under_other(client: ClientSession, name: str) -> None:
    """No name starts a field of its own or poses as an event of the browser (FAULTS C19)."""
    async with listening(client) as response:
        await send(client, event(name))
        told = await heard(response)
    assert told["event"] == "other"
    assert orjson.loads(told["data"])["name"] == name


async def test_a_listener_that_leaves_disturbs_nobody(client: ClientSession) -> None:
    """After a listener is gone events are stored and told as before."""
    async with listening(client):
        pass
    async with listening(client) as response:
        await send(client, turn())
        assert (await heard(response))["event"] == "turn"


async def test_a_listener_that_does_not_read_is_dropped(collector: Collector, client: ClientSession) -> None:
    """Who does not keep up is cut off instead of buffered for without bound."""
    reader, writer = await asyncio.open_connection("127.0.0.1", collector.port, limit=1024)
    writer.write(request("GET /api/live HTTP/1.1"))
    await reader.readuntil(b"\r\n\r\n")
    for _ in range(10):
        await send(client, *[event(session_id="s" * 200) for _ in range(4000)])
    rest = b""
    with suppress(ConnectionError):
        while chunk := await reader.read(65536):
            rest += chunk
    assert rest.count(b"event: turn") < 40_000
    writer.close()


async def test_a_head_request_opens_no_stream(collector: Collector) -> None:
    """Only GET listens."""
    assert (await raw(collector.port, request("HEAD /api/live HTTP/1.1"))).startswith(b"HTTP/1.1 405 ")


async def test_listeners_do_not_hold_up_the_end(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The collector ends within a second though a listener hangs and another does not read."""
    async with Collector(db=tmp_path_factory.mktemp("db") / "l.db", port=0) as collector:
        connections = [await asyncio.open_connection("127.0.0.1", collector.port, limit=1024) for _ in range(3)]
        for reader, writer in connections:
            writer.write(request("GET /api/live HTTP/1.1"))
            await reader.readuntil(b"\r\n\r\n")
        began = time.monotonic()
    assert time.monotonic() - began < 1
    for _, writer in connections:
        writer.close()
