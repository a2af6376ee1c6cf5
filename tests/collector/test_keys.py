"""Write keys: made, listed, revoked, and what a collector does with them (FAULTS C1, C2, C30)."""

import asyncio
import logging
import os
import stat
from pathlib import Path

import orjson
import pytest
from aiohttp import ClientSession

from lumina_async import LuminaClient, LuminaConfig
from lumina_async.collector.errors import KeysError
from lumina_async.collector.keyring import Keyring, keys_from
from lumina_async.collector.keys import KeyFile
from lumina_async.collector.quota import Quota

from .kit import event, get, items, lines, post, raw, request, send, turn
from .served import Clock, Served


def file_in(folder: Path) -> KeyFile:
    return KeyFile(folder / "lumina.db")


def test_a_key_is_random_and_recognised(tmp_path: Path) -> None:
    """192 random bits behind `gi_`, none twice; a list shows the first six characters (FAULTS C2)."""
    made = [file_in(tmp_path).create("shop") for _ in range(50)]
    assert len({secret for _, secret in made}) == len({key.id for key, _ in made}) == 50
    for key, secret in made:
        assert (secret[:3], len(secret), key.start) == ("gi_", 3 + 32, secret[:9])
    assert [key.id for key in file_in(tmp_path).read()] == [key.id for key, _ in made]


async def test_no_key_is_on_disk(server: Served, tmp_path: Path) -> None:
    """Of a key only the SHA-256 is kept, also after it was used: no file holds it (FAULTS C2, G20)."""
    async with server.sender(server.shop) as client:
        await send(client, turn())
        await post(client, b"x", X_Api_Key=server.web + "x")
    for path in tmp_path.iterdir():
        content = path.read_bytes()
        assert server.shop.encode() not in content, path
        assert server.shop[3:].encode() not in content, path
        assert server.web.encode() not in content, path
    assert stat.S_IMODE(server.file.path.stat().st_mode) == 0o600


def test_two_commands_at_once_lose_no_key(tmp_path: Path) -> None:
    """Whoever makes a key waits for who makes another."""

    async def run() -> None:
        await asyncio.gather(*[asyncio.to_thread(file_in(tmp_path).create, "shop") for _ in range(30)])

    asyncio.run(run())
    assert len(file_in(tmp_path).read()) == 30


@pytest.mark.parametrize("project", ["", "a b", "-x", "x" * 65, "ä", "a/b", "a=b", "a,b", "\n", "a\n"])
def test_a_project_has_a_plain_name(tmp_path: Path, project: str) -> None:
    """What could not stand in a URL, a list or an environment variable is refused."""
    with pytest.raises(KeysError, match="A project is named by"):
        file_in(tmp_path).create(project)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b'{"version": 1, "keys": [{}]}',
        b'{"version": "1", "keys": []}',
        b'{"version": 1, "keys": [{"id": "1", "project": "a b", "start": "", "sha256": "00", "created_at": ""}]}',
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """It is neither taken for an empty one nor written over (FAULTS C2)."""
    file_in(tmp_path).path.write_bytes(content)
    with pytest.raises(KeysError, match="damaged"):
        file_in(tmp_path).create("shop")
    assert file_in(tmp_path).path.read_bytes() == content


def test_a_file_of_a_later_version_is_refused(tmp_path: Path) -> None:
    """As with the database (FAULTS C16)."""
    file_in(tmp_path).path.write_bytes(b'{"version": 2, "keys": "of another form"}')
    with pytest.raises(KeysError, match="later version"):
        file_in(tmp_path).read()


async def test_each_event_has_the_project_of_its_key(server: Served) -> None:
    """Two projects in one database see nothing of each other, not even an event of the same id (FAULTS C8)."""
    sent = turn()
    for key, project in ((server.shop, "shop"), (server.web, "web")):
        async with server.sender(key) as client:
            assert (await send(client, {**sent, "distinct_id": project}))["accepted"] == 1
            assert await get(client, "/v1/project") == (200, {"project": project})
    async with server.reader() as client:
        assert (await get(client, "/api/projects"))[1]["items"] == [{"project": "shop"}, {"project": "web"}]
        for project in ("shop", "web"):
            [event] = await items(client, "/api/events", project=project)
            assert event["distinct_id"] == project
            assert (await get(client, "/api/stats", project=project))[1]["project"] == project
        assert await items(client, "/api/events", project="other") == []


async def test_of_several_projects_one_must_be_chosen(server: Served) -> None:
    """Nothing is shown of a project that nobody asked for; the only one, or `default`, need not be named."""
    async with server.reader() as client:
        for path in ("/api/sessions", "/api/events", "/api/stats", "/api/export", "/api/live", "/api/turns/x"):
            status, answer = await get(client, path)
            assert (status, answer["error"]["code"]) == (400, "which_project")
        server.file.revoke(server.file.read()[1].id)
        server.clock.now += 2
        assert (await get(client, "/api/stats"))[1]["project"] == "shop"


