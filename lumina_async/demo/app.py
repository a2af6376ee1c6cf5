"""A chat app as one would write it with aiohttp, each exchange recorded as a turn.

    POST /chat      {"text": ..., "conversation": ..., "user": ... or null, "stream": true or false, "replay": a URL}
    POST /login     {"user": ..., "properties": {...}}
    POST /feedback  {"turn": ..., "label": ..., "score": ..., "comment": ..., "user": ... or null}

The answer to a question is JSON or, streamed, plain text. Its header `X-Turn-Id` names the turn. Someone without a
`user` is whoever their browser's cookie says: a visitor, until they log in.
"""

import secrets
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from typing import Any, TypeVar

import attrs
from aiohttp import ClientConnectionResetError, web
from attrs.validators import instance_of

from lumina_async import LuminaClient, Message, Turn
from lumina_async.demo.assistant import LARGE, SMALL, OverloadedError, ProviderError, complete, stream
from lumina_async.demo.lookups import PaymentsError
from lumina_async.demo.tools import look_up
from lumina_async.frameworks.aiohttp import lumina_cleanup_ctx, setup_lumina

APOLOGY = "Sorry, I cannot answer just now. Please try again in a minute."
PROMPT_ID = "coffee-desk/4"

LUMINA = web.AppKey("lumina", LuminaClient)
BEGUN = web.AppKey("begun", set[str])

_Body = TypeVar("_Body", bound=attrs.AttrsInstance)


@attrs.frozen
class Ask:
    """A question, as the browser posts it."""

    text: str = attrs.field(validator=instance_of(str))
    conversation: str = attrs.field(validator=instance_of(str))
    user: str | None = None
    stream: bool = False
    replay: str | None = None


@attrs.frozen
class LogIn:
    """Who somebody says to be."""

    user: str = attrs.field(validator=instance_of(str))
    properties: Mapping[str, Any] = attrs.field(factory=dict[str, Any])


@attrs.frozen
class Opinion:
    """What somebody thinks of an answer."""

    turn: str = attrs.field(validator=instance_of(str))
    label: str | None = None
    score: float | None = None
    comment: str | None = None
    user: str | None = None


def create_app(lumina: LuminaClient) -> web.Application:
    """Return the app; the client runs as long as it does."""
    app = web.Application()
    # Who has logged in is kept by the browser, signed; this secret lives as long as the demo.
    setup_lumina(app, client=lumina, cookie_secret=secrets.token_urlsafe())
    # Ending it sends what is still queued.
    app.cleanup_ctx.append(lumina_cleanup_ctx(client=lumina))
    app[LUMINA] = lumina
    app[BEGUN] = set()
    app.add_routes([web.post("/chat", _chat), web.post("/login", _log_in), web.post("/feedback", _feedback)])
    return app


async def _read(request: web.Request, kind: type[_Body]) -> _Body:
    try:
        return kind(**await request.json())
    except (TypeError, ValueError):
        names = ", ".join(f"`{name}`" for name in attrs.fields_dict(kind))
        raise web.HTTPBadRequest(text=f"Post JSON with {names}.\n") from None


def _scope(request: web.Request, user: str | None) -> AbstractAsyncContextManager[None]:
    # Whom the app knows gets a scope of their own, so that nobody else is seen; others have the one of their browser.
    return nullcontext() if user is None else request.app[LUMINA].scope(user_id=user)


async def _log_in(request: web.Request) -> web.Response:
    who = await _read(request, LogIn)
    # From here on the browser is this user's, and what it did before as a visitor is theirs as well.
    await request.app[LUMINA].identify(who.user, who.properties)
    return web.json_response({"user": who.user})


async def _feedback(request: web.Request) -> web.Response:
    said = await _read(request, Opinion)
    async with _scope(request, said.user):
        await request.app[LUMINA].feedback(said.turn, score=said.score, label=said.label, comment=said.comment)
    return web.json_response({"thanks": True})


async def _chat(request: web.Request) -> web.StreamResponse:
    ask = await _read(request, Ask)
    async with _scope(request, ask.user):
        turn = await _turn(request.app, ask)
        return await (_streamed(request, ask, turn) if ask.stream else _whole(ask, turn))


async def _turn(app: web.Application, ask: Ask) -> Turn:
    # Where the conversation takes place is told once, when it begins.
    is_new, replay = ask.conversation not in app[BEGUN], {"ui_replay_url": ask.replay}
    app[BEGUN].add(ask.conversation)
    pointers = replay if is_new and ask.replay else None
    return (await app[LUMINA].session.start(session_id=ask.conversation, pointers=pointers)).turn()


async def _whole(ask: Ask, turn: Turn) -> web.Response:
    headers = {"X-Turn-Id": turn.turn_id}
    try:
        async with turn:
            facts = await _asked(ask, turn)
            try:
                answer = await turn.wrap_llm(lambda: complete(LARGE, ask.text, facts), model=LARGE, prompt_id=PROMPT_ID)
            except OverloadedError:
                # An error that is caught inside the turn is one of the call, not of the turn.
                answer = await turn.wrap_llm(lambda: complete(SMALL, ask.text, facts), model=SMALL, prompt_id=PROMPT_ID)
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
            facts = await _asked(ask, turn)
            words = await turn.wrap_llm(stream(SMALL, ask.text, facts), model=SMALL, prompt_id=PROMPT_ID)
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


async def _asked(ask: Ask, turn: Turn) -> str | None:
    # The question first: a turn that fails then shows what was asked.
    await turn.set_messages([Message("user", ask.text)])
    if ask.replay:
        await turn.annotate(ui_replay_url=ask.replay)
    try:
        return await look_up(turn, ask.text)
    except PaymentsError:
        # Recorded as the error of its tool; the assistant answers without it.
        return None
