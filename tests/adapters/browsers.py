"""What the tests of adapters share: real servers on port 0, and browsers that keep cookies."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import litestar
import quart
import uvicorn
from aiohttp import ClientSession, CookieJar, web
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
from litestar.middleware import DefineMiddleware

from lumina_async import LuminaClient
from lumina_async.frameworks.aiohttp import setup_lumina
from lumina_async.frameworks.asgi import LuminaMiddleware

KEY = "a secret of the tests 0123456789"
ANONYMOUS = "anon_3f2b8c1e-5d4a-4b6c-8d7e-9f0a1b2c3d4e"
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


@asynccontextmanager
async def uvicorn_serving(app: Any, **options: Any) -> AsyncIterator[str]:
    """An ASGI app under uvicorn in this loop."""
    config = uvicorn.Config(app, port=0, log_config=None, proxy_headers=False, timeout_graceful_shutdown=5, **options)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())
    while not server.started:
        assert not task.done(), task.exception() if task.done() else None
        await asyncio.sleep(0.005)
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def aiohttp_serving(app: web.Application, **options: Any) -> AsyncIterator[str]:
    """An aiohttp app in this loop."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, **options)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def browser(url: str, cookies: Mapping[str, str] | None = None) -> AsyncIterator[ClientSession]:
    """A client that keeps cookies, and connections."""
    # The apps run on a bare address, from which a careful jar takes no cookies.
    async with ClientSession(url, cookie_jar=CookieJar(unsafe=True), cookies=cookies) as http:
        yield http


def kept(http: ClientSession) -> dict[str, str]:
    """The cookies that a browser keeps."""
    return {cookie.key: cookie.value for cookie in http.cookie_jar}


Handler = Callable[[], Awaitable[str]]


def _fastapi(client: LuminaClient, routes: Mapping[str, Handler], options: dict[str, Any]) -> Any:
    app = FastAPI()
    for path, handler in routes.items():
        app.add_api_route(path, handler, response_class=PlainTextResponse)
    app.add_middleware(LuminaMiddleware, client=client, **options)
    return app


def _litestar(client: LuminaClient, routes: Mapping[str, Handler], options: dict[str, Any]) -> Any:
    handlers = [litestar.get(path, media_type="text/plain")(handler) for path, handler in routes.items()]
    return litestar.Litestar(handlers, middleware=[DefineMiddleware(LuminaMiddleware, client=client, **options)])


def _quart(client: LuminaClient, routes: Mapping[str, Handler], options: dict[str, Any]) -> Any:
    app = quart.Quart(__name__)
    for path, handler in routes.items():
        app.add_url_rule(path, path, handler)
    app.asgi_app = LuminaMiddleware(app.asgi_app, client=client, **options)  # type: ignore[method-assign]
    return app


def _aiohttp(client: LuminaClient, routes: Mapping[str, Handler], options: dict[str, Any]) -> web.Application:
    app = web.Application()
    setup_lumina(app, client=client, **options)
    for path, handler in routes.items():
        app.router.add_get(path, _answering(handler))
    return app


def _answering(handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=await handler())

    return answer


FRAMEWORKS = ("fastapi", "aiohttp", "litestar", "quart")


@asynccontextmanager
async def serving(
    framework: str, client: LuminaClient, routes: Mapping[str, Handler], **options: Any
) -> AsyncIterator[str]:
    """An app with these routes under its real server, with our middleware and these options of it."""
    if framework == "aiohttp":
        async with aiohttp_serving(_aiohttp(client, routes, options)) as url:
            yield url
    else:
        make = {"fastapi": _fastapi, "litestar": _litestar, "quart": _quart}[framework]
        async with uvicorn_serving(make(client, routes, options), lifespan="off") as url:
            yield url


async def ask(http: ClientSession, path: str, **options: Any) -> str:
    """What a page says."""
    async with http.get(path, **options) as answer:
        assert answer.status == 200
        return await answer.text()


async def raw(url: str, path: str, *headers: bytes) -> tuple[bytes, bytes]:
    """Head and body of the answer to a request with these bytes as headers."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = [f"GET {path} HTTP/1.1".encode(), b"Host: x", b"Connection: close", *headers]
    writer.write(b"\r\n".join(lines) + b"\r\n\r\n")
    answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body
