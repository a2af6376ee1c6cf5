"""PostHog's own client, sync and async, against a PostHog on loopback: turns, identity, super properties, ends."""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.parse
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import posthog
import pytest
from support import KEY, recording, until

from adapters.posthog_host import PostHogHost, posthog_host
from lumina_async import CaptureTranscript, ChatInputTracker, ConfigError, LuminaClient, Sampling
from lumina_async._replay import Replay, replay_in_cookies, set_replay
from lumina_async.providers.posthog import posthog_provider
from lumina_async.testing import FakeClock

GOLDEN = Path(__file__).parent.parent / "golden"
PROJECT_KEY = "phc_project_key_b2c9"
SESSION = "019a0000-0000-7000-8000-000000000001"
SUPER = {"lumina_session_id", "lumina_turn_id", "lumina_turn_seq", "lumina_turn_start_ts"}
Client = posthog.Posthog | posthog.AsyncPosthog


@pytest.fixture
async def host() -> AsyncIterator[PostHogHost]:
    async with posthog_host() as running:
        yield running


@pytest.fixture(params=["sync", "async"])
async def client(request: pytest.FixtureRequest, host: PostHogHost) -> AsyncIterator[Client]:
    """A client of the user's, of either kind."""
    kind = posthog.Posthog if request.param == "sync" else posthog.AsyncPosthog
    client = kind(PROJECT_KEY, host=host.url, flush_interval=0.05)
    yield client
    await end(client)


async def end(client: Client) -> None:
    """Shut a client down. The host lives on this loop: who blocks it waits for himself."""
    if isinstance(client, posthog.AsyncPosthog):
        await client.shutdown()
    else:
        await asyncio.to_thread(client.shutdown)


@pytest.fixture(autouse=True)
def no_replay() -> None:
    set_replay(None)


async def exchange(lumina: LuminaClient, clock: FakeClock) -> str:
    """A turn with two calls of a model, a tool that fails, and a look-up; return its id."""
    session = await lumina.session.start(session_id="chat_42")

    async def model() -> str:
        await clock.advance(1.5)
        return "Paris"

    async def broken() -> None:
        await clock.advance(0.25)
        raise LookupError("no row for ada@example.com")

    async with session.turn() as turn:
        await turn.add_retrieval(source="docs", query="mail ada@example.com", results=[{"id": "d1", "score": 0.5}])
        with suppress(LookupError):
            await turn.record_tool("look_up", broken, type="db", input={"who": "ada@example.com"})
        asked = [{"role": "user", "content": "I am ada@example.com. Capital?"}]
        await turn.wrap_llm(model, model="m-1", provider="openai", prompt_id="p1", input=asked, output=str)
        await turn.wrap_llm(lambda: "again", model="m-2")
        await turn.set_messages([*asked, {"role": "assistant", "content": "Paris"}])
    return turn.turn_id


def golden(events: list[dict[str, Any]], turn_id: str) -> list[dict[str, Any]]:
    """What the client sent, without what differs from run to run or from machine to machine."""
    kept: list[dict[str, Any]] = []
    for event in events:
        properties = {
            name: value
            for name, value in event["properties"].items()
            if not re.match(r"\$(python|os|lib|arch|is_server|geoip)", name)
        }
        kept.append({name: event[name] for name in ("event", "distinct_id", "timestamp")} | {"properties": properties})
    text = json.dumps(kept).replace(turn_id, "<turn>")
    text = re.sub(r'("\$ai_span_id": ")[0-9a-f]{16}"', r'\1<span>"', text)
    return json.loads(re.sub(r'("\$ai_lib_version": ")[^"]*', r"\1<version>", text))


