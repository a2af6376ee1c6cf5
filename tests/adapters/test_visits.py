"""Who a request is from, with real servers of four frameworks and browsers that keep cookies (SPEC 4; FAULTS I)."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from support import MemoryTransport, recording

from lumina_async import ConfigError, LuminaClient
from lumina_async.frameworks.cookies import USER, Signer
from lumina_async.frameworks.visit import Visits

from .browsers import ANONYMOUS, FRAMEWORKS, KEY, TRACE_ID, ask, browser, kept, raw, serving

BOTH = pytest.mark.parametrize("framework", ["fastapi", "aiohttp"])
ALL = pytest.mark.parametrize("framework", FRAMEWORKS)


def routes(client: LuminaClient) -> dict[str, Callable[[], Awaitable[str]]]:
    """An app that talks, logs in and logs out."""

    async def nothing() -> str:
        return "nothing"

    async def who() -> str:
        return await client.get_distinct_id()

    async def chat() -> str:
        async with (await client.session.start()).turn() as turn:
            return turn.turn_id

    async def login() -> str:
        # In a task of its own: what it finds out is the request's.
        await asyncio.create_task(client.identify("ada", {"plan": "pro"}))
        return await client.get_distinct_id()

    async def logout() -> str:
        await client.reset()
        return await client.get_distinct_id()

    return {"/nothing": nothing, "/who": who, "/chat": chat, "/login": login, "/logout": logout}


def named(transport: MemoryTransport, name: str) -> list[dict[str, Any]]:
    return [event for event in transport.stored if event["name"] == name]


@ALL
async def test_a_visitor_is_known_again(framework: str) -> None:
    """The first answer sets the cookies and is private; later ones set nothing (FAULTS I3, I4)."""
    async with recording() as (client, _), serving(framework, client, routes(client)) as url, browser(url) as http:
        async with http.get("/who") as answer:
            visitor = await answer.text()
            assert re.fullmatch(r"anon_[0-9a-f-]{36}", visitor)
            assert answer.headers.getall("Set-Cookie") == [
                f"lumina_id={visitor}; Max-Age=31536000; Path=/; SameSite=Lax; HttpOnly"
            ]
            assert answer.headers["Cache-Control"] == "private"
        async with http.get("/who") as answer:
            assert (await answer.text(), answer.headers.getall("Set-Cookie", [])) == (visitor, [])
            assert "Cache-Control" not in answer.headers


@ALL
async def test_a_request_without_a_call_of_lumina_sets_nothing(framework: str) -> None:
    """A page that asks nobody's name gets no cookie, whatever the browser sends (FAULTS I4)."""
    async with recording() as (client, _), serving(framework, client, routes(client)) as url:
        for header in (b"X: y", f"Cookie: lumina_id={ANONYMOUS}".encode(), b"Cookie: lumina_id=garbage"):
            head, body = await raw(url, "/nothing", header)
            assert body == b"nothing"
            assert b"set-cookie" not in head.lower()


@ALL
async def test_login_merges_the_history_and_logout_ends_it(framework: str) -> None:
    """What a visitor said becomes the user's; a signed cookie knows them again; after logout it is a new visitor."""
    async with recording() as (client, transport):
        async with serving(framework, client, routes(client), cookie_secret=KEY) as url, browser(url) as http:
            before = [await ask(http, "/who"), await ask(http, "/chat")]
            assert await ask(http, "/login") == "ada"
            assert await ask(http, "/who") == "ada"
            await ask(http, "/chat")
            after = await ask(http, "/logout")
            assert kept(http)["lumina_id"] == after != before[0]
            assert not {"lumina_uid", "lumina_session"} & {*kept(http)}
            await ask(http, "/chat")
        await client.flush()
        [identified] = named(transport, "identify")
        assert (identified["distinct_id"], identified["previous_id"]) == ("ada", before[0])
        first, second, third = transport.turns
        assert [turn["distinct_id"] for turn in (first, second, third)] == [before[0], "ada", after]
        assert first["trace_id"] == second["trace_id"] != third["trace_id"]
        assert len(named(transport, "session_started")) == 2


@ALL
async def test_requests_of_one_connection_do_not_share_a_scope(framework: str) -> None:
    """On a connection that is kept alive each request is who its own cookies say (FAULTS I8)."""
    async with recording() as (client, _), serving(framework, client, routes(client), cookie_secret=KEY) as url:
        signed = Signer(KEY).sign(USER, "grace")
        async with browser(url) as http:
            http.cookie_jar.clear()
            seen = []
            for cookie in (f"lumina_uid={signed}", f"lumina_id={ANONYMOUS}", "lumina_uid=forged", ""):
                http.cookie_jar.clear()
                seen.append(await ask(http, "/who", headers={"Cookie": cookie} if cookie else {}))
    assert seen[:2] == ["grace", ANONYMOUS]
    assert len({*seen}) == 4


