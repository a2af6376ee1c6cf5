"""The script that watches the input of a chat, in a real browser: three events, and what was typed nowhere."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import pytest_asyncio
from aiohttp import ClientSession
from collector.kit import items
from e2e.browsing import Wire, chromium, wired
from e2e.chat_app import serving
from playwright.async_api import Browser, BrowserContext, Page, expect
from support import recording

from lumina_async import ChatInputTracker, LuminaClient, LuminaConfig, NullUIProvider
from lumina_async.collector import Collector

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]
KEY = "gi_test_canary_key_51f0"
SECRET = "my secret plan: \N{ROCKET} away"
TELL = "addEventListener('securitypolicyviolation', (event) => console.error(`CSP ${event.violatedDirective}`))"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as running:
        yield running


@attrs.define
class Visit:
    """A person in front of the chat app, and what became of what they did."""

    wire: Wire
    collector: Collector
    database: Path
    context: BrowserContext
    problems: list[str] = attrs.field(factory=list)

    async def open(self) -> Page:
        page = await self.context.new_page()
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", lambda message: self.problems.append(message.text) if message.type == "error" else None)
        await page.goto(self.wire.url)
        return page

    async def events(self, *names: str) -> list[dict[str, Any]]:
        """Wait until so many events of chat inputs have arrived, see that they are these, and give them."""
        found = await self.arrived("chat_", len(names))
        assert [event["name"] for event in found] == [f"chat_{name}" for name in names]
        return found

    async def arrived(self, prefix: str, count: int) -> list[dict[str, Any]]:
        """Wait until so many events whose name begins like this have arrived; give them as they happened."""
        async with ClientSession(self.collector.url) as http, asyncio.timeout(20):
            while True:
                found = [event for event in await items(http, "/api/events") if event["name"].startswith(prefix)]
                if len(found) >= count:
                    return sorted(found, key=lambda event: str(event["event_id"]))
                await asyncio.sleep(0.05)

    def is_nowhere(self, text: str) -> bool:
        """Tell whether a text is in nothing that the browser sent, and in no byte of the collector's files."""
        files = [path.read_bytes() for path in self.database.parent.glob(f"{self.database.name}*")]
        forms = [text.encode(), json.dumps(text)[1:-1].encode(), text.encode("utf-16-le")]
        return not any(form in data for form in forms for data in (bytes(self.wire.sent), *files))


@pytest_asyncio.fixture(loop_scope="module", params=["fastapi", "aiohttp"])
async def visit(request: pytest.FixtureRequest, browser: Browser, tmp_path: Path) -> AsyncIterator[Visit]:
    """Every test also asks that the page runs under a strict content policy without a complaint."""
    database = tmp_path / "lumina.db"
    async with Collector(db=database, port=0) as collector:
        client = LuminaClient(LuminaConfig(endpoint=collector.url, write_key=KEY, flush_interval_ms=10))
        async with serving(request.param, client) as url, wired(url) as wire:
            context = await browser.new_context()
            await context.add_init_script(TELL)
            visit = Visit(wire, collector, database, context)
            yield visit
            await context.close()
            assert visit.problems == []


async def hash_of(text: str) -> str:
    """Return what the tracker on the server makes of a text under the same key."""
    async with recording(write_key=KEY) as (client, transport):
        tracker = ChatInputTracker(NullUIProvider(), "chat_42", client)
        await tracker.on_input_start()
        await tracker.on_input_abandoned(text)
    hashed: str = transport.stored[1]["partial_content_hash"]
    return hashed


async def test_typed_and_sent(visit: Visit) -> None:
    """A message is begun and submitted, with its time and length, by the person and in the session of its turn."""
    page = await visit.open()
    await page.get_by_label("Message").press_sequentially("Hello", delay=60)
    await page.keyboard.press("Enter")
    await expect(page.locator("li")).to_have_text('"You said: Hello"')
    started, submitted = await visit.events("input_started", "message_submitted")
    assert 200 <= submitted["typing_duration_ms"] < 10_000
    assert submitted["character_count"] == 5
    [turn] = await visit.arrived("turn", 1)
    whose = [(event["distinct_id"], event["session_id"], event["trace_id"]) for event in (started, submitted, turn)]
    assert whose[0] == whose[1] == whose[2]