@pytest.mark.parametrize("mode", list(CaptureTranscript))
async def test_a_turn_is_told_as_posthog_names_it(host: PostHogHost, client: Client, mode: CaptureTranscript) -> None:
    """Golden record: the same from the sync and the async client; contents as the capture mode lets them out."""
    clock = FakeClock()
    set_replay(lambda: Replay(session_id=SESSION, window_id="w1"))
    provider = posthog_provider(client=client)
    async with recording(clock=clock, ui_analytics=provider, capture_transcript=mode) as (lumina, _):
        async with lumina.scope(user_id="user_1"):
            turn_id = await exchange(lumina, clock)
        await until(lambda: host.named("$ai_trace"))
    path = GOLDEN / f"posthog.{mode.value}.json"
    sent = golden(host.events, turn_id)
    if os.environ.get("LUMINA_GOLDEN") == "write":
        path.write_text(json.dumps(sent, indent=2) + "\n")
    assert sent == json.loads(path.read_text())
    assert ("ada@example.com" in host.wire()) == (mode is CaptureTranscript.FULL)


async def test_the_trace_has_the_id_of_the_event_of_the_turn(host: PostHogHost, client: Client) -> None:
    """What Lumina and PostHog hold of one turn is found by one id."""
    async with recording(ui_analytics=posthog_provider(client=client)) as (lumina, transport):
        await exchange(lumina, FakeClock())
        await lumina.flush()
        await until(lambda: host.named("$ai_trace"))
    [trace] = host.named("$ai_trace")
    assert trace["uuid"] == transport.turns[0]["event_id"]
    assert trace["properties"]["$process_person_profile"] is False
    assert trace["distinct_id"].startswith("anon_")


async def test_every_capture_names_the_turn_that_is_open_and_no_other_does(host: PostHogHost, client: Client) -> None:
    """Before, within and after a turn; the users' own before_send and super properties are kept."""
    seen: list[str] = []

    def before_send(event: dict[str, Any]) -> dict[str, Any]:
        seen.append(event["event"])
        return event

    client.before_send, client.super_properties = before_send, {"team": "blue"}
    async with recording(ui_analytics=posthog_provider(client=client, llm_analytics=False)) as (lumina, _):
        session = await lumina.session.start(session_id="chat_42")
        client.capture("before", distinct_id="u")
        async with session.turn() as turn:
            client.capture("within", distinct_id="u")
            client.set(distinct_id="u", properties={"plan": "pro"})
            await asyncio.to_thread(client.capture, "in a thread", distinct_id="u")
        client.capture("after", distinct_id="u")
        await until(lambda: host.named("after"))
    told = {event["event"]: event["properties"] for event in host.events}
    assert all(properties["team"] == "blue" for properties in told.values())
    assert not SUPER & (told["before"].keys() | told["after"].keys())
    expected = {"lumina_session_id": "chat_42", "lumina_turn_id": turn.turn_id, "lumina_turn_seq": 1}
    expected["lumina_turn_start_ts"] = turn.started_ns // 1_000_000
    for name in ("within", "$set", "in a thread"):
        assert {key: told[name][key] for key in SUPER} == expected
    assert set(seen) == set(told)


async def test_super_properties_set_later_are_kept_too(host: PostHogHost, client: Client) -> None:
    """An app may set its own at any time: the next turn adds to them again."""
    async with recording(ui_analytics=posthog_provider(client=client, llm_analytics=False)) as (lumina, _):
        client.super_properties = {"team": "red"}
        async with (await lumina.session.start()).turn() as turn:
            client.capture("click", distinct_id="u")
        await until(lambda: host.named("click"))
    properties = host.named("click")[0]["properties"]
    assert (properties["team"], properties["lumina_turn_id"]) == ("red", turn.turn_id)


async def test_turns_at_the_same_time_do_not_mix(host: PostHogHost, client: Client) -> None:
    """50 turns at once: each capture names its own, before and after a suspension, and so do the traces."""
    async with recording(ui_analytics=posthog_provider(client=client)) as (lumina, _):
        arrived = asyncio.Barrier(50)

        async def one(number: int) -> tuple[str, str]:
            name = f"user_{number}"
            set_replay(lambda: Replay(session_id=f"replay-{number}"))
            async with lumina.scope(user_id=name, session_id=f"chat_{number}"):
                async with (await lumina.session.start()).turn() as turn:
                    await arrived.wait()
                    client.capture("click", distinct_id=name)
                    await arrived.wait()
            client.capture("left", distinct_id=name)
            return name, turn.turn_id

        turns = dict([await each for each in asyncio.as_completed([one(number) for number in range(50)])])
        await until(lambda: len(host.named("$ai_trace")) == len(host.named("left")) == 50)
    clicks = {event["distinct_id"]: event["properties"]["lumina_turn_id"] for event in host.named("click")}
    traces = {event["distinct_id"]: event["properties"]["$ai_trace_id"] for event in host.named("$ai_trace")}
    replays = {event["distinct_id"]: event["properties"]["$session_id"] for event in host.named("$ai_trace")}
    assert clicks == traces == turns
    assert replays == {name: name.replace("user_", "replay-") for name in turns}
    assert not any(SUPER & event["properties"].keys() for event in host.named("left"))


