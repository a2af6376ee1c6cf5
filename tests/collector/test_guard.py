"""Who may ask, and what every answer carries (FAULTS C19, C22, C32, G24)."""

import orjson
import pytest
from aiohttp import ClientSession

from lumina_async.collector import Collector

from .kit import lines, post, raw, request, turn

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
REQUESTS = {
    "page": request("GET / HTTP/1.1"),
    "api": request("GET /api/sessions HTTP/1.1"),
    "head": request("HEAD /api/sessions HTTP/1.1"),
    "export": request("GET /api/export HTTP/1.1"),
    "health": request("GET /healthz HTTP/1.1"),
    "no key": request("POST /v1/ingest HTTP/1.1", "Content-Length: 0"),
    "unknown path": request("GET /nothing HTTP/1.1"),
    "wrong method": request("DELETE /api/sessions HTTP/1.1"),
    "wrong host": request("GET / HTTP/1.1", host="evil.example"),
    "bad parameter": request("GET /api/sessions?limit=x HTTP/1.1"),
    "no http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "no path": b"GET\r\n\r\n",
    "endless header": request("GET / HTTP/1.1", "X-Long: " + "x" * 20_000),
    "odd expectation": request("GET / HTTP/1.1", "Expect: the-unexpected"),
}


def parsed(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    start, *fields = head.decode().split("\r\n")
    pairs = [field.partition(": ") for field in fields]
    return int(start.split()[1]), {name: value for name, _, value in pairs}, body


@pytest.mark.parametrize("name", REQUESTS)
async def test_every_answer_carries_the_headers(collector: Collector, name: str) -> None:
    """Pages, data, errors, answers to what is no HTTP: all forbid browsers to guess and to run (FAULTS C19)."""
    _, headers, _ = parsed(await raw(collector.port, REQUESTS[name]))
    assert headers["Content-Security-Policy"] == CSP
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] in ("no-store", "no-cache")
    assert headers["Server"] == "lumina"
    assert not [field for field in headers if field.startswith("Access-Control")]


@pytest.mark.parametrize("name", list(REQUESTS)[5:])
async def test_every_error_is_a_json_body(collector: Collector, name: str) -> None:
    """An error has a code, a sentence and a request id, and nothing of the program (FAULTS C32)."""
    status, headers, body = parsed(await raw(collector.port, REQUESTS[name]))
    assert 400 <= status < 500
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    assert body.startswith(b'{"error":{"code":"')
    assert b'"request_id":"' in body
    assert not [word for word in (b"Traceback", b".py", b"aiohttp", b"nothing", b"unexpected") if word in body]


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST", "127.0.0.1", "[::1]", "localhost:1", "127.0.0.1:4600", "[::1]:65535"],
)
async def test_a_name_of_this_machine_is_answered(collector: Collector, host: str) -> None:
    """The names that no one else's DNS can give are served, with any port (FAULTS C22)."""
    answer = await raw(collector.port, request("GET /healthz HTTP/1.1", host=host))
    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "evil.example:4600",
        "localhost:4600.evil.example",
        "localhost@evil.example",
        "evil.example#localhost",
        "localhost.",
        "127.0.0.1.nip.io",
        "127.0.0.2",
        "127.1",
        "0.0.0.0",  # noqa: S104
        "0",
        "2130706433",
        "[::]",
        "::1",
        "[::ffff:127.0.0.1]",
        "localhost:",
        "localhost:abc",
        "localhost:1234567",
        "localhost,evil.example",
        "localhost evil.example",
        "foolocalhost",
        "",
    ],
)
async def test_any_other_name_is_refused(collector: Collector, host: str) -> None:
    """A page whose name was made to point here gets 421, whatever it asks for (FAULTS C22)."""
    for start in ("GET / HTTP/1.1", "GET /api/sessions HTTP/1.1", "POST /v1/ingest HTTP/1.1"):
        status, _, _ = parsed(await raw(collector.port, request(start, "Content-Length: 0", host=host)))
        assert status in (400, 421)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n", id="no host"),
        pytest.param(request("GET /healthz HTTP/1.1", "Host: evil.example"), id="two hosts"),
        pytest.param(request("GET http://evil.example/healthz HTTP/1.1"), id="another host in the request line"),
        pytest.param(request("CONNECT evil.example:80 HTTP/1.1"), id="connect"),
    ],
)
async def test_no_second_name_gets_past_the_check(collector: Collector, sent: bytes) -> None:
    """A missing, a doubled, or a contradicted host is refused (FAULTS C22)."""
    status, _, _ = parsed(await raw(collector.port, sent))
    assert status in (400, 421)