@BOTH
@pytest.mark.parametrize(
    "value",
    [
        b"anon_\xff\xfe",
        b"anon_x\tSet-Cookie: a=b",
        b'anon_"; Set-Cookie: a=b',
        b"x" * 7_000,
        f"{ANONYMOUS}; lumina_id={ANONYMOUS}".encode(),
        b"anon_;" + b"a;" * 2_000,
        b"anon_=;=;;==",
    ],
    ids=lambda value: ascii(value)[:24],
)
async def test_a_hostile_cookie_is_a_new_visitor(framework: str, value: bytes) -> None:
    """Whatever `lumina_id` holds, the answer comes, with one clean cookie of our own making (FAULTS I2)."""
    async with recording() as (client, _), serving(framework, client, routes(client)) as url:
        head, body = await raw(url, "/who", b"Cookie: lumina_id=" + value)
    cookies = re.findall(rb"(?im)^set-cookie: (.*?)\r?$", head)
    assert head.startswith(b"HTTP/1.1 200")
    assert cookies == [b"lumina_id=" + body + b"; Max-Age=31536000; Path=/; SameSite=Lax; HttpOnly"]


@BOTH
async def test_a_known_id_in_lumina_id_names_nobody(framework: str, caplog: pytest.LogCaptureFixture) -> None:
    """What the original's browser SDK keeps is no proof: a new visitor, no cookie, one line in the log (SPEC 4)."""
    async with recording() as (client, _), serving(framework, client, routes(client)) as url:
        for _ in range(2):
            head, body = await raw(url, "/who", b"Cookie: lumina_id=ada")
            assert body.startswith(b"anon_")
            assert b"set-cookie" not in head.lower()
    assert sum("lumina_id holds a known id" in record.message for record in caplog.records) == 1


@BOTH
async def test_an_unsigned_conversation_is_gone_on_with_by_visitors_only(framework: str) -> None:
    """Without a secret `lumina_session` counts while nobody is known, and is not announced again (SPEC 4)."""
    async with recording() as (client, transport):

        async def known() -> str:
            await client.identify("ada")
            return (await client.session.start()).trace_id

        async def visitor() -> str:
            return (await client.session.start()).trace_id

        async with serving(framework, client, {"/known": known, "/visitor": visitor}) as url:
            cookie = f"Cookie: lumina_session={TRACE_ID}; lumina_id={ANONYMOUS}".encode()
            assert (await raw(url, "/visitor", cookie))[1].decode() == TRACE_ID
            head, body = await raw(url, "/known", cookie)
            assert body.decode() != TRACE_ID
            assert b"set-cookie" not in head.lower()
        await client.flush()
        assert [event["trace_id"] for event in named(transport, "session_started")] == [body.decode()]


@BOTH
async def test_a_session_that_the_app_names_is_in_no_cookie(framework: str) -> None:
    """The app finds its own conversations again; only a trace id of our making is kept by the browser (SPEC 4)."""
    async with recording() as (client, _):

        async def chat() -> str:
            return (await client.session.start(session_id="chat_42")).session_id

        async with serving(framework, client, {"/chat": chat}, cookie_secret=KEY) as url, browser(url) as http:
            assert await ask(http, "/chat") == "chat_42"
            assert {*kept(http)} == {"lumina_id"}


@BOTH
async def test_a_traceparent_is_a_link_and_never_joined(framework: str) -> None:
    """A header that names one trace for everybody joins nobody's turns (FAULTS I6)."""
    span_id, link = "00f067aa0ba902b7", {"trace_id": TRACE_ID, "span_id": "00f067aa0ba902b7"}
    async with recording() as (client, transport), serving(framework, client, routes(client)) as url:
        for _ in range(2):
            await raw(url, "/chat", f"traceparent: 00-{TRACE_ID}-{span_id}-00".encode())
        await raw(url, "/chat", *[f"traceparent: 00-{TRACE_ID}-{span_id}-01".encode()] * 2)
        await client.flush()
        first, second, several = transport.turns
        assert first["links"] == second["links"] == [link]
        assert "links" not in several
        assert len({TRACE_ID, first["trace_id"], second["trace_id"]}) == 3


def refuses(request: Any) -> bool:
    return False


async def refuses_later(request: Any) -> bool:
    return False


def raises(request: Any) -> bool:
    raise LookupError


def answers_later(request: Any) -> Any:
    """Not a coroutine function, so nobody awaits what it gives; a promise is no consent."""
    future = asyncio.get_running_loop().create_future()
    future.set_result(True)
    return future