async def test_the_turn_around_does_not_claim_what_the_inner_turn_tells(host: PostHogHost, client: Client) -> None:
    """The trace of an inner turn is told while the outer one is open, and still names the inner one."""
    async with recording(ui_analytics=posthog_provider(client=client)) as (lumina, _):
        session = await lumina.session.start()
        async with session.turn() as outer:
            async with session.turn() as inner:
                pass
            await until(lambda: host.named("$ai_trace"))
        await until(lambda: len(host.named("$ai_trace")) == 2)
    told = [(event["properties"]["$ai_trace_id"], event["properties"]["lumina_turn_id"]) for event in host.events]
    assert told == [(inner.turn_id, inner.turn_id), (outer.turn_id, outer.turn_id)]


async def test_who_it_is_goes_to_posthog(host: PostHogHost, client: Client) -> None:
    """identify merges the visitor into the user and sets the properties; after reset it is another visitor."""
    async with recording(ui_analytics=posthog_provider(client=client)) as (lumina, _), lumina.scope():
        visitor = await lumina.get_distinct_id()
        await lumina.identify("user_1", {"plan": "pro"})
        await lumina.reset()
        async with (await lumina.session.start()).turn():
            pass
        await until(lambda: host.named("$ai_trace"))
        after = await lumina.get_distinct_id()
    [alias], [known], [trace] = host.named("$create_alias"), host.named("$set"), host.named("$ai_trace")
    # PostHog merges `alias` into the person of `distinct_id`, unless `alias` was identified before.
    assert (alias["properties"]["distinct_id"], alias["properties"]["alias"]) == ("user_1", visitor)
    assert (known["distinct_id"], known["$set"]) == ("user_1", {"plan": "pro"})
    assert trace["distinct_id"] == after != visitor


async def test_what_happens_at_the_input_is_captured_under_its_sampling(host: PostHogHost, client: Client) -> None:
    """Chat-input events name their person, session and replay; sampled out, none of them comes."""
    provider = posthog_provider(client=client)
    for rate in (1.0, 0.0):
        async with recording(ui_analytics=provider, sampling=Sampling(ui_event=rate)) as (lumina, _):
            async with lumina.scope(user_id=f"user_{rate:.0f}"):
                set_replay(lambda: Replay(session_id=SESSION, window_id="w1"))
                tracker = ChatInputTracker(provider, "chat_42", lumina)
                await tracker.on_input_start()
                await tracker.on_message_submit("m1", "Hello")
    await until(lambda: host.named("chat_message_submitted"))
    assert {event["distinct_id"] for event in host.events} == {"user_1"}
    told = host.named("chat_message_submitted")[0]["properties"]
    assert (told["$session_id"], told["$window_id"], told["lumina_session_id"]) == (SESSION, "w1", "chat_42")
    assert (told["character_count"], told["message_id"]) == (5, "m1")


async def test_a_turn_has_the_replay_at_its_second(host: PostHogHost, client: Client) -> None:
    """ui on the turn: session, window, and the link with the offset from the start that the cookie tells."""
    started_ms = time.time_ns() // 1_000_000 - 90_500
    kept = {"$sesid": [1, SESSION, started_ms], "$window_id": "w1"}
    cookie = {"ph_phc_test_posthog": urllib.parse.quote(json.dumps(kept))}
    set_replay(lambda: replay_in_cookies(cookie))
    provider = posthog_provider(client=client, project_id=12345)
    async with recording(ui_analytics=provider) as (lumina, transport):
        async with (await lumina.session.start()).turn():
            pass
        await lumina.flush()
    ui = transport.turns[0]["ui"]
    assert (ui["session_id"], ui["window_id"]) == (SESSION, "w1")
    address, _, seconds = ui["replay_url"].partition("?t=")
    assert address == f"{host.url}/project/12345/replay/{SESSION}"
    assert int(seconds) in {90, 91, 92}


