"""The read side: what is stored, as JSON."""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import attrs
import orjson
from aiohttp import web

from lumina_async._version import __version__
from lumina_async.collector.errors import ProblemError
from lumina_async.collector.guard import json_response
from lumina_async.collector.ingest import PROJECT
from lumina_async.collector.open_requests import OpenRequests
from lumina_async.collector.sockets import Sockets
from lumina_async.collector.store import Page, SessionSummary, Store, StoredEvent

_DEFAULT_LIMIT = 50
_MAX_LIMIT = 200
_MAX_TEXT = 200
_MAX_CURSOR = 2000

_Item = TypeVar("_Item")


@attrs.frozen(eq=False)
class Reads:
    """Answers the read API.

    An event is shown as it was sent, with `received_at` added, and a turn with `feedback`, the events with its id. A
    session has the `distinct_id` that it came with, and `user_id`, the known user that this is or turned out to be.
    """

    store: Store
    open_requests: OpenRequests
    sockets: Sockets
    started_s: float = attrs.field(factory=time.monotonic)

    async def sessions(self, request: web.Request) -> web.Response:
        """Answer `GET /api/sessions?q=&limit=&cursor=`."""
        limit, cursor = _paging(request)
        page = await self.store.sessions(PROJECT, limit=limit, cursor=cursor, text=_parameter(request, "q", _MAX_TEXT))
        return json_response(_listed(page, _session))

    async def session(self, request: web.Request) -> web.Response:
        """Answer `GET /api/sessions/{id}`: `{"session", "items", "next"}`, the turns in order."""
        session_id = _id(request)
        limit, cursor = _paging(request)
        summary = await self.store.session(PROJECT, session_id)
        if summary is None:
            raise web.HTTPNotFound
        page = await self.store.session_turns(PROJECT, session_id, limit=limit, cursor=cursor)
        return json_response({"session": _session(summary), **_listed(page, _turn)})

    async def turn(self, request: web.Request) -> web.Response:
        """Answer `GET /api/turns/{id}`: the turn itself."""
        event = await self.store.turn(PROJECT, _id(request))
        if event is None:
            raise web.HTTPNotFound
        return json_response(_turn(event))

    async def user(self, request: web.Request) -> web.Response:
        """Answer `GET /api/users/{id}`: `{"user", "items", "next"}`, the sessions latest first.

        They are those of the user and of every visitor who turned out to be them, whose ids lead here as well.
        """
        distinct_id = _id(request)
        limit, cursor = _paging(request)
        user = await self.store.user(PROJECT, distinct_id)
        if user is None:
            raise web.HTTPNotFound
        page = await self.store.user_sessions(PROJECT, distinct_id, limit=limit, cursor=cursor)
        return json_response({"user": attrs.asdict(user), **_listed(page, _session)})

    async def events(self, request: web.Request) -> web.Response:
        """Answer `GET /api/events?name=&limit=&cursor=`, latest arrival first."""
        limit, cursor = _paging(request)
        name = _parameter(request, "name", _MAX_TEXT)
        page = await self.store.events(PROJECT, limit=limit, cursor=cursor, name=name)
        return json_response(_listed(page, _event))

    async def stats(self, request: web.Request) -> web.Response:
        """Answer `GET /api/stats`."""
        del request
        totals = await self.store.totals(PROJECT)
        uptime_s = round(time.monotonic() - self.started_s, 1)
        turns = totals.events.get("turn", 0)
        facts = {"turns": turns, **self.store.engine, "connections": self.sockets.facts, "uptime_s": uptime_s}
        return json_response({**attrs.asdict(totals), **facts})

    async def export(self, request: web.Request) -> web.StreamResponse:
        """Answer `GET /api/export`: every event as it was sent, one per line, in order of arrival."""
        response = web.StreamResponse()
        response.content_type = "application/x-ndjson"
        response.headers["Content-Disposition"] = 'attachment; filename="lumina.ndjson"'
        with self.open_requests.cut_at_end(request):
            await response.prepare(request)
            async for bodies in self.store.export(PROJECT):
                await response.write("".join(f"{body}\n" for body in bodies).encode())
            await response.write_eof()
        return response

    async def health(self, request: web.Request) -> web.Response:
        """Answer `GET /healthz`: `ok`, or `degraded`, with 503 when no event can be stored."""
        del request
        health = await self.store.health()
        facts = {"version": __version__, **self.store.engine, "disk": attrs.asdict(health)}
        response = json_response({"status": "degraded" if health.error or health.alarm else "ok", **facts})
        response.set_status(503 if health.error else 200)
        return response


def _listed(page: Page[_Item], shown: Callable[[_Item], object]) -> dict[str, Sequence[object] | str | None]:
    return {"items": [shown(item) for item in page.items], "next": page.next}


def _session(summary: SessionSummary) -> dict[str, object]:
    return attrs.asdict(summary, recurse=False)


def _event(event: StoredEvent) -> orjson.Fragment:
    return orjson.Fragment(_text(event))


def _turn(event: StoredEvent) -> orjson.Fragment:
    feedback = ",".join(_text(said) for said in event.feedback)
    return orjson.Fragment(f'{_text(event)[:-1]},"feedback":[{feedback}]}}')


def _text(event: StoredEvent) -> str:
    # Readers take the last of two fields of one name, so a `received_at` that the sender wrote does not pass for ours.
    return f'{event.body[:-1]},"received_at":"{event.received_at}"}}'


def _paging(request: web.Request) -> tuple[int, str | None]:
    text = request.query.get("limit", str(_DEFAULT_LIMIT))
    limit = int(text) if text.isascii() and text.isdigit() and len(text) <= 3 else 0
    if not 1 <= limit <= _MAX_LIMIT:
        raise ProblemError(400, "bad_parameter", f"`limit` is no number from 1 to {_MAX_LIMIT}.")
    return limit, _parameter(request, "cursor", _MAX_CURSOR)


def _parameter(request: web.Request, name: str, characters: int) -> str | None:
    return _checked(request.query.get(name), name, characters) or None


def _id(request: web.Request) -> str:
    return _checked(request.match_info["id"], "id", _MAX_TEXT) or ""


def _checked(text: str | None, name: str, characters: int) -> str | None:
    if text is None:
        return None
    # Half a surrogate pair is text to Python and to nobody else.
    if len(text) > characters or any("\ud800" <= character <= "\udfff" for character in text):
        raise ProblemError(400, "bad_parameter", f"`{name}` has more than {characters} characters or odd ones.")
    return text