@pytest.mark.parametrize("start", ["GET /api/live", "POST /api/sessions", "DELETE /api/turns/x", "OPTIONS /api/stats"])
@pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost:1", "null", "http://localhost.evil"])
async def test_another_origin_is_refused(collector: Collector, start: str, origin: str) -> None:
    """A page of another origin can neither listen nor write on the read side (FAULTS C22)."""
    sent = request(f"{start} HTTP/1.1", f"Origin: {origin}", host=f"localhost:{collector.port}")
    status, _, body = parsed(await raw(collector.port, sent))
    assert status == 403
    assert b'"wrong_origin"' in body


async def test_a_request_marked_cross_site_is_refused(collector: Collector) -> None:
    """The browser's own word is believed where there is no origin (FAULTS C22)."""
    sent = request("GET /api/live HTTP/1.1", "Sec-Fetch-Site: cross-site")
    assert (await raw(collector.port, sent)).startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    ("headers", "code"),
    [
        pytest.param([], b"no_action", id="a form"),
        pytest.param(["X-Lumina-Action;"], b"bad_request", id="no header"),
        pytest.param(["X-Lumina-Action:"], b"no_action", id="an empty header"),
        pytest.param(["X-Lumina-Action: 1", "Sec-Fetch-Site: same-site"], b"wrong_origin", id="a sibling domain"),
        pytest.param(["X-Lumina-Action: 1", "Sec-Fetch-Site: cross-site"], b"wrong_origin", id="another site"),
        pytest.param(["X-Lumina-Action: 1", "Origin: https://evil.example"], b"wrong_origin", id="another origin"),
    ],
)
async def test_an_action_must_be_meant(collector: Collector, method: str, headers: list[str], code: bytes) -> None:
    """What changes something needs a header that no form sends, and no word of another origin (FAULTS C21)."""
    answer = await raw(collector.port, request(f"{method} /api/users/ada HTTP/1.1", "Content-Length: 0", *headers))
    status, _, body = parsed(answer)
    assert (status, b'"%s"' % code in body) == (400 if code == b"bad_request" else 403, True)


async def test_a_preflight_is_never_granted(collector: Collector) -> None:
    """No other site's script may send a key, for the browser asks first and gets no leave (FAULTS C22)."""
    head = ["Origin: https://evil.example", "Access-Control-Request-Method: POST"]
    status, headers, _ = parsed(await raw(collector.port, request("OPTIONS /v1/ingest HTTP/1.1", *head)))
    assert status == 405
    assert not [field for field in headers if field.startswith("Access-Control")]


async def test_a_wrong_method_says_which_are_right(client: ClientSession) -> None:
    """405 has its `Allow` (FAULTS C32)."""
    async with client.get("/v1/ingest") as response:
        assert (response.status, response.headers["Allow"]) == (405, "POST")
        assert (await response.json())["error"]["code"] == "method_not_allowed"


async def test_a_failing_store_is_503_and_nothing_is_promised(collector: Collector, client: ClientSession) -> None:
    """When the store takes nothing the sender is told to come again (FAULTS C13)."""
    await collector.store.aclose()
    headers = {"Content-Type": "text/plain"}
    async with client.post("/v1/ingest", data=lines(turn()), headers=headers) as response:
        assert response.status == 503
        assert int(response.headers["Retry-After"]) > 0
        assert (await response.json())["error"]["code"] == "unavailable"


async def test_without_a_token_there_is_no_login(client: ClientSession) -> None:
    """At `lumina dev` the login leads to the page, and takes nothing (FAULTS C23)."""
    async with client.get("/login", allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, "/")
    async with client.post("/login", data={"token": "x"}, headers={"X-Lumina-Action": "login"}) as response:
        assert response.status == 404


async def test_a_fault_of_ours_tells_nothing(
    collector: Collector, client: ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    """500 with a request id, under which the log has the traceback, and nothing of the program (FAULTS C32)."""
    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(collector.store, "_readers", "no threads")
        async with client.get("/api/stats") as response:
            body = await response.read()
    error = orjson.loads(body)["error"]
    assert (response.status, error["code"]) == (500, "internal")
    assert f"Request {error['request_id']} failed" in caplog.text
    assert "Traceback" in caplog.text
    assert not [word for word in (b"Traceback", b".py", b"sqlite", b"None", b"/") if word in body]
    assert response.headers["Server"] == "lumina"


async def test_the_key_is_in_no_log(collector: Collector, caplog: pytest.LogCaptureFixture) -> None:
    """Not even a failing request writes the key anywhere (FAULTS S2)."""
    caplog.set_level(0)
    await collector.store.aclose()
    async with ClientSession(collector.url, headers={"X-Api-Key": "gi_canary"}) as client:
        await post(client, lines(turn()))
        await post(client, b"x", Content_Type="text/html")
    assert "request" in caplog.text
    assert "canary" not in caplog.text