OFFSETS = {
    "the browser is ahead": (30_000, "?t=0"),
    "a day and more": (-90_000_000, "?t=0"),
    "no start": (None, ""),
}


@pytest.mark.parametrize(("ahead_ms", "end"), OFFSETS.values(), ids=OFFSETS.keys())
async def test_a_wrong_clock_never_leads_before_the_start(ahead_ms: int | None, end: str) -> None:
    """The start is the browser's word: an impossible offset is the start of the replay."""
    started_ms = None if ahead_ms is None else time.time_ns() // 1_000_000 + ahead_ms
    set_replay(lambda: Replay(session_id="s1", started_ms=started_ms))
    provider = posthog_provider("phc_offsets")
    assert await provider.get_replay_url() == f"https://us.posthog.com/replay/s1{end}"


HOSTS = {
    None: "https://us.posthog.com",
    "https://eu.i.posthog.com/": "https://eu.posthog.com",
    "https://us.posthog.com": "https://us.posthog.com",
    "https://app.posthog.com": "https://us.posthog.com",
    "https://posthog.example.com": "https://posthog.example.com",
}


@pytest.mark.parametrize(("given", "pages"), HOSTS.items(), ids=map(str, HOSTS))
async def test_the_link_leads_to_the_pages_of_the_host(given: str | None, pages: str) -> None:
    """Events go to one host of the cloud, people to another; behind a proxy `ui_host` says which."""
    set_replay(lambda: Replay(session_id="s1"))
    assert await posthog_provider("phc_x", given, 7).get_replay_url() == f"{pages}/project/7/replay/s1"
    behind = posthog_provider("phc_x", "https://e.example.com", ui_host="https://eu.posthog.com")
    assert await behind.get_replay_url() == "https://eu.posthog.com/replay/s1"


async def test_the_session_of_posthogs_own_context_is_the_second_choice(host: PostHogHost) -> None:
    """As PostHog's ASGI middleware sets it; what the browser told Lumina's comes first, and junk is none."""
    provider = posthog_provider("phc_x", host.url)
    assert (await provider.get_session_id(), await provider.get_replay_url()) == ("", "")
    with posthog.new_context():
        posthog.set_context_session("../junk?")
        assert await provider.get_session_id() == ""
        posthog.set_context_session(SESSION)
        assert await provider.get_session_id() == SESSION
        set_replay(lambda: Replay(session_id="browser"))
        assert await provider.get_session_id() == "browser"


async def test_neither_product_hears_the_key_of_the_other(host: PostHogHost) -> None:
    """Lumina's write key is in nothing that PostHog gets, and PostHog's in nothing that Lumina gets (FAULTS S3)."""
    set_replay(lambda: Replay(session_id=SESSION))
    provider = posthog_provider(PROJECT_KEY, host.url)
    async with recording(ui_analytics=provider) as (lumina, transport):
        await exchange(lumina, FakeClock())
        await lumina.flush()
    assert host.named("$ai_trace")
    assert PROJECT_KEY in host.wire()
    assert KEY not in host.wire()
    assert PROJECT_KEY not in repr((transport.stored, transport.payloads))
    assert PROJECT_KEY not in repr(provider)


async def test_a_key_has_one_client_and_it_ends_with_lumina(
    host: PostHogHost, caplog: pytest.LogCaptureFixture
) -> None:
    """The same arguments give the same provider, so that no two clients of a key compete; after shutdown a new one."""
    first = posthog_provider(PROJECT_KEY, host.url)
    assert posthog_provider(PROJECT_KEY, host.url) is first
    for _ in range(2):
        async with recording(ui_analytics=first) as (lumina, _):
            await exchange(lumina, FakeClock())
    assert len(host.named("$ai_trace")) == 2
    assert "Multiple active PostHog clients" not in caplog.text


