"""The commands `lumina keys` and `lumina collector` (SPEC 11; FAULTS C2, C22, C23, G20)."""

import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lumina_async.collector.server_command import own_name

LUMINA = [sys.executable, "-m", "lumina_async"]
PING = b'{"source":"test","name":"ping"}'
TOKEN = "page_token_canary_21ab"


def environment(**more: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("LUMINA_")} | more


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*LUMINA, *arguments],
        cwd=folder,
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )


def make_key(folder: Path, *options: str) -> str:
    return run(folder, "keys", "create", "--project", "shop", *options).stdout.strip()


@contextmanager
def collector(folder: Path, *options: str, **variables: str) -> Iterator[tuple[str, list[str], subprocess.Popen[str]]]:
    """Give the origin, what was printed, and the process."""
    command = [*LUMINA, "collector", "--store", "sqlite:///lumina.db", "--port", "0", *options]
    env = environment(PYTHONASYNCIODEBUG="1", **variables)
    with subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(4)]
        try:
            yield re.findall(r"http://[^/\s]+", said[0])[0], said, process
        finally:
            process.terminate()


def ask(url: str, *, key: str = "", token: str = "", body: bytes | None = None, **headers: str) -> int:
    """Return the status of the answer."""
    headers |= {"X-Api-Key": key} if key else {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url, body, {"Content-Type": "text/plain", **headers})  # noqa: S310
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_a_key_is_printed_once_and_alone(tmp_path: Path) -> None:
    """On the output there is the key and nothing else; the list shows its first characters only (FAULTS C2)."""
    done = run(tmp_path, "keys", "create", "--project", "shop", "--label", "web app", "--events-per-minute", "6000")
    assert re.fullmatch(r"gi_[A-Za-z0-9_-]{32}\n", done.stdout)
    key = done.stdout.strip()
    listed = run(tmp_path, "keys", "list").stdout
    row = rf"[0-9a-f]{{8}}  shop     {key[:9]}\.\.\.  20\S+Z  6,000       good   web app"
    assert re.fullmatch(row, listed.splitlines()[1])
    assert key not in listed + done.stderr
    key_id = listed.splitlines()[1].split()[0]
    assert "is revoked" in run(tmp_path, "keys", "revoke", key_id).stdout
    assert "revoked 20" in run(tmp_path, "keys", "list").stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["keys", "revoke", "nothing"], "no key with the id nothing"),
        (["keys", "create", "--project", "a b"], "A project is named by"),
        (["keys", "create", "--project", "a", "--db", "missing/l.db"], "Name it with --db"),
        (["keys", "create", "--project", "a", "--label", "x" * 101], "A label has at most"),
        (["collector", "--store", "sqlite:///l.db"], "lumina keys create --project default --db "),
        (["collector", "--store", "postgresql://user:secret_canary@h/x"], "No store is called postgresql:// here"),
        (["collector", "--store", "lumina.db"], "--store is no URL"),
        (["collector", "--store", "sqlite://lumina.db"], "four slashes"),
        (["collector", "--store", "sqlite:///:memory:"], "four slashes"),
        (["collector", "--store", "sqlite:///l.db", "--allowed-host", "https://x"], "is no host name"),
        (["collector", "--store", "sqlite:///l.db", "--trusted-proxy", "nginx"], "No address or network"),
    ],
)
def test_what_cannot_be_done_is_a_line_and_a_status(tmp_path: Path, arguments: list[str], says: str) -> None:
    """It says what to do, and shows neither a traceback nor a password (FAULTS G20)."""
    done = run(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert "canary" not in done.stderr


def test_beyond_loopback_it_asks_for_key_and_token(tmp_path: Path) -> None:
    """On all addresses: the printed link opens the page, a key opens the ingest, and neither the other (FAULTS C23)."""
    key = make_key(tmp_path)
    with collector(tmp_path, "--host", "0.0.0.0") as (url, said, process):  # noqa: S104
        link = re.findall(r"http://\S+", said[0])[0]
        token = link.partition("?token=")[2]
        assert re.fullmatch(r"[A-Za-z0-9_-]{32}", token)
        assert said[1] == f"Events go to: {url} with a key of shop\n"
        assert said[2] == f"The store:    {tmp_path / 'lumina.db'}\n"
        assert [ask(f"{url}/v1/ingest", key=one, body=PING) for one in (key, token, "gi_dev")] == [200, 401, 401]
        assert [ask(f"{url}/api/events", token=one) for one in (token, key)] == [200, 401]
        assert ask(f"{url}/api/events") == 401
        process.terminate()
        rest, errors = process.communicate(timeout=20)
    assert (process.returncode, rest) == (0, "")
    assert "plain HTTP" in errors


def test_key_and_token_of_the_environment_are_nowhere(tmp_path: Path) -> None:
    """A container gets both by variables; no output and no file has them, also after failures (FAULTS C2, G20)."""
    key = "gi_canary_of_the_environment_0"
    variables = {"LUMINA_COLLECTOR_KEYS": f"shop={key},web=gi_another_canary_000000", "LUMINA_PAGE_TOKEN": TOKEN}
    with collector(tmp_path, **variables) as (url, said, process):
        assert "LUMINA_PAGE_TOKEN" in said[0]
        assert ask(f"{url}/v1/ingest", key=key, body=PING) == 200
        assert ask(f"{url}/v1/ingest", key=f"{key}x", body=PING) == 401
        assert ask(f"{url}/v1/ingest", key=key, body=b"\xff") == 200
        assert ask(f"{url}/?token={TOKEN}x") == 200
        assert ask(f"{url}/api/events?project=shop", token=TOKEN) == 200
        assert ask(f"{url}/api/events?project=shop", token=f"{TOKEN}x") == 401
        process.terminate()
        rest, errors = process.communicate(timeout=20)
    assert "Refused a write key from 127.0.0.1" in errors
    assert "Refused a page token from 127.0.0.1" in errors
    assert "canary" not in "".join(said) + rest + errors
    for path in tmp_path.iterdir():
        assert b"canary" not in path.read_bytes(), path


def test_a_key_made_while_it_runs_is_good_soon(tmp_path: Path) -> None:
    """And bad soon after it was revoked, by commands of another process."""
    make_key(tmp_path)
    with collector(tmp_path) as (url, _, _):
        key = make_key(tmp_path)
        while ask(f"{url}/v1/project", key=key) != 200:
            pass
        key_id = run(tmp_path, "keys", "list").stdout.splitlines()[2].split()[0]
        run(tmp_path, "keys", "revoke", key_id)
        while ask(f"{url}/v1/project", key=key) != 401:
            pass


def test_it_answers_to_the_names_it_is_given(tmp_path: Path) -> None:
    """And to no other (FAULTS C22)."""
    make_key(tmp_path)
    with collector(tmp_path, "--allowed-host", "lumina.example") as (url, _, _):
        assert [ask(f"{url}/healthz", Host=host) for host in ("lumina.example", "other.example")] == [200, 421]


@pytest.mark.parametrize(
    ("host", "names"),
    [
        ("127.0.0.1", ()),
        ("localhost", ()),
        ("0.0.0.0", ()),  # noqa: S104
        ("::", ()),
        ("10.0.0.7", ("10.0.0.7",)),
        ("fd00::7", ("[fd00::7]",)),
    ],
)
def test_an_address_of_its_own_is_a_name(host: str, names: tuple[str, ...]) -> None:
    """It stands in `Host` itself, where no name that somebody made point here can (FAULTS C22)."""
    assert tuple(own_name(host)) == names
