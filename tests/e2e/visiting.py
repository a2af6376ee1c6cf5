"""A page of the collector in a browser, under watch, and the events it shows."""

import json
import time
from typing import Any

import aiohttp
import attrs
from playwright.async_api import ConsoleMessage, Page, Request, Route, expect

from lumina_async._trace import new_event_id, new_span_id
from lumina_async.collector import Collector

TELL = "addEventListener('securitypolicyviolation', (event) => console.error(`CSP ${event.violatedDirective}`))"


@attrs.define
class Visit:
    """A page under watch, and the collector it looks at."""

    collector: Collector
    page: Page
    problems: list[str] = attrs.field(factory=list)

    async def open(self, session_id: str | None = None) -> Page:
        """Open the page, at a session."""
        await self.page.goto(f"{self.collector.url}/" + (f"#/sessions/{session_id}" if session_id else ""))
        await expect(self.page.get_by_role("banner").get_by_text("Live", exact=True)).to_be_visible()
        return self.page


async def watch(visit: Visit) -> None:
    """Note what no page may do: complain, ask for anything elsewhere, open a dialog or a window."""

    def on_console(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            visit.problems.append(f"console: {message.text}")

    def on_request(request: Request) -> None:
        if not request.url.startswith((visit.collector.url, "data:")):
            visit.problems.append(f"request: {request.url}")

    async def no_way_out(route: Route) -> None:
        await route.abort()

    page = visit.page
    page.on("console", on_console)
    page.on("pageerror", lambda error: visit.problems.append(f"error: {error}"))
    page.on("dialog", lambda dialog: visit.problems.append(f"dialog: {dialog.message}"))
    page.on("request", on_request)
    page.on("popup", lambda popup: visit.problems.append(f"popup: {popup.url}"))
    await page.route(lambda url: not url.startswith(visit.collector.url), no_way_out)
    await page.add_init_script(TELL)


async def send(collector: Collector, *events: dict[str, Any]) -> None:
    """Send events, all of which must be good."""
    body = "".join(f"{json.dumps(event)}\n" for event in events).encode()
    headers = {"X-Api-Key": "gi_dev", "Content-Type": "application/x-ndjson"}
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"{collector.url}/v1/ingest", data=body, headers=headers) as response,
    ):
        answer = await response.json()
    assert (response.status, answer["rejected"]) == (200, [])


def event(name: str = "turn", **more: Any) -> dict[str, Any]:
    """Return an event of a known user."""
    common = {"v": 1, "event_id": new_event_id(time.time_ns()), "name": name, "source": "lumina-async"}
    return {**common, "distinct_id": "maria.keller", "anonymous": False, "session_id": "chat_42", **more}


def turn(text: str = "Where is my order?", seq: int = 1, **more: Any) -> dict[str, Any]:
    """Return a turn with a question and its answer."""
    said = [{"role": "user", "content": text}, {"role": "assistant", "content": f"About {text}: on its way."}]
    facts = {"turn_id": new_span_id(), "seq": seq, "status": "ok", "latency_ms": 1840.2, "capture": "full"}
    started = {"started_at": f"2026-01-01T10:{seq:02}:00.000Z"}
    return event(**{**facts, **started, "messages": said, **more})
