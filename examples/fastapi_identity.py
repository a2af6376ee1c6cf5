"""Who says what, with FastAPI: a visitor, their login, their logout, and the replay of what they saw.

    pip install uvicorn 'lumina-async[collector,fastapi]'
    lumina dev                                          # in a terminal of its own: it shows what is recorded
    uvicorn --app-dir examples fastapi_identity:app

    say() { curl -s -b jar -c jar http://127.0.0.1:8000$1 --json "$2"; echo; }
    say /chat '{"text": "Hello, I am new here."}'
    say /login '{"user": "ada", "plan": "pro"}'
    say /chat '{"text": "It is me."}'
    say /logout '{}'
    say /chat '{"text": "And who am I now?"}'

Or open http://127.0.0.1:8000 and type: the page also reports what is typed and not sent, without the text.

On the collector's page what was said first and second is Ada's, and the third is a new visitor's. With POSTHOG_API_KEY
set, and posthog-js on the page that talks to this server, each turn has the link to the second of the replay at which
it began. A script stands for the model; examples/aiohttp_identity.py is the same with aiohttp.
"""

import asyncio
import os
from pathlib import Path

from fastapi import Depends, FastAPI
from fastapi.responses import FileResponse
from pydantic import BaseModel

from lumina_async import Lumina, LuminaConfig, Message, NullUIProvider, Session
from lumina_async.frameworks.fastapi import LuminaMiddleware, lumina_lifespan, lumina_session
from lumina_async.providers.posthog import posthog_provider


class Ask(BaseModel):
    """A message."""

    text: str


class LogIn(BaseModel):
    """Who somebody is; in a real app a password or a token proves it first."""

    user: str
    plan: str = "free"


async def assistant(text: str) -> str:
    """Stand for a model."""
    await asyncio.sleep(0.01)
    return f"You said: {text}"


POSTHOG = os.getenv("POSTHOG_API_KEY")

app = FastAPI(
    lifespan=lumina_lifespan(
        LuminaConfig(
            endpoint=os.getenv("LUMINA_ENDPOINT", "http://127.0.0.1:4600"),
            write_key=os.getenv("LUMINA_WRITE_KEY", "gi_dev"),
            ui_analytics=posthog_provider(POSTHOG, os.getenv("POSTHOG_HOST")) if POSTHOG else NullUIProvider(),
        )
    )
)
# With a secret the browser keeps, signed, who has logged in, so that no other request needs to say it.
SECRET = os.getenv("COOKIE_SECRET", "only for this example")
app.add_middleware(LuminaMiddleware, cookie_secret=SECRET, chat_input="/lumina")


@app.get("/")
async def page() -> FileResponse:
    """Return a page to chat on."""
    return FileResponse(Path(__file__).with_name("identity_page.html"))


@app.post("/chat")
async def chat(ask: Ask, session: Session = Depends(lumina_session)) -> dict[str, str]:
    """Answer, as whoever is there now."""
    async with session.turn() as turn:
        reply = await turn.wrap_llm(lambda: assistant(ask.text), model="scripted-1", prompt_id="echo/1")
        await turn.set_messages([Message("user", ask.text), Message("assistant", reply)])
    return {"reply": reply, "who": await Lumina.get_distinct_id()}


@app.post("/login")
async def log_in(who: LogIn) -> dict[str, str]:
    """From here on the browser is this user's, and so is what was said in it before."""
    await Lumina.identify(who.user, {"plan": who.plan})
    return {"who": who.user}


@app.post("/logout")
async def log_out() -> dict[str, str]:
    """From here on it is a new visitor, in a new session."""
    await Lumina.reset()
    return {"who": await Lumina.get_distinct_id()}
