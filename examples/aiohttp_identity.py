"""Who says what, with aiohttp: a visitor, their login, their logout, and the replay of what they saw.

    pip install 'lumina-async[collector,frameworks]'
    lumina dev                                          # in a terminal of its own: it shows what is recorded
    python -m aiohttp.web -P 8000 examples.aiohttp_identity:create_app

Talk to it as to examples/fastapi_identity.py, which is the same with FastAPI.
"""

import asyncio
import os
from pathlib import Path
from typing import Any

from aiohttp import web

from lumina_async import Lumina, LuminaConfig, Message, NullUIProvider
from lumina_async.frameworks.aiohttp import lumina_cleanup_ctx, setup_lumina
from lumina_async.providers.posthog import posthog_provider

POSTHOG = os.getenv("POSTHOG_API_KEY")


async def assistant(text: str) -> str:
    """Stand for a model."""
    await asyncio.sleep(0.01)
    return f"You said: {text}"


async def page(request: web.Request) -> web.FileResponse:
    """Return a page to chat on."""
    return web.FileResponse(Path(__file__).with_name("identity_page.html"))


async def chat(request: web.Request) -> web.Response:
    """Answer, as whoever is there now."""
    text = (await request.json())["text"]
    session = await Lumina.session.start()
    async with session.turn() as turn:
        reply = await turn.wrap_llm(lambda: assistant(text), model="scripted-1", prompt_id="echo/1")
        await turn.set_messages([Message("user", text), Message("assistant", reply)])
    return web.json_response({"reply": reply, "who": await Lumina.get_distinct_id()})


async def log_in(request: web.Request) -> web.Response:
    """From here on the browser is this user's, and so is what was said in it before."""
    # In a real app a password or a token proves it first.
    who: dict[str, Any] = await request.json()
    await Lumina.identify(who["user"], {"plan": who.get("plan", "free")})
    return web.json_response({"who": who["user"]})


async def log_out(request: web.Request) -> web.Response:
    """From here on it is a new visitor, in a new session."""
    await Lumina.reset()
    return web.json_response({"who": await Lumina.get_distinct_id()})


def create_app(argv: list[str] | None = None) -> web.Application:
    """Return the app."""
    app = web.Application()
    # With a secret the browser keeps, signed, who has logged in, so that no other request needs to say it.
    setup_lumina(app, cookie_secret=os.getenv("COOKIE_SECRET", "only for this example"), chat_input="/lumina")
    config = LuminaConfig(
        endpoint=os.getenv("LUMINA_ENDPOINT", "http://127.0.0.1:4600"),
        write_key=os.getenv("LUMINA_WRITE_KEY", "gi_dev"),
        ui_analytics=posthog_provider(POSTHOG, os.getenv("POSTHOG_HOST")) if POSTHOG else NullUIProvider(),
    )
    app.cleanup_ctx.append(lumina_cleanup_ctx(config))
    app.add_routes(
        [web.get("/", page), web.post("/chat", chat), web.post("/login", log_in), web.post("/logout", log_out)]
    )
    return app
