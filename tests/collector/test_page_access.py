"""Who may look at the server form: the page token and its cookie (FAULTS C21, C22, C23)."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from aiohttp import ClientSession, CookieJar

from lumina_async.collector import Collector
from lumina_async.collector.access import Access
from lumina_async.collector.addresses import Hosts, Proxies
from lumina_async.collector.errors import StartError
from lumina_async.collector.failures import Failures
from lumina_async.collector.page_access import PageAccess, new_token

from .kit import get, raw, request, send, turn
from .served import ACTION, TOKEN, Clock, Served, served

DATA = [
    "/api/projects",
    "/api/sessions",
    "/api/sessions/x",
    "/api/turns/x",
    "/api/users/x",
    "/api/events",
    "/api/stats",
]
DATA += ["/api/live", "/api/export", "/api/export?format=csv", "/api/nothing", "/nothing", "/logout"]


def browser(server: Served) -> ClientSession:
    """Return a client that keeps cookies."""
    return ClientSession(server.collector.url, cookie_jar=CookieJar(unsafe=True))


async def login(client: ClientSession, token: str, **headers: str) -> tuple[int, Mapping[str, str]]:
    async with client.post("/login", data={"token": token}, headers={**ACTION, **headers}) as response:
        return response.status, response.headers


@pytest.mark.parametrize("path", DATA)
async def test_without_the_token_there_is_no_data(server: Served, path: str) -> None:
    """Whatever lies behind the page says 401, what does not exist too (FAULTS C23)."""
    async with browser(server) as client:
        status, answer = await get(client, path, project="shop")
    assert (status, answer["error"]["code"]) == (401, "login_required")


@pytest.mark.parametrize("path", ["/static/%2e%2e/api/events", "//api/events", "/api//events", "/static/../api/events",
                                  "/%61pi/events", "/login/../api/events", "/healthz/../api/events"])  # fmt: skip
async def test_no_spelling_of_a_path_gets_around_the_login(server: Served, path: str) -> None:
    """What a route needs is known by the route, not by how its path is written (FAULTS C23, C24)."""
    answer = await raw(server.collector.port, request(f"GET {path}?project=shop HTTP/1.1"))
    assert answer.split(b" ", 2)[1] in (b"401", b"404")


async def test_the_health_is_told_to_all_and_its_details_to_who_is_in(server: Served) -> None:
    """A probe needs no token, and learns nothing of files or disks (FAULTS C32)."""
    async with browser(server) as client, server.reader() as reader:
        assert set((await get(client, "/healthz"))[1]) == {"status", "version"}
        assert {"disk", "sqlite_version"} <= set((await get(reader, "/healthz"))[1])


async def test_the_page_sends_people_to_the_login(server: Served) -> None:
    """With the project they asked for; the form and its files need no login, and hold nothing (FAULTS C23)."""
    async with browser(server) as client:
        async with client.get("/?project=shop", allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (303, "/login?project=shop")
        async with client.get("/login") as response:
            assert 'type="password"' in await response.text()
        for name in re.findall(r'"(/static/[^"]+)"', await (await client.get("/login")).text()):
            assert (await client.get(name)).status == 200


async def test_a_login_gives_a_cookie_that_only_requests_of_the_page_bring(server: Served) -> None:
    """HttpOnly, SameSite=Strict, for the whole site; Secure where the browser came by TLS (FAULTS C21, C23)."""
    async with browser(server) as client:
        status, headers = await login(client, TOKEN)
        assert status == 204
        assert re.fullmatch(
            r"lumina_page_[0-9a-f]{8}=\d+\.[0-9a-f]{64}; HttpOnly; Max-Age=2592000; Path=/; SameSite=Strict",
            headers["Set-Cookie"],
        )
        assert TOKEN not in headers["Set-Cookie"]
        assert (await get(client, "/api/stats", project="shop"))[0] == 200
        _, headers = await login(client, TOKEN, **{"X-Forwarded-Proto": "https"})
        assert "; Secure" in headers["Set-Cookie"]


async def test_a_link_with_the_token_logs_in_and_loses_it(server: Served) -> None:
    """The token does not stay in the address; one that is wrong leads to the login (FAULTS C23)."""
    async with browser(server) as client:
        async with client.get(f"/?token={TOKEN}x", allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (303, "/login?failed=1")
            assert "Set-Cookie" not in response.headers
        async with client.get(f"/?token={TOKEN}&project=web", allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (303, "/?project=web")
        assert (await client.get("/")).status == 200
        assert (await get(client, "/api/stats", project="shop"))[0] == 200


@pytest.mark.parametrize("project", ["//evil.example", "\r\nSet-Cookie: a=b", "https://evil.example", "a&token=b"])
async def test_no_redirect_leads_elsewhere(server: Served, project: str) -> None:
    """What is taken over into an address is encoded."""
    async with browser(server) as client:
        async with client.get("/", params={"project": project}, allow_redirects=False) as response:
            assert re.fullmatch(r"/login\?project=[A-Za-z0-9%+.-]+", response.headers["Location"])


async def test_a_logout_ends_it_and_a_form_of_another_site_cannot(server: Served) -> None:
    """What changes something needs the header and our own origin, also with the cookie (FAULTS C21)."""
    async with browser(server) as client:
        await login(client, TOKEN)
        for headers in ({}, {**ACTION, "Origin": "http://evil.example"}, {**ACTION, "Sec-Fetch-Site": "same-site"}):
            assert (await client.post("/logout", headers=headers)).status == 403
        assert (await get(client, "/api/stats", project="shop"))[0] == 200
        assert (await client.post("/logout", headers={**ACTION, "Origin": server.collector.url})).status == 204
        assert (await get(client, "/api/stats", project="shop"))[0] == 401


async def test_a_login_by_a_form_of_another_site_is_refused(server: Served) -> None:
    """Nobody is logged in without their doing (FAULTS C21)."""
    async with browser(server) as client:
        assert (await client.post("/login", data={"token": TOKEN})).status == 403
        status, _ = await login(client, TOKEN, Origin="https://evil.example")
        assert status == 403


async def test_a_cookie_ends(server: Served) -> None:
    """After thirty days, and with another token at once; after a restart under the same token it goes on."""
    async with browser(server) as client:
        await login(client, TOKEN)
        server.clock.now += 30 * 24 * 3600 - 60
        assert (await get(client, "/api/stats", project="shop"))[0] == 200
        server.clock.now += 120
        assert (await get(client, "/api/stats", project="shop"))[0] == 401


@pytest.mark.parametrize("change", ["", "9", "-", "x.", "later", "other token", "empty signature"])
async def test_a_forged_cookie_is_none(server: Served, tmp_path: Path, change: str) -> None:
    """Nobody makes one, prolongs one, or brings one of another collector (FAULTS C23)."""
    async with browser(server) as client:
        _, headers = await login(client, TOKEN)
    name, _, value = headers["Set-Cookie"].partition(";")[0].partition("=")
    end, _, signature = value.partition(".")
    other = PageAccess(new_token())._key.hex()
    forged = {
        "later": f"{int(end) + 1}.{signature}",
        "other token": f"{end}.{other}",
        "empty signature": f"{end}.",
    }.get(change, change)
    async with ClientSession(server.collector.url, headers={"Cookie": f"{name}={forged}"}) as client:
        assert (await get(client, "/api/stats", project="shop"))[0] == 401


async def test_who_guesses_has_to_wait(server: Served) -> None:
    """From the fifth failure on, ever longer, and for the right token too; a login forgets it (FAULTS C23)."""
    async with browser(server) as client:
        for _ in range(5):
            assert (await login(client, "guess"))[0] == 401
        status, headers = await login(client, TOKEN)
        assert (status, headers["Retry-After"]) == (429, "1")
        async with client.get("/?token=guess", allow_redirects=False) as response:
            assert response.status == 429
        server.clock.now += 1
        assert (await login(client, "guess"))[0] == 401
        server.clock.now += 1
        assert (await login(client, TOKEN))[0] == 429
        server.clock.now += 1
        assert (await login(client, TOKEN))[0] == 204
        assert (await login(client, "guess"))[0] == 401


def test_the_memory_of_failures_is_bounded() -> None:
    """A million addresses take no more room than ten thousand; one network of IPv6 is one address."""
    failures = Failures(Clock())
    for number in range(20_000):
        failures.add(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(failures._records) == 10_000
    for number in range(9):
        failures.add(f"2001:db8::{number}")
    assert failures.delay_s("2001:db8::ffff") == 16
    assert failures.delay_s("2001:db8:0:1::1") == 0


async def test_attempts_are_told_by_their_source(tmp_path: Path) -> None:
    """Behind a trusted proxy by what it says; the word of anybody else is not believed (FAULTS C23)."""
    async with served(tmp_path, proxies=Proxies.of(["127.0.0.1"])) as server, browser(server) as client:
        for _ in range(5):
            await login(client, "guess", **{"X-Forwarded-For": "1.2.3.4, 203.0.113.7"})
        assert (await login(client, TOKEN, **{"X-Forwarded-For": "9.9.9.9, 203.0.113.7"}))[0] == 429
        assert (await login(client, TOKEN, **{"X-Forwarded-For": "203.0.113.7, 198.51.100.1"}))[0] == 204


async def test_the_word_of_a_stranger_about_its_address_is_not_believed(server: Served) -> None:
    """Without a trusted proxy nobody gets more attempts by naming other addresses (FAULTS C23)."""
    async with browser(server) as client:
        for number in range(5):
            await login(client, "guess", **{"X-Forwarded-For": f"10.0.0.{number}"})
        assert (await login(client, TOKEN, **{"X-Forwarded-For": "10.0.0.9"}))[0] == 429


@pytest.mark.parametrize("body", [b"", b"token=", b"token", b"\xff\xfe", b"token=%ff", b"a=b&" * 900, b"{}"])
async def test_a_login_without_a_token_is_refused(server: Served, body: bytes) -> None:
    """Nothing that a form may hold is more than a wrong token (FAULTS C32)."""
    async with browser(server) as client, client.post("/login", data=body, headers=ACTION) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (401, "bad_token")


async def test_a_login_takes_no_large_body(server: Served) -> None:
    """A token is short (FAULTS C3)."""
    async with browser(server) as client, client.post("/login", data=b"x" * 5000, headers=ACTION) as response:
        assert response.status == 413


@pytest.mark.parametrize("token", ["short", "x" * 15, "with\nline break......", "umlaut-ä-in-the-token"])
def test_a_weak_token_is_refused(token: str) -> None:
    """And not shown (FAULTS G20)."""
    with pytest.raises(StartError, match="LUMINA_PAGE_TOKEN") as caught:
        PageAccess(token)
    assert token not in str(caught.value)


async def test_beyond_loopback_there_must_be_keys_and_a_token(tmp_path: Path) -> None:
    """One of both alone is not enough (FAULTS C22)."""
    for access in (Access(), Access(page=PageAccess(new_token()))):
        with pytest.raises(StartError, match="loopback only"):
            await Collector(db=tmp_path / "l.db", host="0.0.0.0", port=0, access=access).__aenter__()  # noqa: S104


@pytest.mark.parametrize(
    "name", ["", "http://a.example", "a.example:80", "a b", "ä.example", "*", "a..b", "::1", "[a]"]
)
def test_an_allowed_host_is_a_name(name: str) -> None:
    """Not a URL, not a pattern."""
    with pytest.raises(StartError, match="is no host name"):
        Hosts([name])


@pytest.mark.parametrize("proxy", ["nginx", "10.0.0.0/99", "", "10.0.0.1/8"])
def test_a_trusted_proxy_is_an_address(proxy: str) -> None:
    """Or a network."""
    with pytest.raises(StartError, match="No address or network"):
        Proxies.of([proxy])


OWN = ["localhost", "127.0.0.1", "[::1]", "lumina.example", "LUMINA.example", "lumina.example:443"]
OTHERS = ["evil.example", "lumina.example.evil.example", "xlumina.example", "0.0.0.1", "lumina.example.", "[::ffff:1]"]
HOSTS = {**dict.fromkeys(OWN, 200), **dict.fromkeys(OTHERS, 421)}
ORIGINS = {"none": 204, "own": 204, "own by TLS": 204, "https://evil.example": 403, "null": 403}


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("origin", ORIGINS)
async def test_sixty_hosts_and_origins(server: Served, host: str, origin: str) -> None:
    """Each of 12 hosts with each of 5 origins: only an own name with its own origin may act (FAULTS C22, G24)."""
    own = {"none": [], "own": [f"Origin: http://{host}"], "own by TLS": [f"Origin: https://{host}"]}
    headers = own.get(origin, [f"Origin: {origin}"])
    body = f"token={TOKEN}".encode()
    extra = ["X-Lumina-Action: 1", f"Content-Length: {len(body)}", *headers]
    answer = await raw(server.collector.port, request("POST /login HTTP/1.1", *extra, body=body, host=host))
    expected = HOSTS[host] if HOSTS[host] != 200 else ORIGINS[origin]
    assert int(answer.split(b" ", 2)[1]) == expected
    assert b"Access-Control" not in answer
    assert b"Content-Security-Policy: default-src 'none'" in answer


async def test_a_user_is_deleted_by_whoever_is_in_and_means_it(server: Served) -> None:
    """Not without login, not without the header, not by a write key; and of one project only (FAULTS C21, C34)."""
    for key in (server.shop, server.web):
        async with server.sender(key) as client:
            await send(client, turn())
            assert (await client.delete("/api/users/user_1?project=shop", headers=ACTION)).status == 401
    async with browser(server) as client:
        await login(client, TOKEN)
        assert (await client.delete("/api/users/user_1?project=shop")).status == 403
        assert (await client.delete("/api/users/user_1?project=shop", headers=ACTION)).status == 200
        assert (await get(client, "/api/users/user_1", project="shop"))[0] == 404
        assert (await get(client, "/api/users/user_1", project="web"))[0] == 200


async def test_get_changes_nothing(server: Served) -> None:
    """Every path by GET and HEAD, with the cookie and all parameters, leaves the rows as they were (FAULTS C21)."""
    async with server.sender(server.shop) as client:
        await send(client, turn())
    async with server.reader() as client:
        before = (await get(client, "/api/stats", project="shop"))[1]
        for path in [*DATA, "/", "/login", "/v1/ingest", "/api/users/user_1", "/api/sessions/chat_1"]:
            for method in ("GET", "HEAD"):
                if path != "/api/live":
                    query = {"project": "shop", "delete": "1", "_method": "DELETE"}
                    async with client.request(method, path, params=query, headers=ACTION) as response:
                        await response.read()
        after = (await get(client, "/api/stats", project="shop"))[1]
    for volatile in ("uptime_s", "connections"):
        del before[volatile], after[volatile]
    assert after == before


@pytest.mark.parametrize("path", ["/", "/api/events?project=shop", "/login", "/?token=x", "/v1/project", "/nothing"])
async def test_every_answer_of_the_server_form_carries_the_headers(server: Served, path: str) -> None:
    """Redirects and refusals too (FAULTS C19, C32, G24)."""
    answer = await raw(server.collector.port, request(f"GET {path} HTTP/1.1"))
    for header in (
        b"Content-Security-Policy: default-src 'none'",
        b"X-Content-Type-Options: nosniff",
        b"Server: lumina",
    ):
        assert answer.count(header) == 1
    assert b"Cache-Control: no-" in answer
