"""The examples, run as their docstrings say, against a real collector; the provider is aimock.

With LUMINA_SCREENSHOT set to a path, the page with the demo's data is saved there.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
from e2e.aimock import aimock, fixture, running

EXAMPLES = Path(__file__).parent.parent / "examples"
LUMINA = [sys.executable, "-m", "lumina_async"]
SLOW = "One two three four five six seven eight nine ten."

Turn = dict[str, Any]


@contextmanager
def collecting() -> Iterator[str]:
    """`lumina dev` in a process of its own; gives its address."""
    command = [*LUMINA, "dev", "--no-open", "--port", "0", "--db", ":memory:"]
    with running(command, r"The page: +(http://\S+)/") as url:
        yield url


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310
        return json.loads(answer.read())


def test_the_quickstart_stores_one_turn_and_is_short() -> None:
    """As pasted it ends with `stored: True` and no word more, in less than 20 lines of code."""
    source = (EXAMPLES / "quickstart.py").read_text()
    assert len([line for line in source.splitlines() if line.strip()]) < 20
    with collecting() as url:
        environment = {**os.environ, "LUMINA_ENDPOINT": url, "LUMINA_WRITE_KEY": "gi_dev"}
        command = [sys.executable, str(EXAMPLES / "quickstart.py")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=30)
        assert (done.returncode, done.stdout, done.stderr) == (0, "stored: True\n", "")
        [turn] = get(f"{url}/api/events?name=turn")["items"]
    assert (turn["distinct_id"], turn["status"], turn["llm"][0]["model"]) == ("ada", "ok", "my-model")
    assert [message["content"] for message in turn["messages"]] == ["Hello?", "Hello Ada!"]


@attrs.frozen
class Answer:
    """What the client of the chat server got."""

    status: int
    text: str


@attrs.frozen
class Played:
    """What was said to the FastAPI example, what came back, and where it is stored."""

    url: str
    answers: dict[str, Answer]
    turns: dict[str, Turn]
    """By what the user said."""


def ask(app: str, path: str, text: str, conversation: str, *, leaves: bool = False) -> Answer:
    body = json.dumps({"user": "ada", "conversation": conversation, "text": text}).encode()
    request = urllib.request.Request(f"{app}{path}", body, {"Content-Type": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            said = answer.read1() if leaves else answer.read()
            return Answer(answer.status, said.decode())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read().decode())


def fixtures() -> list[Turn]:
    broken = {"message": "no such model", "type": "invalid_request_error"}
    return [
        fixture("hello", content="Hi there!", usage={"prompt_tokens": 11, "completion_tokens": 9, "total_tokens": 20}),
        fixture("count", content=SLOW, latency=60, chunkSize=5),
        fixture("fail", error=broken, status=400),
        fixture("break off", content="This answer never ends.", latency=20, chunkSize=5, truncateAfterChunks=3),
    ]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """The FastAPI example under uvicorn, talked to over HTTP, then stopped; what it stored is still served."""
    server = [sys.executable, "-m", "uvicorn", "--app-dir", str(EXAMPLES), "fastapi_app:app", "--port", "0"]
    with collecting() as url:
        with (
            aimock(tmp_path_factory.mktemp("aimock"), *fixtures()) as provider,
            running(
                server,
                r"Uvicorn running on (http://\S+)",
                OPENAI_BASE_URL=provider,
                OPENAI_API_KEY="unused",
                LUMINA_ENDPOINT=url,
                LUMINA_WRITE_KEY="gi_dev",
            ) as app,
        ):
            answers = {
                "hello": ask(app, "/chat", "hello", "whole"),
                "fail": ask(app, "/chat", "fail", "whole"),
                "count to ten": ask(app, "/chat/stream", "count to ten", "streamed"),
                "count again": ask(app, "/chat/stream", "count again", "streamed", leaves=True),
                "break off": ask(app, "/chat/stream", "break off", "streamed"),
            }
        stored = get(f"{url}/api/events?name=turn")["items"]
        assert len(stored) == len(answers)
        yield Played(url, answers, {turn["messages"][0]["content"]: turn for turn in stored})


@pytest.mark.node
def test_fastapi_whole_answer(played: Played) -> None:
    """One turn, with the model, the prompt id, the user, the app's session id and what was said."""
    turn = played.turns["hello"]
    [call] = turn["llm"]
    assert played.answers["hello"] == Answer(200, '{"reply":"Hi there!"}')
    assert (turn["status"], turn["distinct_id"], turn["session_id"]) == ("ok", "ada", "whole")
    assert (call["model"], call["prompt_id"], call["status"]) == ("gpt-4o-mini", "assistant/1", "ok")
    assert turn["messages"][1] == {"role": "assistant", "content": "Hi there!"}


