"""What only ASGI has: threads and tasks behind a request, streams that are left, WebSockets, lifespan (FAULTS I)."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession
from anyio import from_thread
from fastapi import BackgroundTasks, Depends, FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import PlainTextResponse, StreamingResponse
from starlette.middleware.base import BaseHTTPMiddleware
from support import MemoryTransport, config, recording, until

from lumina_async import Lumina, LuminaClient, Session, current_turn
from lumina_async.frameworks.asgi import LuminaMiddleware
from lumina_async.frameworks.cookies import USER, Signer
from lumina_async.frameworks.fastapi import lumina_lifespan, lumina_session

from .browsers import ANONYMOUS, KEY, ask, browser, kept, uvicorn_serving

Recorded = tuple[LuminaClient, MemoryTransport]
ADA = {"lumina_uid": Signer(KEY).sign(USER, "ada")}


@pytest.fixture
async def recorded() -> AsyncIterator[Recorded]:
    async with recording() as found:
        yield found


def an_app(client: LuminaClient, **options: Any) -> FastAPI:
    app = FastAPI(default_response_class=PlainTextResponse)
    app.add_middleware(LuminaMiddleware, client=client, cookie_secret=KEY, **options)
    return app


async def words(seconds: float = 0.01) -> AsyncIterator[str]:
    for number in range(1_000):
        await asyncio.sleep(seconds)
        yield f"{number} "


def streams(app: FastAPI) -> None:
    """Two routes that stream: one with the session as a dependency, one that asks only within the stream."""

    async def answer(session: Session) -> AsyncIterator[str]:
        async with session.turn() as turn:
            async for word in await turn.wrap_llm(words(), model="m"):
                yield word

    @app.get("/stream")
    async def stream(session: Session = Depends(lumina_session)) -> StreamingResponse:
        return StreamingResponse(answer(session))


async def leave(http: ClientSession, path: str) -> None:
    async with http.get(path) as answer:
        await answer.content.readany()
        answer.close()


@pytest.mark.parametrize("around", [False, True], ids=["plain", "BaseHTTPMiddleware around it"])
@pytest.mark.parametrize("outside", [False, True], ids=["inside", "outside"])
async def test_who_leaves_a_stream_is_gone(recorded: Recorded, around: bool, outside: bool) -> None:
    """The turn is stored as cancelled, its stream as `client_gone`, with the right user (SPEC 5; FAULTS I8)."""
    client, transport = recorded

    async def passes(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    app = FastAPI()
    if around and not outside:
        app.add_middleware(BaseHTTPMiddleware, dispatch=passes)
    app.add_middleware(LuminaMiddleware, client=client, cookie_secret=KEY)
    if around and outside:
        app.add_middleware(BaseHTTPMiddleware, dispatch=passes)
    streams(app)
    async with uvicorn_serving(app, lifespan="off") as url, browser(url, ADA) as http:
        await leave(http, "/stream")
        await until(lambda: transport.turns)
    [turn] = transport.turns
    assert (turn["status"], turn["llm"][0]["outcome"], turn["distinct_id"]) == ("cancelled", "client_gone", "ada")


async def test_a_stream_that_the_app_cancels_is_not_left(recorded: Recorded) -> None:
    """While the client is there, a cancelled stream is `cancelled`, though a response drives it (SPEC 5)."""
    client, transport = recorded
    app = an_app(client)

    async def answer(session: Session) -> AsyncIterator[str]:
        try:
            async with asyncio.timeout(0.05), session.turn() as turn:
                async for word in await turn.wrap_llm(words(), model="m"):
                    yield word
        except TimeoutError:
            yield "too slow"

    @app.get("/stream")
    async def stream(session: Session = Depends(lumina_session)) -> StreamingResponse:
        return StreamingResponse(answer(session))

    async with uvicorn_serving(app, lifespan="off") as url, browser(url) as http:
        assert (await ask(http, "/stream")).endswith("too slow")
        await until(lambda: transport.turns)
    [turn] = transport.turns
    assert (turn["status"], turn["llm"][0]["outcome"]) == ("cancelled", "cancelled")


async def test_background_tasks_belong_to_the_request(recorded: Recorded) -> None:
    """What runs after the answer sees the same user, and no turn that is over."""
    client, _ = recorded
    app, seen = an_app(client), list[Any]()

    async def later() -> None:
        seen.append((await client.get_distinct_id(), current_turn()))

    @app.get("/chat")
    async def chat(tasks: BackgroundTasks, session: Session = Depends(lumina_session)) -> str:
        tasks.add_task(later)
        async with session.turn():
            return "sent"

    async with uvicorn_serving(app, lifespan="off") as url, browser(url, {"lumina_id": ANONYMOUS}) as http:
        await ask(http, "/chat")
        await until(lambda: seen)
    assert seen == [(ANONYMOUS, None)]


async def test_a_plain_endpoint_in_a_thread_sees_the_request(recorded: Recorded) -> None:
    """A `def` endpoint runs in a thread: it finds its user and its session, and what it identifies is kept."""
    client, transport = recorded
    app = an_app(client)

    @app.get("/login")
    def login(session: Session = Depends(lumina_session)) -> str:
        turn = session.turn()
        from_thread.run(client.identify, "grace")
        turn.finish_nowait()
        time.sleep(0.001)
        return from_thread.run(client.get_distinct_id)

    async with uvicorn_serving(app, lifespan="off") as url, browser(url, {"lumina_id": ANONYMOUS}) as http:
        assert await ask(http, "/login") == "grace"
        assert "lumina_uid" in kept(http)
    await client.flush()
    assert transport.turns[0]["distinct_id"] == ANONYMOUS


async def test_a_websocket_is_a_visit(recorded: Recorded) -> None:
    """Its handshake sets the cookies where somebody asked before; its messages are one session of one user."""
    client, transport = recorded
    app = an_app(client)

    @app.websocket("/talk")
    async def talk(socket: WebSocket, session: Session = Depends(lumina_session)) -> None:
        await socket.accept()
        try:
            while True:
                async with session.turn() as turn:
                    await turn.set_messages([{"role": "user", "content": await socket.receive_text()}])
                    await socket.send_text(await client.get_distinct_id())
        except WebSocketDisconnect:
            pass

    async with uvicorn_serving(app, lifespan="off") as url, browser(url) as http:
        async with http.ws_connect("/talk") as socket:
            seen = set()
            for _ in range(2):
                await socket.send_str("hello")
                seen.add(await socket.receive_str())
            visitor = socket._response.cookies["lumina_id"].value
        await until(lambda: len(transport.turns) == 3)
    assert seen == {visitor}
    assert [turn["status"] for turn in transport.turns] == ["ok", "ok", "cancelled"]
    assert len({(turn["distinct_id"], turn["trace_id"]) for turn in transport.turns}) == 1


async def test_the_first_use_within_a_stream_comes_too_late(
    recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    """After the headers no cookie can be set: one line in the log, and the visitor lives for that request (SPEC 4)."""
    client, _ = recorded
    app = an_app(client)

    async def answer() -> AsyncIterator[str]:
        yield await client.get_distinct_id()

    @app.get("/late")
    async def late() -> StreamingResponse:
        return StreamingResponse(answer())

    async with uvicorn_serving(app, lifespan="off") as url, browser(url) as http:
        assert await ask(http, "/late") != await ask(http, "/late")
        assert kept(http) == {}
    assert sum("after the headers of the response were sent" in record.message for record in caplog.records) == 1


async def test_a_lifespan_starts_the_client_and_sends_the_last_events() -> None:
    """`lumina_lifespan` awaits `init`, runs the app's own lifespan within, and shuts down behind it."""
    transport, order = MemoryTransport(), list[str]()
    client = LuminaClient(transport=lambda _: transport)

    @asynccontextmanager
    async def own(app: Any) -> AsyncIterator[dict[str, str]]:
        order.append(f"starts: {client.is_initialized}")
        yield {"greeting": "hello"}
        async with (await client.session.start()).turn():
            order.append(f"ends: {client.is_initialized}")

    app = FastAPI(lifespan=lumina_lifespan(config(), client=client, lifespan=own))
    app.add_middleware(LuminaMiddleware, client=client)
    async with uvicorn_serving(app, lifespan="on"):
        assert client.is_initialized
    assert order == ["starts: True", "ends: True"]
    assert not client.is_initialized
    assert len(transport.turns) == 1


