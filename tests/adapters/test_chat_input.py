"""The script that watches a chat's input, and the route of its beacons: what is taken, and from whom (SPEC 4, 7)."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import attrs
import pytest
from aiohttp import ClientSession
from fastapi import FastAPI
from litestar import Litestar
from support import MemoryTransport, recording, until
from test_hooks import Screen

from lumina_async import ChatInputTracker, ConfigError, LuminaClient, NullUIProvider
from lumina_async._replay import current_replay
from lumina_async._tokens import text_digest
from lumina_async._trace import trace_id_of
from lumina_async.frameworks.asgi import LuminaMiddleware
from lumina_async.frameworks.chat_input import (
    _PACKED,
    _SCRIPT,
    MAX_BODY,
    PER_MINUTE,
    PER_MINUTE_IN_ALL,
    Allowance,
    ChatInput,
)
from lumina_async.frameworks.visit import Visit, Visits

from .browsers import ANONYMOUS, browser, kept, serving, uvicorn_serving

STARTED = {"kind": "started"}
SUBMITTED = {"kind": "submitted", "duration_ms": 1_200, "characters": 5}
ABANDONED = {"kind": "abandoned", "duration_ms": 80, "characters": 2, "digest": text_digest("No")}
BEACON = {"Content-Type": "application/json", "Sec-Fetch-Site": "same-origin"}
PATH = "/lumina/chat-input"


@attrs.define
class Served:
    """A server with the route, and what its client has stored."""

    url: str
    client: LuminaClient
    transport: MemoryTransport

    async def events(self) -> list[dict[str, Any]]:
        """What was recorded of chat inputs."""
        await self.client.flush()
        return [event for event in self.transport.stored if event["name"].startswith("chat_")]

    async def raw(self, head: str, *body: bytes) -> int:
        """Send a request byte by byte as it stands, and return the status."""
        host = self.url.removeprefix("http://")
        reader, writer = await asyncio.open_connection(*host.split(":"))
        writer.write(head.replace("HOST", host).replace("\n", "\r\n").encode() + b"\r\n\r\n")
        for part in body:
            writer.write(part)
        status = (await reader.readline()).split()[1]
        writer.close()
        return int(status)


@pytest.fixture(params=["fastapi", "aiohttp"])
def serve(request: pytest.FixtureRequest) -> Any:
    @asynccontextmanager
    async def served(ui: Any = None, **options: Any) -> AsyncIterator[Served]:
        async with AsyncExitStack() as stack:
            config = {} if ui is None else {"ui_analytics": ui}
            client, transport = await stack.enter_async_context(recording(**config))
            app = serving(request.param, client, {}, chat_input="/lumina", **options)
            url = await stack.enter_async_context(app)
            yield Served(url, client, transport)

    return served


async def beacon(http: ClientSession, said: Any, **headers: str) -> int:
    """Send a beacon; give its status, and see that there is nothing else to see."""
    body = said if isinstance(said, bytes) else json.dumps(said)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    async with http.post(PATH, data=body, headers=BEACON | given) as response:
        assert await response.read() == b""
        return response.status


async def test_the_three_reports_become_the_three_events(serve: Any) -> None:
    """With the page's numbers, in one session of one visitor, whom the first beacon's cookie makes known again."""
    async with serve() as served, browser(served.url) as http:
        assert [await beacon(http, said) for said in (STARTED, SUBMITTED, ABANDONED)] == [204] * 3
        started, submitted, abandoned = await served.events()
        assert kept(http)["lumina_id"] == started["distinct_id"]
    assert [event["name"] for event in (started, submitted, abandoned)] == [
        "chat_input_started",
        "chat_message_submitted",
        "chat_input_abandoned",
    ]
    assert (submitted["typing_duration_ms"], submitted["character_count"]) == (1_200, 5)
    assert len({(event["distinct_id"], event["session_id"]) for event in (started, submitted, abandoned)}) == 1


async def test_the_hash_is_the_trackers(serve: Any) -> None:
    """A digest becomes the keyed hash that the tracker makes of the same text; the digest goes no further."""
    async with serve() as served, browser(served.url) as http:
        await beacon(http, ABANDONED)
        tracker = ChatInputTracker(NullUIProvider(), "chat_42", served.client)
        await tracker.on_input_start()
        await tracker.on_input_abandoned("No")
        by_page, _, by_tracker = await served.events()
    assert by_page["partial_content_hash"] == by_tracker["partial_content_hash"] != ABANDONED["digest"]


async def test_identity_is_only_the_scopes(serve: Any) -> None:
    """Whoever a beacon claims to be, it is of the visitor of the cookie; a known id in the body is none (FAULTS I1)."""
    claims = {"distinct_id": "ada", "user_id": "ada", "session": "chat_42", "anonymous": False}
    async with serve() as served, browser(served.url, {"lumina_id": ANONYMOUS}) as http:
        assert await beacon(http, STARTED | claims) == 204
        [event] = await served.events()
    assert (event["distinct_id"], event["anonymous"]) == (ANONYMOUS, True)
    assert event["session_id"] != "chat_42"


async def test_a_page_joins_a_session_that_the_app_lets_it_join(serve: Any) -> None:
    """Of the app's own sessions the hook says which a page may name; it runs in the scope, and a no is a 403."""

    async def may_join(_: Any, session_id: str) -> bool:
        await served.client.identify("ada")
        return session_id == "chat_42"

    async with serve(chat_session=may_join) as served, browser(served.url) as http:
        assert await beacon(http, STARTED | {"session": "chat_42"}) == 204
        assert await beacon(http, SUBMITTED | {"session": "chat_7"}) == 403
        [event] = await served.events()
    assert (event["session_id"], event["trace_id"]) == ("chat_42", trace_id_of("chat_42"))
    assert (event["distinct_id"], event["anonymous"]) == ("ada", False)