BAD_KEYS = {
    "missing": [],
    "empty": ["X-Api-Key:"],
    "blank": ["X-Api-Key:  "],
    "wrong": ["X-Api-Key: gi_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"],
    "one character less": ["X-Api-Key: {cut}"],
    "one character more": ["X-Api-Key: {key}x"],
    "other case": ["X-Api-Key: {swapped}"],
    "twice the right one": ["X-Api-Key: {key}", "X-Api-Key: {key}"],
    "right and wrong": ["X-Api-Key: {key}", "X-Api-Key: x"],
    "two in one": ["X-Api-Key: {key}, {key}"],
    "quoted": ['X-Api-Key: "{key}"'],
    "bearer": ["Authorization: Bearer {key}"],
    "hash": ["X-Api-Key: {sha256}"],
    "the page token": ["X-Api-Key: page_token_canary_93c1"],
    "bytes": ["X-Api-Key: \xff\xfe"],
    "huge": ["X-Api-Key: " + "x" * 8000],
    "query": [],
}


@pytest.mark.parametrize("name", BAD_KEYS)
async def test_a_bad_key_is_a_bad_key(server: Served, name: str) -> None:
    """Whatever is wrong with it, the answer is the same to the byte but for its own id, and nothing is stored (C1)."""
    key = server.shop
    facts = {"key": key, "cut": key[:-1], "swapped": key.swapcase(), "sha256": server.file.read()[0].sha256}
    headers = [header.format_map(facts) for header in BAD_KEYS[name]]
    path = "/v1/ingest" + (f"?key={server.shop}" if name == "query" else "")
    body = lines(turn())
    start = f"POST {path} HTTP/1.1"
    sent = request(start, "Content-Type: text/plain", f"Content-Length: {len(body)}", *headers, body=body)
    head, _, answer = (await raw(server.collector.port, sent)).partition(b"\r\n\r\n")
    error = orjson.loads(answer)["error"]
    assert head.startswith(b"HTTP/1.1 401 ")
    assert error.pop("request_id")
    assert error == {"code": "bad_key", "message": "Send one X-Api-Key header with a write key."}
    async with server.reader() as client:
        assert await items(client, "/api/events", project="shop") == []


async def test_a_bad_key_is_logged_once_a_minute_with_its_source(
    server: Served, caplog: pytest.LogCaptureFixture
) -> None:
    """One line names the address, not the key; the next one counts what came meanwhile (FAULTS C1)."""
    server.collector.access._failures.clock = server.clock
    async with server.sender("gi_wrong_canary_77") as client:
        for _ in range(30):
            assert (await post(client, b"x"))[0] == 401
        server.clock.now += 61
        assert (await post(client, b"x"))[0] == 401
    refused = [record.getMessage() for record in caplog.records if "write key" in record.getMessage()]
    assert refused == [f"Refused a write key from 127.0.0.1 ({n} since the last such line)" for n in (1, 30)]
    assert "canary" not in caplog.text


