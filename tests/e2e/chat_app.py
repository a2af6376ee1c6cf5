"""A small chat app with a login, on FastAPI and on aiohttp, as the browser tests visit it."""

import asyncio
import string
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import attrs
from adapters.browsers import aiohttp_serving, uvicorn_serving
from aiohttp import web
from fastapi import Body, Depends, FastAPI
from fastapi.responses import HTMLResponse, Response

from lumina_async import LuminaClient, Session
from lumina_async.frameworks.aiohttp import lumina_cleanup_ctx, setup_lumina
from lumina_async.frameworks.asgi import LuminaMiddleware
from lumina_async.frameworks.fastapi import lumina_session

FOLDER = Path(__file__).with_name("chat")
SCRIPT = (FOLDER / "app.js").read_text()
STRICT = {"Content-Security-Policy": "default-src 'none'; script-src 'self'; connect-src 'self'; form-action 'none'"}
OPTIONS: dict[str, Any] = {"cookie_secret": "a secret of the tests, long enough", "chat_input": "/lumina"}
OPTIONS["chat_session"] = lambda _, session_id: session_id.startswith("chat_")


@attrs.frozen
class Site:
    """What the app serves beside its answers.

    Attributes:
        scripts: Text by name; all are loaded before the app's own, in this order.
        headers: Those of the page.
    """

    scripts: Mapping[str, str] = {}
    headers: Mapping[str, str] = STRICT

    @property
    def page(self) -> str:
        tags = "\n".join(f'<script src="/static/{name}"></script>' for name in self.scripts)
        return string.Template((FOLDER / "index.html").read_text()).substitute(SCRIPTS=tags)

    def script(self, name: str) -> str:
        return SCRIPT if name == "app.js" else self.scripts[name]


async def exchange(session: Session, text: str) -> str:
    """Record a turn; the assistant repeats what it heard."""
    async with session.turn() as turn:
        reply: str = await turn.wrap_llm(lambda: asyncio.sleep(0, f"You said: {text}"), model="echo")
        await turn.set_messages([{"role": "user", "content": text}, {"role": "assistant", "content": reply}])
    return reply


def fastapi_app(client: LuminaClient, site: Site) -> FastAPI:
    """Return the app with the middleware around it, which also runs the client."""
    app = FastAPI()
    app.add_middleware(LuminaMiddleware, client=client, **OPTIONS)

    @app.get("/")
    @app.get("/elsewhere")
    async def index() -> HTMLResponse:
        return HTMLResponse(site.page, headers=dict(site.headers))

    @app.get("/static/{name}")
    async def script(name: str) -> Response:
        return Response(site.script(name), media_type="text/javascript")

    @app.post("/chat")
    async def chat(text: str = Body(embed=True), session: Session = Depends(lumina_session)) -> str:
        return await exchange(session, text)

    @app.post("/login")
    async def login(user: str = Body(embed=True)) -> str:
        await client.identify(user)
        return await client.get_distinct_id()

    @app.post("/logout")
    async def logout() -> str:
        await client.reset()
        return await client.get_distinct_id()

    return app


def aiohttp_app(client: LuminaClient, site: Site) -> web.Application:
    """Return the same app for aiohttp."""

    async def index(_: web.Request) -> web.Response:
        return web.Response(text=site.page, content_type="text/html", headers=site.headers)

    async def script(request: web.Request) -> web.Response:
        return web.Response(text=site.script(request.match_info["name"]), content_type="text/javascript")

    async def chat(request: web.Request) -> web.Response:
        return web.json_response(await exchange(await client.session.start(), (await request.json())["text"]))

    async def login(request: web.Request) -> web.Response:
        await client.identify((await request.json())["user"])
        return web.json_response(await client.get_distinct_id())

    async def logout(_: web.Request) -> web.Response:
        await client.reset()
        return web.json_response(await client.get_distinct_id())

    app = web.Application()
    setup_lumina(app, client=client, **OPTIONS)
    app.cleanup_ctx.append(lumina_cleanup_ctx(client=client))
    app.add_routes([web.get("/", index), web.get("/elsewhere", index), web.get("/static/{name}", script)])
    app.add_routes([web.post("/chat", chat), web.post("/login", login), web.post("/logout", logout)])
    return app


def serving(framework: str, client: LuminaClient, site: Site = Site()) -> AbstractAsyncContextManager[str]:
    """Serve the app on `fastapi`, by uvicorn, or on `aiohttp` while the block runs; gives its address."""
    if framework == "fastapi":
        return uvicorn_serving(fastapi_app(client, site))
    return aiohttp_serving(aiohttp_app(client, site))