async def test_a_client_of_the_users_is_flushed_and_stays_open(host: PostHogHost, client: Client) -> None:
    """After Lumina's shutdown everything has arrived, and the client still takes events."""
    client_slow: Any = client
    client_slow.flush_interval = client_slow._flush_interval = 60
    async with recording(ui_analytics=posthog_provider(client=client)) as (lumina, _):
        await exchange(lumina, FakeClock())
    assert host.named("$ai_trace")
    assert client.capture("afterwards", distinct_id="u") is not None


CLIENTS: dict[str, Callable[[str], Client | None]] = {
    "its own": lambda _: None,
    "sync": lambda host: posthog.Posthog("phc_dead_1", host=host, timeout=1, max_retries=0),
    "async": lambda host: posthog.AsyncPosthog("phc_dead_2", host=host, timeout=1, max_retries=0),
    "blocking": lambda host: posthog.Posthog("phc_dead_3", host=host, timeout=1, max_retries=0, sync_mode=True),
}


@pytest.mark.parametrize("make", CLIENTS.values(), ids=CLIENTS.keys())
async def test_a_dead_host_holds_up_neither_turns_nor_the_end(make: Callable[[str], Client | None]) -> None:
    """The loop turns on while PostHog never answers, and shutdown(t) ends within t + 0.25 s (FAULTS V13)."""
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            longest = max(longest, time.monotonic() - before)

    with socket.create_server(("127.0.0.1", 0)) as dead:
        host = f"http://127.0.0.1:{dead.getsockname()[1]}"
        client, ticker = make(host), asyncio.create_task(tick())
        provider = posthog_provider("phc_dead", host) if client is None else posthog_provider(client=client)
        async with recording(ui_analytics=provider) as (lumina, transport):
            for _ in range(5):
                await exchange(lumina, FakeClock())
            assert await lumina.flush()
            before = time.monotonic()
            await lumina.shutdown(timeout=1.0)
            assert time.monotonic() - before <= 1.25
        ticker.cancel()
    assert len(transport.turns) == 5
    assert longest < 0.5
    if client is not None:
        await end(client)


def test_a_process_ends_although_posthog_hangs() -> None:
    """What still waits for PostHog is in daemon threads: asyncio.run and the interpreter do not wait for them."""
    program = """
import asyncio, socket
from lumina_async import LuminaClient
from lumina_async.providers.posthog import posthog_provider
from lumina_async.testing import MemoryTransport, memory_config

async def main():
    server = socket.create_server(("127.0.0.1", 0))
    config = memory_config(ui_analytics=posthog_provider("phc_x", f"http://127.0.0.1:{server.getsockname()[1]}"))
    client = LuminaClient(config, transport=lambda _: MemoryTransport())
    await client.init(config)
    async with (await client.session.start()).turn():
        pass
    await client.shutdown(timeout=0.5)

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr


def test_posthog_asks_the_system_on_a_thread_of_its_own() -> None:
    """What posthog runs at its first capture to know the system holds up no loop."""
    program = """
import asyncio, sys, threading
from lumina_async.providers.posthog import posthog_provider

asked = []
sys.addaudithook(lambda event, _: event == "subprocess.Popen" and asked.append(threading.current_thread().name))

async def main():
    provider = posthog_provider("phc_x", "http://127.0.0.1:9")
    await provider.init()
    await provider.capture_event("click", {"distinct_id": "u"})

asyncio.run(main())
print(sorted({*asked} - {"lumina-posthog"}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "[]\n"


def test_a_provider_needs_a_key_or_a_client() -> None:
    """Neither, and both, are mistakes in code."""
    with pytest.raises(ConfigError, match="api_key"):
        posthog_provider()
    with pytest.raises(ConfigError, match="api_key"):
        posthog_provider("phc_x", client=posthog.Posthog("phc_y", send=False))


def test_importing_the_provider_loads_no_posthog() -> None:
    """The product is imported when a provider is made."""
    program = "import sys, lumina_async.providers.posthog; print('posthog' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
