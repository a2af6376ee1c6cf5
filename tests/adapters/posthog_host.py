"""A PostHog on loopback: takes what posthog-python and posthog-js send, and keeps every event of it.

async with posthog_host() as host:
    Posthog("phc_test", host=host.url).capture(...)
    await until(lambda: host.events)
"""

import gzip
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import attrs
from aiohttp import web

TRACING_HEADERS = "X-POSTHOG-SESSION-ID, X-POSTHOG-WINDOW-ID, X-POSTHOG-DISTINCT-ID"
RECORDING = {"endpoint": "/s/", "recorderVersion": "v2", "sampleRate": None}
CONFIG = {"supportedCompression": ["gzip-js"], "sessionRecording": RECORDING, "featureFlags": [], "surveys": False}


@attrs.define
class PostHogHost:
    """What came in.

    Attributes:
        url: Where it listens: `host` of posthog-python, `api_host` of posthog-js.
        events: Every event, in the order of arrival; `$snapshot` of a replay is one.
        bodies: Every body as text, unpacked.
        headers: Those of every request.
    """

    url: str = ""
    events: list[dict[str, Any]] = attrs.Factory(list)
    bodies: list[str] = attrs.Factory(list)
    headers: list[dict[str, str]] = attrs.Factory(list)

    def named(self, name: str) -> list[dict[str, Any]]:
        """The events of one name."""
        return [event for event in self.events if event["event"] == name]

    def wire(self) -> str:
        """Everything that was said to it: bodies and headers."""
        return repr((self.bodies, self.headers))

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Take any request of a PostHog client."""
        self.headers.append(dict(request.headers))
        if request.method == "OPTIONS":
            return _json(request, {})
        if request.path.startswith("/array/"):
            return web.Response(status=404) if request.path.endswith(".js") else _json(request, CONFIG)
        self._keep(await request.read())
        if request.path.startswith("/flags"):
            return _json(request, {"flags": {}, "sessionRecording": RECORDING, "supportedCompression": ["gzip-js"]})
        return _json(request, {"status": 1})

    def _keep(self, body: bytes) -> None:
        text = (gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body).decode()
        self.bodies.append(text)
        if text[:1] not in {"{", "["}:
            return
        told = json.loads(text)
        # posthog-python sends {"batch": [...]}; posthog-js an event, or a list of them.
        events = told.get("batch", [told]) if isinstance(told, dict) else told
        self.events += [event for event in events if "event" in event]


def _json(request: web.Request, body: Mapping[str, Any]) -> web.Response:
    allowed = {
        "Access-Control-Allow-Origin": request.headers.get("Origin", "*"),
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Allow-Headers": f"content-type, {TRACING_HEADERS}",
        "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
    }
    return web.json_response(body, headers=allowed)


@asynccontextmanager
async def posthog_host() -> AsyncIterator[PostHogHost]:
    """Run one on a free port."""
    host, app = PostHogHost(), web.Application(client_max_size=32 * 2**20)
    app.router.add_route("*", "/{path:.*}", host.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield host
    finally:
        await runner.cleanup()
