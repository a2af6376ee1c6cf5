"""What `lumina doctor` finds at real servers, those that are well and those that are not."""

import gzip
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path

import orjson
import pytest
from aiohttp import web
from collector.served import served

from lumina_async import LuminaClient, LuminaConfig
from lumina_async._outcome import Action, Answer, Outcome
from lumina_async.collector import Collector
from lumina_async.doctor.advice import meaning, skew_s
from lumina_async.doctor.checks import Check, Mark, diagnose

KEY = "gi_doctor_canary_77aa"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("LUMINA_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LUMINA_WRITE_KEY", KEY)


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, auto_decompress=False)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def answers(response: Callable[[], web.Response]) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        return response()

    return answer


async def examined(endpoint: str | None) -> dict[str, Check]:
    """Return the findings by name, the last of each; none of them shows the key."""
    checks = [check async for check in diagnose(endpoint)]
    assert not any(KEY in check.sentence for check in checks)
    return {check.name: check for check in checks}


async def ping_at(response: Callable[[], web.Response]) -> str:
    """Return what the doctor says about the ping to a server that answers everything like this; it is a failure."""
    async with serving(answers(response)) as url:
        found = (await examined(url))["ping"]
    assert found.mark is Mark.FAIL
    return found.sentence


async def test_at_a_collector_all_is_well() -> None:
    """Every check passes, the ping is stored under its id, and the collector tells what it is."""
    async with Collector(db=":memory:", port=0) as collector:
        found = await examined(collector.url)
        events = (await collector.store.events("default", limit=10)).items
    assert {check.mark for check in found.values()} == {Mark.OK}
    assert list(found) == [
        "configuration",
        "reachability",
        "ping",
        "project",
        "read back",
        "clock",
        "server",
        "queue age",
    ]
    [ping] = [orjson.loads(event.body) for event in events]
    assert (ping["source"], ping["name"]) == ("lumina-doctor", "ping")
    assert "version" in found["server"].sentence
    assert "Nothing but pings" in found["queue age"].sentence


async def test_it_names_the_project_of_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a collector that asks for keys: the project, and that the events are for whoever has the page token."""
    async with served(tmp_path) as server:
        monkeypatch.setenv("LUMINA_WRITE_KEY", server.web)
        found = await examined(server.collector.url)
        [ping] = (await server.collector.store.events("web", limit=10)).items
    assert found["project"] == Check("project", Mark.OK, "The write key belongs to the project web.")
    assert "page token" in found["read back"].sentence
    assert server.web not in ping.body + "".join(check.sentence for check in found.values())


async def test_it_tells_of_a_wrong_key(tmp_path: Path) -> None:
    """A key that was revoked, or never was one: what to look at, and what to do."""
    async with served(tmp_path) as server:
        found = await examined(server.collector.url)
    assert found["ping"].mark is Mark.FAIL
    assert "(status 401). It does not take the write key" in found["ping"].sentence
    assert "lumina keys list" in found["ping"].sentence
    assert "project" not in found


async def test_it_tells_when_the_latest_event_arrived() -> None:
    """With an event of an app in the collector its age is told, by the collector's clock."""
    async with Collector(db=":memory:", port=0) as collector:
        async with LuminaClient(LuminaConfig(endpoint=collector.url, write_key=KEY)) as client:
            await client.session.start(session_id="chat_1")
            assert await client.flush()
        found = await examined(collector.url)
    assert found["queue age"].sentence.startswith("The latest event before the ping arrived ")