def no_answer(*_: Any) -> bool:
    raise KeyError("chats")


@pytest.mark.parametrize("hook", [no_answer, lambda *_: None, lambda *_: "yes"], ids=["raises", "none", "text"])
async def test_whoever_did_not_say_yes_has_not(serve: Any, hook: Any) -> None:
    """A hook that raises or answers anything but True lets nobody in; an odd id is none, and is not asked for."""
    async with serve(chat_session=hook) as served, browser(served.url) as http:
        assert await beacon(http, STARTED | {"session": "chat_42"}) == 403
        assert await beacon(http, STARTED | {"session": "x" * 201}) == 204
        assert [event["session_id"] == event["trace_id"] for event in await served.events()] == [True]


FORGED = [
    b"",
    b"not json",
    b"\xff\xfe",
    b"[" * 2_000,
    [],
    "started",
    {},
    {"kind": "paid"},
    {"kind": ["started"]},
    {"kind": "submitted"},
    {"kind": "started", "characters": 1},
    {**STARTED, "digest": text_digest("No")},
    {**SUBMITTED, "digest": text_digest("No")},
    *({**SUBMITTED, "characters": odd} for odd in (-1, 1.5, True, "5", [], 1_000_001, 2**70)),
    *({**SUBMITTED, "duration_ms": odd} for odd in (-1, 0.5, False, "1", {}, 86_400_001)),
    *({**ABANDONED, "digest": odd} for odd in ("", "No", 5, "A" * 64, text_digest("No") + "\n", [text_digest("No")])),
]


async def test_what_has_another_form_is_refused(serve: Any) -> None:
    """Damage, other kinds, implausible numbers and other digests are 400, and nothing is recorded."""
    async with serve() as served, browser(served.url) as http:
        for said in FORGED:
            assert await beacon(http, said) == 400, said
        assert await served.events() == []
        assert kept(http) == {}


CROSS_SITE: list[Mapping[str, str]] = [
    {},
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "HOST"},
    {"Origin": "ftp://HOST"},
    {"Origin": "http://HOST.evil.example"},
    {"Origin": "http://HOST", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "http://HOST", "Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "same-origin, cross-site"},
]


async def test_only_pages_of_the_same_origin_are_heard(serve: Any) -> None:
    """Another site, a sandboxed page, a neighbour host and whatever is no browser get a 403 (FAULTS C21, C22)."""
    async with serve() as served, ClientSession(served.url) as http:
        host = served.url.removeprefix("http://")
        for headers in CROSS_SITE:
            given = {name: value.replace("HOST", host) for name, value in headers.items()}
            given["Content-Type"] = "application/json"
            async with http.post(PATH, json=STARTED, headers=given) as response:
                assert (response.status, await response.read()) == (403, b""), headers
        given = {"Origin": served.url, "Content-Type": "application/json"}
        async with http.post(PATH, json=STARTED, headers=given) as response:
            assert response.status == 204
        assert len(await served.events()) == 1


async def test_two_origins_are_none(serve: Any) -> None:
    """Of two `Origin` headers nobody knows which is meant."""
    async with serve() as served:
        head = f"POST {PATH} HTTP/1.1\nHost: HOST\nOrigin: http://HOST\nOrigin: http://HOST\n"
        head += "Content-Type: application/json\nContent-Length: 18"
        # Some servers refuse such a request before the route sees it.
        assert await served.raw(head, json.dumps(STARTED).encode()) in {400, 403}
        assert await served.events() == []


