"""What the tests of adapters share: real servers on port 0, and browsers that keep cookies."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from aiohttp import ClientSession, CookieJar, web

KEY = "a secret of the tests 0123456789"
ANONYMOUS = "anon_3f2b8c1e-5d4a-4b6c-8d7e-9f0a1b2c3d4e"
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


@asynccontextmanager
async def uvicorn_serving(app: Any, **options: Any) -> AsyncIterator[str]:
    """An ASGI app under uvicorn in this loop."""
    config = uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=5, **options)
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
