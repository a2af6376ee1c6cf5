"""The command `lumina` (SPEC 11)."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

LUMINA = [sys.executable, "-m", "lumina_async"]


def dev(folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [*LUMINA, "dev", "--no-open", "--port", "0", *options]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def said_by(process: subprocess.Popen[str]) -> str:
    """Return what the command prints before it serves."""
    assert process.stdout is not None
    return "".join(process.stdout.readline() for _ in range(4))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_dev_serves_until_a_signal_and_ends_well(tmp_path: Path, number: signal.Signals) -> None:
    """It says where to look and what to set, keeps what it accepts, and ends with 0 and no word (FAULTS C31)."""
    process = dev(tmp_path)
    said = said_by(process)
    match = re.search(r"LUMINA_ENDPOINT=(http://127\.0\.0\.1:\d+) LUMINA_WRITE_KEY=gi_dev", said)
    assert match is not None, said
    ping = urllib.request.Request(  # noqa: S310
        f"{match[1]}/v1/ingest",
        b'{"source":"test","name":"ping"}',
        {"X-Api-Key": "gi_dev", "Content-Type": "text/plain"},
    )
    with urllib.request.urlopen(ping) as answer:  # noqa: S310
        assert answer.status == 200
    process.send_signal(number)
    rest, errors = process.communicate(timeout=20)
    assert (process.returncode, rest, errors) == (0, "", "")
    connection = sqlite3.connect(tmp_path / "lumina.db")
    assert connection.execute("SELECT name FROM events").fetchall() == [("ping",)]
    connection.close()


def test_a_start_that_fails_says_what_to_do(tmp_path: Path) -> None:
    """A file that is in use is one line and a status, no traceback (FAULTS C11)."""
    first = dev(tmp_path)
    said_by(first)
    second = dev(tmp_path)
    _, errors = second.communicate(timeout=20)
    first.terminate()
    first.communicate(timeout=20)
    assert second.returncode == 1
    assert "Another collector is using" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("missing", ["click", "aiohttp_sse"])
def test_without_the_extra_it_says_how_to_install_it(tmp_path: Path, missing: str) -> None:
    """The SDK installs the command without what it needs; then it prints the line that installs it (SPEC 11)."""
    code = (
        "import importlib.util as u; real = u.find_spec\n"
        f"u.find_spec = lambda name, *a: None if name == {missing!r} else real(name, *a)\n"
        "from lumina_async.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "dev"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "pip install 'lumina-async[collector]'" in done.stderr
    assert missing in done.stderr
    assert "Traceback" not in done.stderr


def test_the_version_is_told() -> None:
    """`--version` names the program and its version."""
    done = subprocess.run([*LUMINA, "--version"], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"lumina, version \d+\.\d+\.\d+.*\n", done.stdout)


def test_the_browser_is_opened_and_its_failure_is_none(tmp_path: Path) -> None:
    """The page opens by itself; a browser that cannot be started is no reason not to serve."""
    environment = {**os.environ, "BROWSER": "/nonexistent/browser %s"}
    command = [*LUMINA, "dev", "--port", "0"]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
    assert "The page:" in said_by(process)
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == 0
