"""Real posthog-js in a real browser: the recording of the screen, the turn, and the person are one record."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import attrs
import pytest
import pytest_asyncio
from adapters.posthog_host import PostHogHost, posthog_host
from aiohttp import ClientSession
from collector.kit import get, items
from e2e.browsing import POSTHOG_JS, chromium
from e2e.chat_app import Site, serving
from playwright.async_api import Browser, BrowserContext, Page, expect

from lumina_async import LuminaClient, LuminaConfig
from lumina_async.collector import Collector
from lumina_async.providers.posthog import posthog_provider

pytestmark = [pytest.mark.browser, pytest.mark.posthog_js, pytest.mark.asyncio(loop_scope="module")]
# Without the second line a headless browser counts as a robot, of which PostHog records nothing.
START = """posthog.init('phc_test', Object.assign({
  api_host: '%s', defaults: '2025-05-24', opt_out_useragent_filter: true, disable_surveys: true,
  loaded: (posthog) => posthog.startSessionRecording(),
}, %s))"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as running:
        yield running


@attrs.define
class Person:
    """Somebody in front of the chat app, in a browser of their own."""

    page: Page
    context: BrowserContext

    async def session_id(self) -> str:
        """PostHog's session, as posthog-js has it."""
        return str(await self.page.evaluate("posthog.get_session_id()"))

    async def say(self, text: str, delay: float = 20) -> None:
        """Send a message and wait for the answer."""
        await self.page.get_by_label("Message").press_sequentially(text, delay=delay)
        await self.page.keyboard.press("Enter")
        await expect(self.page.locator("li").last).to_have_text(f'"You said: {text}"')

    async def log_in(self, user: str) -> None:
        """Log in and wait until the app has said so."""
        await self.page.evaluate("(user) => (document.querySelector('#login').dataset.user = user)", user)
        await self.page.get_by_role("button", name="Log in").click()
        await expect(self.page.locator("li").last).to_have_text(f'"{user}"')

    async def log_out(self) -> None:
        """Log out and wait until the app has said who they are now."""
        await self.page.get_by_role("button", name="Log out").click()
        await expect(self.page.locator("li").last).to_contain_text("anon_")


@attrs.define
class World:
    """The chat app, a PostHog, and a collector."""

    url: str
    host: PostHogHost
    collector: Collector
    client: LuminaClient
    browser: Browser
    contexts: list[BrowserContext] = attrs.field(factory=list)

    async def person(self) -> Person:
        """Open the page in a new browser, where from then on the screen is recorded."""
        context = await self.browser.new_context()
        self.contexts.append(context)
        page = await context.new_page()
        await page.goto(self.url)
        await page.wait_for_function("posthog.sessionRecordingStarted()")
        return Person(page, context)

    async def recording(self, session_id: str) -> list[dict[str, Any]]:
        """Wait until PostHog has something of the recording of a session; give the events of the screen."""
        async with asyncio.timeout(30):
            while True:
                sent = [event["properties"] for event in self.host.named("$snapshot")]
                shots = [shot for said in sent if said["$session_id"] == session_id for shot in said["$snapshot_data"]]
                if shots:
                    return shots
                await asyncio.sleep(0.05)

    async def turns(self, count: int) -> list[dict[str, Any]]:
        """Wait until so many turns are stored; give them as they happened."""
        assert await self.client.flush()
        async with ClientSession(self.collector.url) as http:
            turns = await items(http, "/api/events", name="turn")
        assert len(turns) == count
        return sorted(turns, key=lambda turn: str(turn["started_at"]))

    async def read(self, path: str) -> Any:
        """Ask the collector."""
        async with ClientSession(self.collector.url) as http:
            status, answer = await get(http, path)
        assert status == 200, answer
        return answer


# By the cookie that posthog-js keeps; and where it keeps none, by the headers that it adds to requests.
BY_COOKIE: dict[str, Any] = {}
BY_HEADERS = {"persistence": "localStorage", "tracing_headers": ["127.0.0.1"]}