async def test_without_a_key_the_one_of_lumina_dev_does_on_this_machine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key is never guessed for a server elsewhere, nor for one whose name only looks local."""
    monkeypatch.delenv("LUMINA_WRITE_KEY")
    keys: list[str] = []

    async def store(request: web.Request) -> web.Response:
        keys.extend(request.headers.getall("X-Api-Key", []))
        return web.json_response({"accepted": 1})

    async with serving(store) as url:
        assert (await examined(url))["ping"].mark is Mark.OK
    assert keys == ["gi_dev"]
    for elsewhere in ("https://ingest.example.com", "https://127.0.0.1.example.com", "http://[::", ""):
        found = await examined(elsewhere)
        assert list(found) == ["configuration"]
        assert found["configuration"].mark is Mark.FAIL


@pytest.mark.parametrize(
    ("variable", "value", "mark", "says"),
    [
        ("LUMINA_ENDPOINT", "ftp://x", Mark.FAIL, "endpoint must start with https://"),
        ("LUMINA_FLUSH_INTERVAL_MS", "soon", Mark.FAIL, "LUMINA_FLUSH_INTERVAL_MS"),
        ("LUMINA_WRITE_KEY", "two words", Mark.FAIL, "write_key must be"),
        ("LUMINA_ENABLED", "0", Mark.WARN, "nothing is recorded"),
    ],
)
async def test_a_configuration_that_sends_nothing_ends_it(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, mark: Mark, says: str
) -> None:
    """What the SDK would refuse, and recording that is off, is the one finding."""
    monkeypatch.setenv("LUMINA_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv(variable, value)
    found = await examined(None)
    assert list(found) == ["configuration"]
    assert found["configuration"].mark is mark
    assert says in found["configuration"].sentence


async def test_a_doubtful_configuration_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """The warnings that the SDK logs are findings; the rest goes on."""
    monkeypatch.setenv("LUMINA_WRITE_KEY", "sk_of_another_product")
    async with serving(answers(lambda: web.json_response({}))) as url:
        found = await examined(url)
    assert found["configuration"] == Check(
        "configuration",
        Mark.WARN,
        "The write key does not start with gi_; check that it is the key of this project.",
    )
    assert found["ping"].mark is Mark.OK


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (400, "check that ingest_path takes NDJSON"),
        (401, "copy the key of this project again into LUMINA_WRITE_KEY"),
        (403, "not revoked"),
        (404, "try LUMINA_INGEST_PATH=/collect/sdk/events"),
        (405, "try LUMINA_INGEST_PATH=/collect/sdk/events"),
        (407, "A proxy asks"),
        (408, "did not get the whole request"),
        (413, "too small a limit"),
        (415, "takes no NDJSON"),
        (418, "Check endpoint and ingest_path"),
        (421, "does not go by this name"),
        (429, "asks for patience for 7 s"),
        (501, "takes no events at /v1/ingest"),
        (503, "is out of order for 7 s"),
    ],
)
async def test_a_refusal_says_what_to_do(status: int, says: str) -> None:
    """Each status has its own advice, and ends with a failure."""
    sentence = await ping_at(lambda: web.Response(status=status, headers={"Retry-After": "7"}))
    assert says in sentence
    assert f"status {status}" in sentence


async def test_a_redirect_names_the_origin_and_gets_no_key() -> None:
    """The target is told without its path, which may hold a token, and nothing is sent there."""
    reached: list[str] = []
    keyed: list[bool] = []

    async def other(request: web.Request) -> web.Response:
        reached.append(request.path)
        return web.Response()

    async with serving(other) as elsewhere:

        async def redirect(request: web.Request) -> web.Response:
            keyed.append("X-Api-Key" in request.headers)
            return web.Response(status=308, headers={"Location": f"{elsewhere}/login?token=secret"})

        async with serving(redirect) as url:
            sentence = (await examined(url))["ping"].sentence
    assert f"redirects to {elsewhere} (status 308)" in sentence
    assert "secret" not in sentence
    assert reached == []
    assert keyed.count(True) == 1


@pytest.mark.parametrize(
    ("location", "says"),
    [("/login", "another path of it: check ingest_path"), (None, "another path of it"), ("ftp://x/", "without saying")],
)
async def test_an_odd_redirect_is_told_as_far_as_it_goes(location: str | None, says: str) -> None:
    """To another path of the same server, or to nowhere."""
    headers = {} if location is None else {"Location": location}
    assert says in await ping_at(lambda: web.Response(status=302, headers=headers))


async def test_a_web_page_is_no_ingest_server() -> None:
    """A 200 with HTML is a portal or a web site, not success."""
    sentence = await ping_at(lambda: web.Response(text="<h1>Sign in</h1>", content_type="text/html"))
    assert "captive portal" in sentence


async def test_a_rejected_ping_is_a_failure() -> None:
    """A server that takes the request and rejects the line in it has not stored it; its own words are not repeated."""
    row = {"line": 1, "event_id": "x", "code": f"\x1b[31m{KEY}", "message": KEY}
    assert "see the log of the server" in await ping_at(lambda: web.json_response({"rejected": [row]}))
    row = {"line": 1, "event_id": "x", "code": "bad_id", "message": ""}
    assert "clock is probably wrong" in await ping_at(lambda: web.json_response({"rejected": [row]}))


async def test_a_server_that_takes_no_compressed_body_is_a_warning() -> None:
    """As the SDK does, the doctor sends it again uncompressed."""
    bodies: list[bytes] = []

    async def plain_only(request: web.Request) -> web.Response:
        if request.method == "POST":
            bodies.append(await request.read())
        return web.Response(status=415 if "Content-Encoding" in request.headers else 204)

    async with serving(plain_only) as url:
        found = (await examined(url))["ping"]
    assert found.mark is Mark.WARN
    assert "LUMINA_COMPRESSION=none" in found.sentence
    assert orjson.loads(gzip.decompress(bodies[0]))["name"] == orjson.loads(bodies[1])["name"] == "ping"


@pytest.mark.parametrize(("seconds", "says"), [(-600, "ahead of"), (600, "behind")])
async def test_a_wrong_clock_is_a_warning(seconds: int, says: str) -> None:
    """More than a minute between this machine and the server's Date is told, with its direction."""
    date = {"Date": formatdate(time.time() + seconds, usegmt=True)}
    async with serving(answers(lambda: web.json_response({}, headers=date))) as url:
        found = await examined(url)
    assert found["clock"].mark is Mark.WARN
    assert f" s {says} the server" in found["clock"].sentence


