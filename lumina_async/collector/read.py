"""The read side: what is stored, as JSON."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import attrs
import orjson
from aiohttp import web

from lumina_async._version import __version__
from lumina_async.collector import csv_export
from lumina_async.collector.errors import ProblemError
from lumina_async.collector.guard import json_response
from lumina_async.collector.live import Live
from lumina_async.collector.open_requests import OpenRequests
from lumina_async.collector.parameters import MAX_TEXT, id_of, paging, parameter
from lumina_async.collector.projects import Projects
from lumina_async.collector.sockets import Sockets
from lumina_async.collector.store import Page, SessionSummary, Store, StoredEvent

_Item = TypeVar("_Item")


@attrs.frozen(eq=False)
class Reads:
    """Answers the read API, which is about one project at a time: `?project=` names it (see `Projects.of`).

    An event is shown as it was sent, with `received_at` added, and a turn with `feedback`, the events with its id, and
    `cost`, what its calls of models cost (see `costs`). A session has the `distinct_id` that it came with, and
    `user_id`, the known user that this is or turned out to be.
    """

    store: Store
    open_requests: OpenRequests
    sockets: Sockets
    projects: Projects
    live: Live
    started_s: float = attrs.field(factory=time.monotonic)

    async def projects_list(self, request: web.Request) -> web.Response:
        """Answer `GET /api/projects`; `login` is whether one logs in here, without that `gi_dev` is a good key."""
        del request
        items = [{"project": name} for name in await self.projects.all()]
        return json_response({"items": items, "next": None, "login": self.projects.access.page is not None})

    async def sessions(self, request: web.Request) -> web.Response:
        """Answer `GET /api/sessions?q=&limit=&cursor=`."""
        limit, cursor = paging(request)
        project = await self.projects.of(request)
        page = await self.store.sessions(project, limit=limit, cursor=cursor, text=parameter(request, "q", MAX_TEXT))
        return json_response(_listed(page, _session))

    async def session(self, request: web.Request) -> web.Response:
        """Answer `GET /api/sessions/{id}`: `{"session", "items", "next"}`, the turns in order."""
        session_id = id_of(request)
        limit, cursor = paging(request)
        project = await self.projects.of(request)
        summary = await self.store.session(project, session_id)
        if summary is None:
            raise web.HTTPNotFound
        page = await self.store.session_turns(project, session_id, limit=limit, cursor=cursor)
        return json_response({"session": _session(summary), **_listed(page, _turn)})

    async def turn(self, request: web.Request) -> web.Response:
        """Answer `GET /api/turns/{id}`: the turn itself."""
        event = await self.store.turn(await self.projects.of(request), id_of(request))
        if event is None:
            raise web.HTTPNotFound
        return json_response(_turn(event))

    async def user(self, request: web.Request) -> web.Response:
        """Answer `GET /api/users/{id}`: `{"user", "items", "next"}`, the sessions latest first.

        They are those of the user and of every visitor who turned out to be them, whose ids lead here as well.
        """
        distinct_id = id_of(request)
        limit, cursor = paging(request)
        project = await self.projects.of(request)
        user = await self.store.user(project, distinct_id)
        if user is None:
            raise web.HTTPNotFound
        page = await self.store.user_sessions(project, distinct_id, limit=limit, cursor=cursor)
        return json_response({"user": attrs.asdict(user), **_listed(page, _session)})

    async def forget_user(self, request: web.Request) -> web.Response:
        """Answer `DELETE /api/users/{id}` (with `X-Lumina-Action: delete`): `{"deleted": {...}}`, or 404.

        It deletes the user under all their ids, and their conversations as a whole; see `Store.forget`.
        """
        forgotten = await self.store.forget(await self.projects.of(request), id_of(request))
        if forgotten is None:
            raise web.HTTPNotFound
        return json_response({"deleted": attrs.asdict(forgotten)})

    async def events(self, request: web.Request) -> web.Response:
        """Answer `GET /api/events?name=&limit=&cursor=`, latest arrival first."""
        limit, cursor = paging(request)
        name = parameter(request, "name", MAX_TEXT)
        project = await self.projects.of(request)
        page = await self.store.events(project, limit=limit, cursor=cursor, name=name)
        return json_response(_listed(page, _event))

    async def stats(self, request: web.Request) -> web.Response:
        """Answer `GET /api/stats`."""
        project = await self.projects.of(request)
        totals = await self.store.totals(project)
        uptime_s = round(time.monotonic() - self.started_s, 1)
        turns = totals.events.get("turn", 0)
        facts = {"turns": turns, **self.store.engine, "connections": self.sockets.facts, "uptime_s": uptime_s}
        return json_response({"project": project, **attrs.asdict(totals), **facts})

    async def follow(self, request: web.Request) -> web.StreamResponse:
        """Answer `GET /api/live`."""
        return await self.live.stream(request, await self.projects.of(request))

    async def export(self, request: web.Request) -> web.StreamResponse:
        """Answer `GET /api/export`: every event as it was sent, in order of arrival.

        One per line, or with `?format=csv` as a table for a spreadsheet.
        """
        form = parameter(request, "format", MAX_TEXT) or "ndjson"
        if form not in _FORMS:
            raise ProblemError(400, "bad_parameter", f"`format` is one of {', '.join(_FORMS)}.")
        project = await self.projects.of(request)
        content_type, head, lines = _FORMS[form]
        response = web.StreamResponse(headers={"Content-Type": content_type})
        response.headers["Content-Disposition"] = f'attachment; filename="lumina.{form}"'
        with self.open_requests.cut_at_end(request):
            await response.prepare(request)
            await response.write(head)
            async for events in self.store.export(project):
                await response.write(await asyncio.to_thread(lines, events))
            await response.write_eof()
        return response

    async def health(self, request: web.Request) -> web.Response:
        """Answer `GET /healthz`: `ok`, or `degraded`, with 503 when no event can be stored.

        Details are for whoever may look at the events as well, since an error may name a file.
        """
        health = await self.store.health()
        status = {"status": "degraded" if health.error or health.alarm else "ok", "version": __version__}
        page = self.projects.access.page
        is_told = page is None or page.is_in(request)
        response = json_response({**status, **self.store.engine, "disk": attrs.asdict(health)} if is_told else status)
        response.set_status(503 if health.error else 200)
        return response


def _ndjson(events: Sequence[StoredEvent]) -> bytes:
    return "".join(f"{event.body}\n" for event in events).encode()


_FORMS: Mapping[str, tuple[str, bytes, Callable[[Sequence[StoredEvent]], bytes]]] = {
    "ndjson": ("application/x-ndjson", b"", _ndjson),
    "csv": ("text/csv; charset=utf-8", csv_export.header(), csv_export.rows),
}


def _listed(page: Page[_Item], shown: Callable[[_Item], object]) -> dict[str, Sequence[object] | str | None]:
    return {"items": [shown(item) for item in page.items], "next": page.next}


def _session(summary: SessionSummary) -> dict[str, object]:
    return attrs.asdict(summary, recurse=False)


def _event(event: StoredEvent) -> orjson.Fragment:
    return orjson.Fragment(_text(event))


def _turn(event: StoredEvent) -> orjson.Fragment:
    feedback = ",".join(_text(said) for said in event.feedback)
    cost = f',"cost":{event.cost}' if event.cost else ""
    return orjson.Fragment(f'{_text(event)[:-1]}{cost},"feedback":[{feedback}]}}')


def _text(event: StoredEvent) -> str:
    # Readers take the last of two fields of one name, so a `received_at` that the sender wrote does not pass for ours.
    return f'{event.body[:-1]},"received_at":"{event.received_at}"}}'