@pytest.mark.node
def test_fastapi_streamed_answer(played: Played) -> None:
    """The real client's stream passes unchanged through the proxy; its chunks are counted and timed."""
    turn = played.turns["count to ten"]
    [call] = turn["llm"]
    assert played.answers["count to ten"] == Answer(200, SLOW)
    assert (turn["status"], call["outcome"], call["streaming"]) == ("ok", "completed", True)
    assert call["chunks"] >= len(SLOW) / 5
    assert 0 < call["ttft_ms"] < call["latency_ms"] <= turn["latency_ms"]
    assert call["longest_gap_ms"] > 20
    assert turn["messages"][1]["content"] == SLOW


@pytest.mark.node
def test_fastapi_client_that_leaves(played: Played) -> None:
    """Who leaves while it streams makes a cancelled turn (SPEC 5: client_gone), no error, with what was said so far."""
    turn = played.turns["count again"]
    [call] = turn["llm"]
    assert (turn["status"], call["status"], call["outcome"]) == ("cancelled", "cancelled", "client_gone")
    assert 0 < call["chunks"] < len(SLOW) / 5
    assert SLOW.startswith(said := turn["messages"][1]["content"])
    assert played.answers["count again"].text in said
    assert "error" not in turn


@pytest.mark.node
@pytest.mark.parametrize(
    ("text", "status", "reply", "kind", "outcome"),
    [
        ("fail", 503, '{"reply":"Sorry', "openai.BadRequestError", None),
        ("break off", 200, "This \nSorry", "openai.APIConnectionError", "provider_error"),
    ],
    ids=["refused", "broken off"],
)
def test_fastapi_provider_error(
    played: Played, text: str, status: int, reply: str, kind: str, outcome: str | None
) -> None:
    """What the provider does wrong is an error of the turn; the person gets an apology."""
    turn = played.turns[text]
    assert played.answers[text].status == status
    assert played.answers[text].text.startswith(reply)
    assert (turn["status"], turn["error"]["type"]) == ("error", kind)
    assert (turn["llm"][0]["status"], turn["llm"][0].get("outcome")) == ("error", outcome)


@contextmanager
def browsing(url: str, width: int = 1280, height: int = 800) -> Iterator[Any]:
    """A page of Chromium that reaches nothing but this machine."""
    from playwright.sync_api import sync_playwright

    quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=quiet)
        page = browser.new_page(viewport={"width": width, "height": height})
        page.goto(url)
        yield page
        browser.close()


@pytest.mark.node
@pytest.mark.browser
def test_the_page_shows_the_turns_of_the_fastapi_example(played: Played) -> None:
    """A conversation opens by its address, with what was said, and tells who left and what failed."""
    with browsing(f"{played.url}/#/sessions/streamed") as page:
        page.get_by_text(SLOW).wait_for()
        said = page.locator("main").inner_text().lower()
    assert "count again" in said
    assert "gpt-4o-mini" in said
    assert "cancelled" in said
    assert "apiconnectionerror" in said


@pytest.mark.browser
def test_the_page_shows_the_demo() -> None:
    """The page lists the demo's people and opens a conversation, masked texts and all."""
    process = subprocess.Popen([*LUMINA, "demo"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        url = next(match[1] for line in process.stdout if (match := re.search(r"The page: +(http\S+)/", line)))
        with browsing(f"{url}/#/sessions/cafe") as page:
            page.get_by_text("My mail is [EMAIL].").last.wait_for()
            people = page.locator("nav").inner_text()
            if path := os.environ.get("LUMINA_SCREENSHOT"):
                page.locator("main").evaluate("main => { main.scrollTop = 0 }")
                page.screenshot(path=path)
    finally:
        process.terminate()
        process.communicate(timeout=20)
    assert all(name in people for name in ("nora", "ben", "chiara", "farid", "mei"))