@pytest.mark.parametrize("date", [None, "", "yesterday", "Thu, 99 Foo 2026 00:00:00 GMT"])
def test_a_server_without_a_time_tells_none(date: str | None) -> None:
    """No Date, or one that is none, is no finding."""
    assert skew_s(Answer(date=date), 0.0) is None


def test_the_skew_counts_from_the_middle_of_the_second() -> None:
    """The header cuts the fraction off, so half a second is the least error; a zone of -0000 means UTC."""
    assert skew_s(Answer(date="Thu, 01 Jan 1970 00:00:10 GMT"), 70.5) == 60.0
    assert skew_s(Answer(date="Thu, 01 Jan 1970 00:00:10 -0000"), 10.5) == 0.0


async def test_a_spool_that_cannot_be_used_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says whether the folder can be written and what waits there, or what is wrong with it."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("LUMINA_SPOOL_DIR", str(tmp_path / "file" / "spool"))
    assert (await examined("http://127.0.0.1:9"))["spool"].mark is Mark.WARN
    (tmp_path / "v1-0123456789abcdef-000000000000").mkdir()
    (tmp_path / "v1-0123456789abcdef-000000000000" / "lock").touch()
    monkeypatch.setenv("LUMINA_SPOOL_DIR", str(tmp_path))
    assert "another endpoint" in (await examined("http://127.0.0.1:9"))["spool"].sentence
    monkeypatch.setenv("LUMINA_SPOOL_DIR", str(tmp_path / "spool"))
    check = (await examined("http://127.0.0.1:9"))["spool"]
    assert (check.mark, "0 files" in check.sentence) == (Mark.OK, True)


async def test_nothing_that_listens_ends_it() -> None:
    """The port is told, and no ping is tried."""
    found = await examined("http://127.0.0.1:1")
    assert list(found) == ["configuration", "reachability"]
    assert found["reachability"] == Check(
        "reachability",
        Mark.FAIL,
        "Nothing answers at 127.0.0.1, port 1: check that the server runs, and the port.",
    )


async def test_a_name_that_does_not_resolve_is_told() -> None:
    """DNS that fails, and a name that DNS cannot hold."""
    for host in ("nowhere.invalid", "a" * 70 + ".invalid"):
        assert "does not resolve" in (await examined(f"https://{host}"))["reachability"].sentence


async def test_tls_to_a_plain_port_is_told() -> None:
    """https where the server speaks http."""
    async with serving(answers(web.Response)) as url:
        found = await examined(url.replace("http://", "https://"))
    assert found["reachability"].mark is Mark.FAIL
    assert "but not by TLS" in found["reachability"].sentence


