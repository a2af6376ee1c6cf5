"""A chat app as one would write it with aiohttp, each exchange recorded as a turn.

    POST /chat {"text": ..., "conversation": ..., "user": ... or null, "stream": true or false, "replay": a URL or null}

The answer is JSON or, streamed, plain text. Its header `X-Turn-Id` names the turn.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing

import attrs
from aiohttp import ClientConnectionResetError, web
from attrs.validators import instance_of

from lumina_async import LuminaClient, Message, Session, Turn
from lumina_async.demo.assistant import LARGE, SMALL, OverloadedError, ProviderError, complete, stream

APOLOGY = "Sorry, I cannot answer just now. Please try again in a minute."
PROMPT_ID = "coffee-desk/3"

LUMINA = web.AppKey("lumina", LuminaClient)
SESSIONS = web.AppKey("sessions", dict[tuple[str | None, str], Session])


@attrs.frozen
class Ask:
    """What the browser posts."""

    text: str = attrs.field(validator=instance_of(str))
    conversation: str = attrs.field(validator=instance_of(str))
    user: str | None = None
    stream: bool = False
    replay: str | None = None


def create_app(lumina: LuminaClient) -> web.Application:
    """Return the app; the client runs as long as it does."""
    app = web.Application()
    app[LUMINA] = lumina
    app[SESSIONS] = {}
    app.cleanup_ctx.append(_lumina)
    app.add_routes([web.post("/chat", _chat)])
    return app


async def _lumina(app: web.Application) -> AsyncIterator[None]:
    # Leaving the block sends what is still queued.
    async with app[LUMINA]:
        yield


async def _chat(request: web.Request) -> web.StreamResponse:
    try:
        ask = Ask(**await request.json())
    except (TypeError, ValueError):
        raise web.HTTPBadRequest(text="Post JSON with `text` and `conversation`.\n") from None
    # A scope of its own: nobody else's user or session is seen in this request.
    async with request.app[LUMINA].scope(user_id=ask.user, session_id=ask.conversation):
        session = await _session(request.app, ask)
        turn = session.turn()
        if ask.stream:
            return await _streamed(request, ask, turn)
        return await _whole(ask, turn)


async def _session(app: web.Application, ask: Ask) -> Session:
    # Kept, so that `seq` counts on from request to request; a real app would let go of those that have gone quiet.
    key = ask.user, ask.conversation
    if key not in app[SESSIONS]:
        pointers = {"ui_replay_url": ask.replay} if ask.replay else None
        app[SESSIONS][key] = await app[LUMINA].session.start(pointers=pointers)
    return app[SESSIONS][key]


async def _whole(ask: Ask, turn: Turn) -> web.Response:
    headers = {"X-Turn-Id": turn.turn_id}
    try:
        async with turn:
            await _asked(ask, turn)
            try:
                answer = await turn.wrap_llm(lambda: complete(LARGE, ask.text), model=LARGE, prompt_id=PROMPT_ID)
            except OverloadedError:
                # An error that is caught inside the turn is one of the call, not of the turn.
                answer = await turn.wrap_llm(lambda: complete(SMALL, ask.text), model=SMALL, prompt_id=PROMPT_ID)
            await turn.set_messages([Message("user", ask.text), Message("assistant", answer)])
    except ProviderError:
        # It has left the block, so the turn is stored as `error`; the person gets an apology.
        return web.json_response({"reply": APOLOGY}, status=503, headers=headers)
    return web.json_response({"reply": answer}, headers=headers)


async def _streamed(request: web.Request, ask: Ask, turn: Turn) -> web.StreamResponse:
    response = web.StreamResponse(headers={"X-Turn-Id": turn.turn_id, "Content-Type": "text/plain; charset=utf-8"})
    said: list[str] = []
    try:
        async with turn:
            await _asked(ask, turn)
            words = await turn.wrap_llm(stream(SMALL, ask.text), model=SMALL, prompt_id=PROMPT_ID)
            await response.prepare(request)
            try:
                async with aclosing(words):
                    async for word in words:
                        said.append(word)
                        await response.write(word.encode())
            finally:
                # Also when it broke off: the transcript then holds what was said until then.
                await turn.set_messages([Message("user", ask.text), Message("assistant", "".join(said).strip())])
    except ProviderError:
        await response.write(APOLOGY.encode())
    except ClientConnectionResetError:
        # How aiohttp tells that the person has left; the turn is stored as `cancelled`. Nobody is there to answer.
        pass
    return response


async def _asked(ask: Ask, turn: Turn) -> None:
    # The question first: a turn that fails then shows what was asked.
    await turn.set_messages([Message("user", ask.text)])
    if ask.replay:
        await turn.annotate(ui_replay_url=ask.replay)