async def test_what_is_no_json_or_no_post_is_refused(serve: Any) -> None:
    """What a form of any site can send is 415, and so is a packed body; other methods are 405."""
    async with serve() as served, browser(served.url) as http:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
            assert await beacon(http, STARTED, Content_Type=kind) == 415
        assert await beacon(http, gzip.compress(b"{}"), Content_Encoding="gzip") == 415
        for method in ("GET", "PUT", "OPTIONS", "DELETE"):
            async with http.request(method, PATH, headers=BEACON) as response:
                assert response.status == 405
        assert await served.events() == []


async def test_a_large_body_is_not_read(serve: Any) -> None:
    """More than 4 KB is 413, told by its length before a byte is read, or in chunks; 4 KB are fine."""
    head = f"POST {PATH} HTTP/1.1\nHost: HOST\nSec-Fetch-Site: same-origin\nContent-Type: application/json\n"
    fitting = json.dumps({"kind": "started", "x": ""})
    fitting = json.dumps({"kind": "started", "x": "x" * (MAX_BODY - len(fitting))})
    chunk = b"%x\r\n%s\r\n" % (MAX_BODY, fitting.encode())
    async with serve() as served:
        assert await served.raw(f"{head}Content-Length: {MAX_BODY + 1}") == 413
        assert await served.raw(f"{head}Content-Length: 99999999999") == 413
        assert await served.raw(f"{head}Transfer-Encoding: chunked", chunk, b"1\r\n \r\n0\r\n\r\n") == 413
        assert await served.raw(f"{head}Transfer-Encoding: chunked", chunk, b"0\r\n\r\n") == 204
        assert await served.raw(f"{head}Content-Length: {MAX_BODY}", fitting.encode()) == 204
        assert len(await served.events()) == 2


