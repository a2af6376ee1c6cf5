"""What only aiohttp has: its signals, WebSockets, cancelled handlers, mounted apps, the life of an app (FAULTS I)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientConnectionResetError, ClientSession, web
from support import MemoryTransport, config, recording, until

from lumina_async import LuminaClient
from lumina_async.frameworks.aiohttp import lumina_cleanup_ctx, setup_lumina
from lumina_async.frameworks.cookies import USER, Signer

from .browsers import KEY, aiohttp_serving, ask, browser, kept

Recorded = tuple[LuminaClient, MemoryTransport]
ADA = {"lumina_uid": Signer(KEY).sign(USER, "ada")}


@pytest.fixture
async def recorded() -> AsyncIterator[Recorded]:
    async with recording() as found:
        yield found


def an_app(client: LuminaClient, **options: Any) -> web.Application:
    app = web.Application()
    setup_lumina(app, client=client, cookie_secret=KEY, **options)
    return app


async def leave(http: ClientSession, path: str) -> None:
    async with http.get(path) as answer:
        await answer.content.readany()
        answer.close()


async def words() -> AsyncIterator[bytes]:
    for number in range(1_000):
        await asyncio.sleep(0.01)
        yield b"%d " % number


@pytest.mark.parametrize("cancelled", [False, True], ids=["default", "handler_cancellation"])
async def test_who_leaves_a_stream_is_gone(recorded: Recorded, cancelled: bool) -> None:
    """Told by a failed write or by a cancelled handler: cancelled, `client_gone`, the right user (SPEC 5)."""
    client, transport = recorded
    app = an_app(client)

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        try:
            async with (await client.session.start()).turn() as turn:
                await response.prepare(request)
                async for word in await turn.wrap_llm(words(), model="m"):
                    await response.write(word)
        except ClientConnectionResetError:
            pass
        return response

    app.router.add_get("/stream", stream)
    async with aiohttp_serving(app, handler_cancellation=cancelled) as url, browser(url, ADA) as http:
        await leave(http, "/stream")
        await until(lambda: transport.turns)
        assert "lumina_session" in kept(http)
    [turn] = transport.turns
    assert (turn["status"], turn["llm"][0]["outcome"], turn["distinct_id"]) == ("cancelled", "client_gone", "ada")


async def test_a_handler_that_the_app_cancels_is_not_left(recorded: Recorded) -> None:
    """While the client is there, a cancelled stream is `cancelled` (SPEC 5)."""
    client, transport = recorded
    app = an_app(client)

    async def slow(request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(0.05), (await client.session.start()).turn() as turn:
                async for _ in await turn.wrap_llm(words(), model="m"):
                    pass
        except TimeoutError:
            return web.Response(text="too slow")
        return web.Response()

    app.router.add_get("/slow", slow)
    async with aiohttp_serving(app, handler_cancellation=True) as url, browser(url) as http:
        assert await ask(http, "/slow") == "too slow"
        await until(lambda: transport.turns)
    assert transport.turns[0]["llm"][0]["outcome"] == "cancelled"


async def test_a_websocket_is_a_visit(recorded: Recorded) -> None:
    """Its handshake sets the cookies where somebody asked before; its messages are one session of one user."""
    client, transport = recorded
    app = an_app(client)

    async def talk(request: web.Request) -> web.WebSocketResponse:
        session, socket = await client.session.start(), web.WebSocketResponse()
        await socket.prepare(request)
        async for _ in socket:
            async with session.turn():
                await socket.send_str(await client.get_distinct_id())
        return socket

    app.router.add_get("/talk", talk)
    async with aiohttp_serving(app) as url, browser(url) as http, http.ws_connect("/talk") as socket:
        seen = set()
        for _ in range(2):
            await socket.send_str("hello")
            seen.add(await socket.receive_str())
        assert seen == {socket._response.cookies["lumina_id"].value}
    await client.flush()
    assert len({(turn["distinct_id"], turn["trace_id"]) for turn in transport.turns}) == 1


async def test_an_answer_that_is_raised_sets_cookies_too(recorded: Recorded) -> None:
    """A redirect after a login, as aiohttp writes it, is an answer like any other."""
    client, _ = recorded
    app = an_app(client)

    async def login(request: web.Request) -> web.Response:
        await client.identify("ada")
        raise web.HTTPSeeOther("/")

    app.router.add_get("/login", login)
    async with aiohttp_serving(app) as url, browser(url) as http:
        async with http.get("/login", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Cache-Control"]) == (303, "private")
        assert "lumina_uid" in kept(http)


async def test_an_app_that_is_mounted_shares_the_visit(recorded: Recorded) -> None:
    """Whether it was set up itself or not, nothing is set twice."""
    client, _ = recorded
    outer, inner = an_app(client), an_app(client)

    async def who(request: web.Request) -> web.Response:
        return web.Response(text=await client.get_distinct_id())

    inner.router.add_get("/who", who)
    outer.add_subapp("/inner", inner)
    async with aiohttp_serving(outer) as url, browser(url) as http:
        async with http.get("/inner/who") as answer:
            assert len(answer.headers.getall("Set-Cookie")) == 1
            assert await answer.text() == kept(http)["lumina_id"]


async def test_the_first_use_within_a_stream_comes_too_late(
    recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    """After the headers no cookie can be set: one line in the log, and the visitor lives for that request (SPEC 4)."""
    client, _ = recorded
    app = an_app(client)

    async def late(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write((await client.get_distinct_id()).encode())
        return response

    app.router.add_get("/late", late)
    async with aiohttp_serving(app) as url, browser(url) as http:
        assert await ask(http, "/late") != await ask(http, "/late")
        assert kept(http) == {}
    assert sum("after the headers of the response were sent" in record.message for record in caplog.records) == 1


async def test_the_client_lives_as_long_as_the_app() -> None:
    """`lumina_cleanup_ctx` starts it with the server and sends the last events when that ends."""
    transport = MemoryTransport()
    client = LuminaClient(transport=lambda _: transport)
    app = an_app(client)
    app.cleanup_ctx.append(lumina_cleanup_ctx(config(flush_interval_ms=60_000), client=client))

    async def chat(request: web.Request) -> web.Response:
        async with (await client.session.start()).turn():
            return web.Response(text="sent")

    app.router.add_get("/chat", chat)
    async with aiohttp_serving(app) as url, browser(url) as http:
        await ask(http, "/chat")
        assert not transport.turns
    assert (client.is_initialized, len(transport.turns)) == (False, 1)