@BOTH
@pytest.mark.parametrize("consent", [refuses, refuses_later, raises, answers_later])
async def test_without_consent_nothing_persists(framework: str, consent: Any) -> None:
    """No cookie is set or read before consent: the visitor is another one on each request (SPEC 4)."""
    options = {"consent": consent, "cookie_secret": KEY}
    cookies = {"lumina_id": ANONYMOUS, "lumina_uid": Signer(KEY).sign(USER, "ada")}
    async with recording() as (client, _), serving(framework, client, routes(client), **options) as url:
        async with browser(url, cookies) as http:
            async with http.get("/who") as answer:
                first = await answer.text()
                assert "Set-Cookie" not in answer.headers
            assert len({ANONYMOUS, "ada", first, await ask(http, "/who")}) == 4


@BOTH
@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
async def test_consent_is_asked_with_the_request(framework: str, is_async: bool) -> None:
    """The hook sees the ASGI scope or the `web.Request`; a plain one is not called where nobody asks who it is."""
    asked: list[str] = []

    def agrees(request: Any) -> bool:
        asked.append(request["path"] if isinstance(request, dict) else request.path)
        return True

    async def agrees_later(request: Any) -> bool:
        return agrees(request)

    consent = agrees_later if is_async else agrees
    async with recording() as (client, _), serving(framework, client, routes(client), consent=consent) as url:
        async with browser(url) as http:
            await ask(http, "/nothing")
            assert await ask(http, "/who") == await ask(http, "/who") == kept(http)["lumina_id"]
    assert asked == ["/nothing"] * is_async + ["/who", "/who"]


@BOTH
@pytest.mark.parametrize(
    ("trusted", "proto", "secure"),
    [
        ([], "https", False),
        (["127.0.0.0/8"], "https", True),
        (["*"], "https, http", True),
        (["127.0.0.1"], "http", False),
        (["10.0.0.0/8"], "https", False),
    ],
    ids=["nobody", "network", "all", "plain", "another"],
)
async def test_a_trusted_proxy_makes_cookies_secure(
    framework: str, trusted: list[str], proto: str, secure: bool
) -> None:
    """`X-Forwarded-Proto` counts where it comes from a proxy that is named (FAULTS I3)."""
    async with recording() as (client, _):
        async with serving(framework, client, routes(client), trusted_hosts=trusted) as url:
            head, _ = await raw(url, "/who", f"X-Forwarded-Proto: {proto}".encode())
    assert (b"; Secure" in head) is secure


@pytest.mark.parametrize("hosts", ["127.0.0.1", ["proxy.example"], ["10.0.0.0/99"]], ids=repr)
def test_trusted_hosts_are_addresses(hosts: Any) -> None:
    """A wrong option is told when the app is built."""
    with pytest.raises(ConfigError, match="trusted_hosts must be"):
        Visits(trusted_hosts=hosts)


@BOTH
async def test_eager_sets_the_cookie_in_any_case(framework: str) -> None:
    """With `eager=True` the visitor of every page is known again, asked for or not (SPEC 4)."""
    async with recording() as (client, _), serving(framework, client, routes(client), eager=True) as url:
        head, _ = await raw(url, "/nothing")
    assert b"lumina_id=anon_" in head


@BOTH
async def test_the_replay_of_a_request_is_read_when_asked(framework: str) -> None:
    """A provider finds what this browser says of its replay, and nothing after the request."""
    from lumina_async._replay import current_replay

    async with recording() as (client, _):

        async def replay() -> str:
            found = current_replay()
            return "none" if found is None else str(found.session_id)

        async with serving(framework, client, {"/replay": replay}) as url, browser(url) as http:
            assert await ask(http, "/replay", headers={"X-POSTHOG-SESSION-ID": "s-1"}) == "s-1"
            assert await ask(http, "/replay") == "none"


@BOTH
async def test_a_scope_by_hand_stands_before_that_of_the_visitor(framework: str) -> None:
    """Within `client.scope(...)` it is somebody else's turn to speak; the cookies stay those of the visitor."""
    async with recording() as (client, _):

        async def other() -> str:
            async with client.scope(user_id="grace"):
                inside = await client.get_distinct_id()
            return f"{inside} {await client.get_distinct_id()}"

        async with serving(framework, client, {"/": other}, cookie_secret=KEY) as url:
            async with browser(url, {"lumina_id": ANONYMOUS}) as http:
                assert await ask(http, "/") == f"grace {ANONYMOUS}"
                assert "lumina_uid" not in kept(http)


def test_late_identity_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """Asked for the first time after the headers, a new visitor holds for that request alone, and the log says so."""
    from lumina_async.frameworks.visit import Visit

    client = LuminaClient()
    with caplog.at_level(logging.WARNING, "lumina_async"):
        for _ in range(2):
            visit = Visit(Visits(client), None, "http", None, list)
            visit.enter(lambda: False)
            assert visit.set_cookies() == []
            assert client.session.scopes.current().distinct_id.startswith("anon_")
            visit.leave()
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "who a visitor is was first asked, or changed, after the headers of the response were sent"
    ]
