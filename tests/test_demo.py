"""The command `lumina demo` (SPEC 11)."""

import os
import re
import signal
import subprocess
import sys

import attrs
import pytest

from lumina_async import LuminaClient, LuminaConfig
from lumina_async._outcome import Answer
from lumina_async._transport import HttpTransport, Payload
from lumina_async.demo.run import play

DEMO = [sys.executable, "-m", "lumina_async", "demo"]


def test_once_stores_every_event_and_ends_with_0() -> None:
    """Every turn, conversation, login and opinion is in the collector, whatever the shell sets for another app."""
    environment = {**os.environ, "LUMINA_ENABLED": "0", "LUMINA_INGEST_PATH": "/elsewhere"}
    done = subprocess.run([*DEMO, "--once"], env=environment, capture_output=True, text=True, check=False, timeout=50)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Every event is stored: 21 turns, 9 conversations, 1 login and 2 opinions." in done.stdout
    assert re.search(r"captured 33 = stored 33 \+ waiting 0 \+ lost 0: it closes", done.stdout)


def test_the_table_shows_errors_people_who_left_and_what_was_masked() -> None:
    """The rows are what the collector holds: who failed, who left, who logged in, and no card number."""
    done = subprocess.run([*DEMO, "--once"], capture_output=True, text=True, check=True, timeout=50)
    rows = {
        columns[1]: columns for line in done.stdout.splitlines() if len(columns := re.split(" {2,}", line.strip())) > 6
    }
    assert rows["billing"][:6] == ["farid", "billing", "4", "2", "2", "-"]
    assert rows["kettle"][:6] == ["mei", "kettle", "2", "1", "-", "1"]
    assert rows["visit-7"][:7] == ["ines", "visit-7", "1", "1", "-", "-", "1"]
    assert rows["visit-8"][0] == "a visitor"
    assert re.search(r"login   anon_[0-9a-f]{8}… is ines\n  before  Do you ship to Norway\?", done.stdout)
    assert "thumbs down for the answer to: Can I return an opened bag of beans?" in done.stdout
    assert "stored  My card [CARD] was charged twice." in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_a_signal_and_ends_well(number: signal.Signals) -> None:
    """Ctrl-C ends it with 0 and no word more."""
    process = subprocess.Popen(DEMO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "")
    assert any("Ctrl-C ends it" in line for line in lines)
    process.send_signal(number)
    assert process.communicate(timeout=20) == ("", "")
    assert process.returncode == 0


@pytest.mark.parametrize(("options", "status"), [([], 0), (["--once"], 1)], ids=["serving", "once"])
def test_ctrl_c_while_people_talk_leaves_no_traceback(options: list[str], status: int) -> None:
    """Whatever is under way is ended; stopped, `--once` does not claim that all went well."""
    process = subprocess.Popen([*DEMO, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert any(" 4 of " in line for line in iter(process.stdout.readline, ""))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (status, "")


@attrs.define(eq=False)
class Forgetful:
    """Carries everything but the first line that has company, and says nothing of it."""

    http: HttpTransport
    forgot: int = 0

    async def open(self) -> None:
        await self.http.open()

    async def aclose(self) -> None:
        await self.http.aclose()

    async def post(self, payload: Payload, sent_at: str) -> Answer:
        if not self.forgot and payload.count > 1:
            self.forgot += 1
            rest = payload.body.split(b"\n", 1)[1]
            payload = attrs.evolve(payload, body=rest, count=payload.count - 1)
        return await self.http.post(payload, sent_at)


async def test_a_missing_event_is_named_and_gives_another_status(capsys: pytest.CaptureFixture[str]) -> None:
    """The ids that the people got are looked up, so an event that is gone shows though the ledger closes."""

    def forgetful(config: LuminaConfig) -> LuminaClient:
        plain = attrs.evolve(config, compression="none")
        return LuminaClient(plain, transport=lambda given: Forgetful(HttpTransport(given)))

    assert await play(once=True, make_client=forgetful) == 1
    told = capsys.readouterr().out
    assert "it closes" in told
    assert "missing: 33 events were captured, 32 are stored, 32 different ones" in told
    assert re.search(r"missing: (turn [0-9a-f]{16} .*stored nowhere|conversation .*: its beginning|the login)", told)
    assert "Every event is stored" not in told