def test_every_hash_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A right key and a wrong one cost the same comparisons, in constant time each (FAULTS C1)."""
    secrets = [file_in(tmp_path).create("shop")[1] for _ in range(5)]
    ring = Keyring(file_in(tmp_path))
    ring.open()
    compared: list[str] = []

    def count(a: str, b: str) -> bool:
        compared.append(a)
        return a == b

    monkeypatch.setattr("hmac.compare_digest", count)
    for presented in ([secrets[0]], [secrets[4]], ["wrong"], [], secrets[:2]):
        compared.clear()
        ring.find(presented)
        assert len(compared) == 5


async def test_a_running_collector_takes_a_new_key_and_refuses_a_revoked_one(server: Served) -> None:
    """Both a second later, without a restart; other keys never notice."""
    key, secret = server.file.create("shop")
    async with server.sender(secret) as client, server.sender(server.shop) as other:
        server.clock.now += 1
        assert (await post(client, lines(turn()), Content_Type="text/plain"))[0] == 200
        server.file.revoke(key.id)
        server.clock.now += 1
        assert (await post(client, lines(turn()), Content_Type="text/plain"))[0] == 401
        assert (await post(other, lines(turn()), Content_Type="text/plain"))[0] == 200


async def test_a_file_that_breaks_locks_nobody_out(server: Served, caplog: pytest.LogCaptureFixture) -> None:
    """While the file cannot be read the keys stay as they were, and the log says so once."""
    good = server.file.path.read_bytes()
    async with server.sender(server.shop) as client:
        server.file.path.write_bytes(b"broken")
        for _ in range(3):
            server.clock.now += 1
            assert (await get(client, "/v1/project"))[0] == 200
        server.file.path.write_bytes(good)
        server.clock.now += 1
        assert (await get(client, "/v1/project"))[0] == 200
    assert caplog.text.count("The keys stay as they were") == 1


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="Only root can give a file away.")
def test_root_takes_the_keys_from_nobody(tmp_path: Path) -> None:
    """A key that root makes is in a file that still belongs to the user of the collector."""
    file = file_in(tmp_path)
    file.database.touch()
    os.chown(file.database, 12345, 12345)
    for _ in range(2):
        file.create("shop")
    files = [path for path in tmp_path.iterdir() if path != file.database]
    assert [(path.stat().st_uid, path.stat().st_gid) for path in files] == [(12345, 12345)] * 2


def test_a_revoked_key_stays_in_the_list(tmp_path: Path) -> None:
    """So that it is seen when; revoking it again changes nothing, and an unknown one is an error."""
    file = file_in(tmp_path)
    key, _ = file.create("shop", label="web app", events_per_minute=600)
    revoked = file.revoke(key.id)
    assert file.revoke(key.id) == revoked
    assert [one.label for one in file.read() if one.revoked_at] == ["web app"]
    with pytest.raises(KeysError, match="no key with the id nothing"):
        file.revoke("nothing")


def test_keys_of_the_environment(tmp_path: Path) -> None:
    """`project=key`, several with commas, beside those of the file."""
    secret, other = "gi_" + "a" * 32, "gi_" + "b=" * 16
    ring = Keyring(file_in(tmp_path), keys_from(f" shop={secret}, web={other},"))
    ring.open()
    assert ring.projects == {"shop", "web"}
    assert [getattr(ring.find([key]), "project", None) for key in (secret, other, "x")] == ["shop", "web", None]


@pytest.mark.parametrize(
    "entry",
    [
        "gi_canary_with_no_project",
        "shop=gi_canary",
        "shop=gi_canary canary canary",
        "=gi_canary_canary_canary",
        "a b=gi_canary_canary_canary",
    ],
)
def test_a_bad_entry_of_the_environment_is_named_by_its_number(entry: str) -> None:
    """And never shown, since it may hold a key (FAULTS G20)."""
    with pytest.raises(KeysError, match="Entry 2 of LUMINA_COLLECTOR_KEYS") as caught:
        keys_from(f"shop=gi_{'a' * 32},{entry}")
    assert "canary" not in str(caught.value)


async def test_a_key_beyond_its_quota_gets_429_and_the_others_do_not(server: Served) -> None:
    """With the seconds to wait; what was refused is stored when it comes again (FAULTS C30)."""
    _, secret = server.file.create("shop", events_per_minute=60)
    server.clock.now += 1
    more = turn()
    async with server.sender(secret) as limited, server.sender(server.shop) as other:
        await send(limited, *[turn() for _ in range(70)])
        async with limited.post("/v1/ingest", data=lines(more), headers={"Content-Type": "text/plain"}) as response:
            assert (response.status, response.headers["Retry-After"]) == (429, "11")
            assert (await response.json())["error"]["code"] == "over_quota"
        for _ in range(20):
            await send(other, turn())
        server.clock.now += 11
        assert (await send(limited, more))["accepted"] == 1


async def test_the_sdk_waits_for_its_quota_and_loses_nothing(server: Served) -> None:
    """It comes again after the time that it is told, and everything is stored (FAULTS C30)."""
    _, secret = server.file.create("shop", events_per_minute=6000)
    server.clock.now += 1
    async with server.sender(secret) as client:
        await send(client, *[event("ping") for _ in range(6050)])
        assert (await post(client, lines(turn())))[0] == 429
    async with LuminaClient(LuminaConfig(endpoint=server.collector.url, write_key=secret)) as client:
        async with (await client.session.start()).turn():
            pass
        flushing = asyncio.create_task(client.flush())
        while not flushing.done():  # The clock of the server goes with ours.
            await asyncio.sleep(0.05)
            server.clock.now += 0.05
        assert flushing.result()
        assert (await client.stats()).lost_total == 0


def test_the_average_of_a_quota_holds() -> None:
    """Over an hour of batches of any size the key gets what it may, and one batch more (FAULTS C30)."""
    clock = Clock()
    quota = Quota(100, clock)
    taken = 0
    for step in range(36_000):
        clock.now += 0.1
        if quota.wait_s() == 0:
            quota.spend(size := (step * 7919) % 50)
            taken += size
    assert 6000 - 50 <= taken <= 6000 + 100 + 50


async def test_the_key_belongs_to_no_page(server: Served) -> None:
    """A write key opens neither the page nor its data, by whichever header (FAULTS C23)."""
    for headers in ({"X-Api-Key": server.shop}, {"Authorization": f"Bearer {server.shop}"}):
        async with ClientSession(server.collector.url, headers=headers) as client:
            assert (await get(client, "/api/events", project="shop"))[0] == 401


async def test_keys_and_token_are_in_no_log(server: Served, caplog: pytest.LogCaptureFixture) -> None:
    """Right and wrong ones, in failures of every kind, at the level debug (FAULTS G20)."""
    caplog.set_level(logging.DEBUG)
    await server.collector.store.aclose()
    for key in (server.shop, server.web + "x"):
        async with server.sender(key) as client:
            await post(client, lines(turn()))
            await post(client, b"x", Content_Type="text/html")
    async with server.reader() as client:
        await get(client, "/api/events", project="shop")
    assert "failed" in caplog.text
    shown = caplog.text + repr(server.collector.access) + repr(server.collector.access.page) + repr(server.collector)
    for secret in (server.shop, server.web, "page_token_canary"):
        assert secret not in shown