async def test_a_proxy_of_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the SDK would ignore it that is told with the failure; where it uses it nothing is reached directly."""
    monkeypatch.setenv("http_proxy", "http://user:secret@127.0.0.1:1")
    found = await examined("http://127.0.0.1:1")
    assert "LUMINA_TRUST_ENV=1 only" in found["reachability"].sentence
    monkeypatch.setenv("LUMINA_TRUST_ENV", "1")
    found = await examined("http://127.0.0.1:1")
    assert found["reachability"].mark is Mark.OK
    assert found["ping"].mark is Mark.FAIL
    assert "secret" not in str(found)


def test_silence_is_told_by_its_kind() -> None:
    """A deadline, and a connection that ends: the other scheme is worth a look."""
    config = LuminaConfig(endpoint="https://ingest.example.com", write_key=KEY)
    outcome = Outcome(action=Action.RETRY)
    assert "within 10,000 ms" in meaning(Answer(failure="ServerTimeoutError"), outcome, config, None)
    assert "should be http://" in meaning(Answer(failure="ServerDisconnectedError"), outcome, config, None)


async def test_another_server_cannot_be_read_back() -> None:
    """A server of another kind is not guessed about."""
    async with serving(answers(lambda: web.json_response({"accepted": 1}))) as url:
        found = await examined(url)
    assert found["read back"].mark is Mark.UNKNOWN
    assert "server" not in found


@pytest.mark.parametrize(("items", "mark"), [("[]", Mark.FAIL), ("null", Mark.UNKNOWN), ("[1]", Mark.FAIL)])
async def test_a_collector_that_does_not_show_the_ping_is_told(items: str, mark: Mark) -> None:
    """Stored and not shown is a failure; events that may not be read are unknown."""

    async def collector(request: web.Request) -> web.Response:
        if request.path == "/healthz":
            return web.json_response({"status": "ok", "version": f"1.0\x1b[2J{KEY}"})
        return web.Response(text=f'{{"items": {items}}}', content_type="application/json")

    async with serving(collector) as url:
        found = await examined(url)
    assert found["read back"].mark is mark
    assert found["server"].sentence == "A Lumina collector: version 1.0?[2J[key]."


async def test_a_collector_that_can_store_nothing_is_named_as_such() -> None:
    """A `/healthz` that answers `degraded` with 503 is that of a collector, and a warning."""

    async def collector(request: web.Request) -> web.Response:
        if request.path == "/healthz":
            return web.json_response({"status": "degraded", "version": "1.0"}, status=503)
        return web.json_response({"items": []})

    async with serving(collector) as url:
        found = await examined(url)
    assert found["server"].mark is Mark.WARN
    assert found["server"].sentence.startswith("A Lumina collector that is degraded")


def run(folder: Path, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LUMINA_")} | variables
    command = [sys.executable, "-W", "error", "-m", "lumina_async", "doctor", *options]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=50)


def test_the_command_reports_and_ends_with_a_status(tmp_path: Path) -> None:
    """A line per finding, without colours off a terminal; JSON for machines; 1 for a failure."""
    variables = {"LUMINA_ENDPOINT": "http://127.0.0.1:1", "LUMINA_WRITE_KEY": KEY}
    done = run(tmp_path, **variables)
    assert (done.returncode, done.stderr) == (1, "")
    first, second = done.stdout.splitlines()
    assert first.startswith("ok    configuration  Events go to http://127.0.0.1:1/v1/ingest")
    assert second.startswith("FAIL  reachability   Nothing answers")
    done = run(tmp_path, "--json", "--endpoint", "http://127.0.0.1:2", **variables)
    report = orjson.loads(done.stdout)
    assert (done.returncode, report["ok"]) == (1, False)
    assert [(check["name"], check["mark"]) for check in report["checks"]] == [
        ("configuration", "ok"),
        ("reachability", "FAIL"),
    ]
    assert "port 2" in report["checks"][1]["sentence"]
    assert KEY not in done.stdout + done.stderr


def test_the_command_ends_well_at_a_collector(tmp_path: Path) -> None:
    """The whole way, in processes of their own: 0, and nothing but findings that are well."""
    dev = [sys.executable, "-m", "lumina_async", "dev", "--no-open", "--port", "0"]
    with subprocess.Popen(dev, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as collector:
        assert collector.stdout is not None
        page = collector.stdout.readline().split()[-1]
        done = run(tmp_path, "--endpoint", page)
        collector.terminate()
    assert (done.returncode, done.stderr) == (0, "")
    assert {line[:6] for line in done.stdout.splitlines()} == {"ok    "}
    assert "that `lumina dev` names" in done.stdout


def test_the_checks_need_no_command_line() -> None:
    """Without click, which comes with the extra, the checks themselves still run."""
    code = (
        "import sys, asyncio; sys.modules['click'] = sys.modules['aiohttp_sse'] = None\n"
        "from lumina_async.doctor.checks import diagnose\n"
        "async def main(): print([check.mark.value async for check in diagnose('http://127.0.0.1:1')])\n"
        "asyncio.run(main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=50)
    assert (done.stdout, done.stderr) == ("['ok', 'FAIL']\n", "")
