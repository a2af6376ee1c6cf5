"""The routes of the collector."""

from pathlib import Path

from aiohttp import web

from lumina_async.collector.access import Access
from lumina_async.collector.assets import Assets, load_assets
from lumina_async.collector.decode import Limits
from lumina_async.collector.front import Front
from lumina_async.collector.guard import INGEST_PATHS, add_headers, guard
from lumina_async.collector.ingest import Ingest
from lumina_async.collector.live import Live
from lumina_async.collector.open_requests import OpenRequests
from lumina_async.collector.projects import Projects
from lumina_async.collector.read import Reads
from lumina_async.collector.sockets import Sockets
from lumina_async.collector.store import Store

_ID = "{id:[^/]+}"
"""Any text, braces included, which the pattern of aiohttp leaves out."""

_STATIC = Path(__file__).parent / "static"


def create_app(store: Store, limits: Limits, sockets: Sockets, access: Access) -> web.Application:
    """Return the application over an open store."""
    open_requests = OpenRequests()
    live = Live(open_requests)
    ingest = Ingest(store, live, limits, open_requests, sockets, access)
    reads = Reads(store, open_requests, sockets, Projects(store, access), live)
    front = Front(Assets(load_assets(_STATIC)), access.page)
    app = web.Application(middlewares=[guard(access)])
    app.add_routes(
        [
            *(web.post(path, ingest.handle) for path in INGEST_PATHS),
            web.get("/v1/project", ingest.project),
            web.get("/api/projects", reads.projects_list),
            web.get("/api/sessions", reads.sessions),
            web.get("/api/sessions/" + _ID, reads.session),
            web.get("/api/turns/" + _ID, reads.turn),
            web.get("/api/users/" + _ID, reads.user),
            web.delete("/api/users/" + _ID, reads.forget_user),
            web.get("/api/events", reads.events),
            web.get("/api/stats", reads.stats),
            web.get("/api/live", reads.follow, allow_head=False),
            web.get("/api/export", reads.export, allow_head=False),
            web.get("/healthz", reads.health),
            web.get("/static/{name}", front.file),
            web.get("/", front.page),
            web.get("/login", front.login_page),
            web.post("/login", front.login),
            web.post("/logout", front.logout),
        ]
    )
    app.on_response_prepare.append(add_headers)

    async def end_streams(_: web.Application) -> None:
        live.end()
        await open_requests.cut()

    app.on_shutdown.append(end_streams)
    return app