async def test_a_page_that_is_gone_in_the_middle_costs_nothing(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A connection that ends within the body leaves no event, no error in the log, and a server that goes on."""
    head = f"POST {PATH} HTTP/1.1\nHost: HOST\nSec-Fetch-Site: same-origin\nContent-Type: application/json\n"
    async with serve() as served, browser(served.url) as http:
        host, port = served.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, port)
        said = json.dumps(STARTED).encode()
        writer.write((head + f"Content-Length: {len(said) + 1}\n\n").replace("\n", "\r\n").encode() + said)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        assert await beacon(http, STARTED) == 204
        assert len(await served.events()) == 1
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    """A page that sends the head and then nothing is answered all the same."""
    async with recording() as (client, _):
        headers = [*BEACON.items(), ("Content-Length", "20")]
        visit = Visit(Visits(client), None, "http", "127.0.0.1", lambda: headers)
        served = ChatInput(client, patience_s=0.01)

        async def read(_: int) -> bytes | None:
            await asyncio.Event().wait()
            return None

        assert (await served.answer(visit, "POST", PATH, read)).status == 408


async def test_a_flood_of_one_visitor_is_cut(serve: Any) -> None:
    """After sixty beacons in a minute the visitor gets 429, and another one is still heard."""
    async with serve() as served:
        async with browser(served.url, {"lumina_id": ANONYMOUS}) as http:
            statuses = [await beacon(http, STARTED) for _ in range(PER_MINUTE + 5)]
        async with browser(served.url, {"lumina_id": ANONYMOUS.replace("3", "4")}) as http:
            assert await beacon(http, STARTED) == 204
        assert statuses == [204] * PER_MINUTE + [429] * 5
        assert len(await served.events()) == PER_MINUTE + 1


async def test_a_flood_without_cookies_is_cut_by_address(serve: Any) -> None:
    """Whoever throws the cookie away each time is limited by where they come from, and mints no visitor beyond."""
    async with serve() as served:
        statuses: list[int] = []
        for _ in range(PER_MINUTE + 2):
            async with browser(served.url) as http:
                statuses.append(await beacon(http, STARTED))
        assert statuses[-3:] == [204, 429, 429]
        assert len({event["distinct_id"] for event in await served.events()}) == PER_MINUTE


async def test_behind_a_proxy_visitors_are_told_apart(serve: Any) -> None:
    """Where the proxy is trusted its word says whose flood it is, and only the last: a visitor can write the others."""
    async with serve(trusted_hosts=["127.0.0.1"]) as served:
        for last, expected in (("203.0.113.7", 429), ("203.0.113.8", 204)):
            for number in range(PER_MINUTE + 1 if expected == 429 else 1):
                async with browser(served.url) as http:
                    status = await beacon(http, STARTED, X_Forwarded_For=f"198.51.100.{number}, {last}")
            assert status == expected


def test_a_flood_of_made_up_visitors_is_bounded() -> None:
    """However many ids somebody makes up, a minute takes so many beacons and remembers no more visitors than that."""
    now = [0.0]
    allowance = Allowance(lambda: now[0])
    taken = sum(allowance.takes(f"anon_{number}") for number in range(2 * PER_MINUTE_IN_ALL))
    assert taken == PER_MINUTE_IN_ALL == len(allowance._by_visitor)
    now[0] = 60.0
    assert allowance.takes("anon_0")
    assert len(allowance._by_visitor) == 1


async def test_without_consent_nothing_is_recorded(serve: Any) -> None:
    """The beacon is answered like any other; there is no event, no cookie and no visitor."""
    async with serve(consent=lambda _: False) as served, browser(served.url) as http:
        assert await beacon(http, STARTED) == 204
        assert await served.events() == []
        assert kept(http) == {}


@attrs.define
class Watching(Screen):
    """A UI provider that notes which replay it finds."""

    replays: list[Any] = attrs.field(factory=list)

    async def capture_event(self, name: str, properties: Mapping[str, Any]) -> None:
        await super().capture_event(name, properties)
        self.replays.append(current_replay())


async def test_the_provider_hears_of_it_in_its_replay(serve: Any) -> None:
    """PostHog's ids in a beacon are the replay of its event, and a pointer of the session; odd ones are left out."""
    screen = Watching()
    async with serve(ui=screen) as served, browser(served.url) as http:
        await beacon(http, {**STARTED, "replay_id": "0197abc", "window_id": "w1"})
        await beacon(http, {**SUBMITTED, "replay_id": "javascript:alert(1)", "window_id": 7})
        await until(lambda: len(screen.replays) == 2)
        await served.events()
        [first, *_] = [event for event in served.transport.stored if event["name"] == "session_started"]
    assert (screen.replays[0].session_id, screen.replays[0].window_id) == ("0197abc", "w1")
    assert screen.replays[1] is None
    assert first["pointers"] == {"ui_session_id": "0197abc"}
    [submitted] = [told[1] for told in screen.told if told[0] == "chat_message_submitted"]
    assert submitted["typing_duration_ms"] == 1_200


async def test_the_script_is_small_and_cached(serve: Any) -> None:
    """Under 3 KB as it is sent, with a type nobody guesses at, and no cookie; asked again, it is not sent again."""
    async with serve() as served, ClientSession(served.url, auto_decompress=False) as http:
        async with http.get(f"{PATH}.js", headers={"Accept-Encoding": "gzip, br"}) as response:
            packed = await response.read()
        async with http.get(f"{PATH}.js", headers={"Accept-Encoding": "identity"}) as plain:
            assert await plain.read() == gzip.decompress(packed)
        async with http.get(f"{PATH}.js", headers={"If-None-Match": response.headers["ETag"]}) as again:
            assert (again.status, await again.read()) == (304, b"")
        async with http.head(f"{PATH}.js") as head:
            assert (head.status, await head.read()) == (200, b"")
        async with http.post(f"{PATH}.js") as refused:
            assert refused.status == 405
    assert len(packed) < 3_000
    assert response.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "Set-Cookie" not in response.headers


async def test_the_app_keeps_every_other_path(serve: Any) -> None:
    """Only the two paths are taken; what is beside them is the app's to answer."""
    async with serve() as served, ClientSession(served.url) as http:
        for path in ("/lumina", "/lumina/", "/lumina/chat-input/", "/lumina/chat_input.js", "/chat-input"):
            async with http.get(path) as response:
                assert response.status == 404


async def test_around_litestar_it_has_its_route() -> None:
    """Litestar asks middleware of its own only where it has a route, so this one goes around the app."""
    async with recording() as (client, _):
        app = LuminaMiddleware(Litestar([]), client=client, chat_input="/lumina")
        async with uvicorn_serving(app, lifespan="off") as url, ClientSession(url) as http:
            assert await beacon(http, STARTED) == 204


async def test_behind_a_prefix_of_a_proxy_it_is_served_all_the_same() -> None:
    """The prefix that a proxy has taken off is in `root_path`, and in the path (ASGI)."""
    async with recording() as (client, _):
        app = LuminaMiddleware(FastAPI(), client=client, chat_input="/lumina")
        async with uvicorn_serving(app, lifespan="off", root_path="/shop") as url, ClientSession(url) as http:
            async with http.get(f"{PATH}.js") as response:
                assert response.status == 200


@pytest.mark.parametrize("prefix", ["", "/", "lumina", "/lumina/", "/a b", "/x?y", 5], ids=repr)
def test_an_odd_prefix_is_an_error_at_once(prefix: Any) -> None:
    """A path that no request would have is told where it is written."""
    with pytest.raises(ConfigError, match="'/lumina'"):
        ChatInput(LuminaClient(), prefix)


def test_the_script_is_small() -> None:
    """It is under 3 KB as served, and half of that where the browser takes gzip."""
    assert (len(_SCRIPT) < 3 * 1024, len(_PACKED) < 1536) == (True, True)