@pytest_asyncio.fixture(
    loop_scope="module",
    params=[("fastapi", BY_COOKIE), ("aiohttp", BY_COOKIE), ("fastapi", BY_HEADERS), ("aiohttp", BY_HEADERS)],
    ids=["fastapi-cookie", "aiohttp-cookie", "fastapi-headers", "aiohttp-headers"],
)
async def world(request: pytest.FixtureRequest, browser: Browser, tmp_path: Path) -> AsyncIterator[World]:
    framework, options = request.param
    async with posthog_host() as host, Collector(db=tmp_path / "lumina.db", port=0) as collector:
        ui = posthog_provider(api_key="phc_test", host=host.url, project_id=7)
        client = LuminaClient(LuminaConfig(endpoint=collector.url, write_key="gi_dev", ui_analytics=ui))
        start = START % (host.url, json.dumps(options))
        site = Site({"posthog.js": POSTHOG_JS.read_text(), "start.js": start}, headers={})
        async with serving(framework, client, site) as url:
            world = World(url, host, collector, client, browser)
            yield world
            for context in world.contexts:
                await context.close()


def moment(text: str) -> float:
    """Return seconds since the epoch."""
    return datetime.fromisoformat(text).timestamp()


async def test_turn_replay_and_person_are_one_record(world: World) -> None:
    """The turn has the session of the recorded screen and the second in it; a login keeps what was before."""
    person = await world.person()
    await person.say("Hello", delay=500)
    session_id = await person.session_id()
    await person.log_in("ada")
    await person.say("It is me")
    await person.log_out()
    await person.say("And now")

    before, known, after = await world.turns(3)
    assert before["ui"]["session_id"] == known["ui"]["session_id"] == session_id

    link = urlsplit(before["ui"]["replay_url"])
    assert (link.path, f"{link.scheme}://{link.netloc}") == (f"/project/7/replay/{session_id}", world.host.url)
    began = min(shot["timestamp"] for shot in await world.recording(session_id)) / 1_000
    second = int(parse_qs(link.query)["t"][0])
    assert second >= 2
    assert abs(began + second - moment(before["started_at"])) < 2

    assert (before["anonymous"], known["distinct_id"], after["anonymous"]) == (True, "ada", True)
    assert after["distinct_id"] != before["distinct_id"]
    assert after["session_id"] != before["session_id"] == known["session_id"]
    hers = await world.read("/api/users/ada")
    assert [session["session_id"] for session in hers["items"]] == [before["session_id"]]
    visitor = await world.read(f"/api/users/{before['distinct_id']}")
    assert (visitor["user"]["user_id"], visitor["items"]) == ("ada", hers["items"])
    await world.client.shutdown()
    [alias] = world.host.named("$create_alias")
    assert {alias["properties"]["distinct_id"], alias["properties"]["alias"]} == {"ada", before["distinct_id"]}


async def test_what_was_typed_is_in_the_replay_too(world: World) -> None:
    """PostHog has the events of the input, of the person, in the session and the window of the recording."""
    person = await world.person()
    await person.say("Hello")
    seen = await person.page.evaluate("posthog.sessionManager.checkAndGetSessionAndWindowId(true)")
    [turn] = await world.turns(1)
    await world.client.shutdown()
    for name in ("chat_input_started", "chat_message_submitted"):
        [told] = world.host.named(name)
        said = told["properties"]
        assert (said["$session_id"], said["$window_id"]) == (seen["sessionId"], seen["windowId"])
        assert (told["distinct_id"], said["lumina_session_id"]) == (turn["distinct_id"], turn["session_id"])
    async with ClientSession(world.collector.url) as http:
        [session] = await items(http, "/api/sessions")
    assert session["pointers"] == {"ui_session_id": seen["sessionId"]}


async def test_two_people_never_mix(world: World) -> None:
    """Two browsers at the same time: each has its own visitor, user, sessions and replay, throughout."""
    ada, bob = await asyncio.gather(world.person(), world.person())
    for text in ("one", "two", "three"):
        await asyncio.gather(ada.say(f"ada {text}"), bob.say(f"bob {text}"))
        await asyncio.gather(ada.log_in("ada"), bob.log_in("bob"))
    replays = {"ada": await ada.session_id(), "bob": await bob.session_id()}
    found: dict[str, set[tuple[str, str]]] = {"ada": set(), "bob": set()}
    people: dict[str, set[str]] = {"ada": set(), "bob": set()}
    for turn in await world.turns(6):
        name = turn["messages"][0]["content"].split()[0]
        found[name].add((turn["ui"]["session_id"], turn["session_id"]))
        people[name].add(turn["distinct_id"])
    for name, pairs in found.items():
        [(replay_id, _)] = pairs
        assert replay_id == replays[name]
    assert replays["ada"] != replays["bob"]
    assert not people["ada"] & people["bob"]
    for name, ids in people.items():
        assert {who for who in ids if not who.startswith("anon_")} == {name}
        assert (await world.read(f"/api/users/{name}"))["user"]["distinct_id"] == name