async def test_typed_and_left(visit: Visit) -> None:
    """What is left unsent is its length and a hash, equal to the tracker's for the same text; the text is nowhere."""
    page = await visit.open()
    await page.get_by_label("Message").press_sequentially(SECRET, delay=10)
    await page.get_by_role("link", name="Elsewhere").click()
    [_, abandoned] = await visit.events("input_started", "input_abandoned")
    assert 50 <= abandoned["typing_duration_ms"] < 10_000
    assert abandoned["character_count"] == len(SECRET)
    assert abandoned["partial_content_hash"] == await hash_of(SECRET)
    assert visit.is_nowhere(SECRET)
    assert visit.is_nowhere("secret plan")
    # What is there is found: a word of the wire, and one of the database alone.
    assert not visit.is_nowhere("chat-input")
    assert not visit.is_nowhere(abandoned["partial_content_hash"])


async def test_typed_and_closed(visit: Visit) -> None:
    """Closing the tab is giving up, and the last moment of the page is enough to say so."""
    page = await visit.open()
    await page.get_by_label("Message").press_sequentially(SECRET, delay=10)
    await page.close()
    [_, abandoned] = await visit.events("input_started", "input_abandoned")
    assert abandoned["partial_content_hash"] == await hash_of(SECRET)
    assert visit.is_nowhere("secret plan")


async def test_left_alone(visit: Visit) -> None:
    """Half a minute without focus is giving up, not less; the clock of the page is set forward."""
    page = await visit.open()
    await page.clock.install()
    await page.reload()
    field = page.get_by_label("Message")
    await field.press_sequentially("Hello")
    for seconds in (20, 20, 31):
        await field.focus()
        await field.blur()
        await page.clock.fast_forward(seconds * 1_000)
    await field.focus()
    await page.close()
    [_, abandoned] = await visit.events("input_started", "input_abandoned")
    assert abandoned["partial_content_hash"] == await hash_of("Hello")


async def test_gone_and_back(visit: Visit) -> None:
    """A hidden tab has given up once, however often it is hidden; sending later is a submission without a time."""
    page = await visit.open()
    await page.get_by_label("Message").press_sequentially("Hello", delay=10)
    for _ in range(2):
        await hide(page, True)
        await hide(page, False)
    await page.get_by_role("button", name="Send").click()
    events = await visit.events("input_started", "input_abandoned", "message_submitted")
    assert "typing_duration_ms" not in events[2]


async def hide(page: Page, is_hidden: bool) -> None:
    """Let the page believe that its tab is in the background: a headless browser never puts one there."""
    await page.evaluate(
        "(hidden) => Object.defineProperty(document, 'hidden', { value: hidden, configurable: true })", is_hidden
    )
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange', { bubbles: true }))")


async def test_the_page_may_name_its_session(visit: Visit) -> None:
    """What the app writes into `data-session`, at any time, is what its hook is asked for."""
    page = await visit.open()
    await page.evaluate("document.querySelector('[data-input]').dataset.session = 'chat_42'")
    await page.get_by_label("Message").press_sequentially("Hi", delay=10)
    [started] = await visit.events("input_started")
    assert started["session_id"] == "chat_42"


async def test_deleted_is_nothing(visit: Visit) -> None:
    """Whoever deletes what they typed has begun, and has nothing to give up."""
    page = await visit.open()
    await page.get_by_label("Message").press_sequentially("No", delay=10)
    await page.keyboard.press("Backspace")
    await page.keyboard.press("Backspace")
    await page.get_by_role("link", name="Elsewhere").click()
    await page.get_by_label("Message").press_sequentially("Yes", delay=10)
    await visit.events("input_started", "input_started")


LATE = """() => {
  const field = document.createElement('div')
  field.id = 'prompt'
  field.contentEditable = true
  document.querySelector('form').replaceWith(field)
  field.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey) return
    event.preventDefault()
    setTimeout(() => field.replaceChildren(), 50)
  })
}"""


async def test_a_field_that_comes_later(visit: Visit) -> None:
    """A contenteditable that an app puts in later, and empties by itself after Enter, is watched like any other."""
    page = await visit.open()
    await page.evaluate(LATE)
    await page.locator("#prompt").press_sequentially("One", delay=10)
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("two")
    await page.keyboard.press("Enter")
    [_, submitted] = await visit.events("input_started", "message_submitted")
    assert submitted["character_count"] == len("One\ntwo")
    await page.locator("#prompt").press_sequentially(SECRET)
    await page.close()
    events = await visit.events("input_started", "message_submitted", "input_started", "input_abandoned")
    assert events[3]["partial_content_hash"] == await hash_of(SECRET)