async def test_the_middleware_ends_a_client_of_its_own() -> None:
    """Around an app without a lifespan of ours, the middleware starts and ends its client with the server."""
    transport = MemoryTransport()
    client = LuminaClient(config(), transport=lambda _: transport)
    app = an_app(client)

    @app.get("/chat")
    async def chat(session: Session = Depends(lumina_session)) -> str:
        async with session.turn():
            return "sent"

    for count in (1, 2):
        async with uvicorn_serving(app, lifespan="on") as url, browser(url) as http:
            await ask(http, "/chat")
        assert (client.is_initialized, len(transport.turns)) == (False, count)


async def test_the_middleware_ends_lumina_where_the_app_forgot() -> None:
    """`Lumina` is shut down behind an app that started it; one that ran before is only flushed."""
    from lumina_async.testing import recording_process

    app = FastAPI()
    app.add_middleware(LuminaMiddleware)
    with recording_process(None) as lumina:
        async with uvicorn_serving(app, lifespan="on"):
            await Lumina.init(config())
            async with (await Lumina.session.start()).turn():
                pass
        assert (Lumina.is_initialized, len(lumina.turns)) == (False, 1)
    with recording_process(config()):
        async with uvicorn_serving(app, lifespan="on"):
            pass
        assert Lumina.is_initialized
        await Lumina.shutdown()


async def test_an_app_that_is_mounted_shares_the_visit(recorded: Recorded) -> None:
    """A middleware within another one of the same client passes on, so nothing is set twice."""
    client, _ = recorded
    outer, inner = an_app(client), an_app(client)

    @inner.get("/who")
    async def who() -> str:
        return await client.get_distinct_id()

    outer.mount("/inner", inner)
    async with uvicorn_serving(outer, lifespan="off") as url, browser(url) as http:
        async with http.get("/inner/who") as answer:
            assert len(answer.headers.getall("Set-Cookie")) == 1
            assert await answer.text() == kept(http)["lumina_id"]


async def test_a_server_that_reuses_the_context_is_left_as_it_was(recorded: Recorded) -> None:
    """After the request the caller's context has the scope that it had before (FAULTS I8)."""
    client, _ = recorded

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await client.identify("ada")

    scope = {"type": "http", "headers": [], "scheme": "http"}
    async with client.scope(user_id="outside"):
        await LuminaMiddleware(app, client=client)(scope, None, None)  # type: ignore[arg-type]
        assert await client.get_distinct_id() == "outside"
