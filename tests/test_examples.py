"""The examples, run as their docstrings say, against a real collector; the provider is aimock.

With LUMINA_SCREENSHOT set to a path, the page with the demo's data is saved there.
"""

import asyncio
import json
import os
import re
import shutil
import socket
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
from adapters.posthog_host import posthog_host
from e2e.aimock import aimock, fixture, running

EXAMPLES = Path(__file__).parent.parent / "examples"
LUMINA = [sys.executable, "-m", "lumina_async"]
SLOW = "One two three four five six seven eight nine ten."

Event = dict[str, Any]

# The headings under which the original's two documents show code, and where ours does the same.
COUNTERPARTS = {
    # "Capturing Turns"
    "Start Session": "quickstart.py",
    "Minimum Viable Turn": "quickstart.py",
    "session.turn": "quickstart.py",
    "turn.wrapLLM": "quickstart.py",
    "turn.recordTool": "rag.py",
    "turn.addRetrieval": "rag.py",
    "turn.setMessages": "quickstart.py",
    "turn.annotate": "feedback.py",
    "turn.finish": "error_handling.py",
    "Complete Example": "rag.py",
    "Error Handling": "error_handling.py",
    "Multiple Turns per Session": "feedback.py",
    "Always Call finish()": "error_handling.py",
    "Use setMessages() for Clarity": "quickstart.py",
    "Annotate Liberally": "feedback.py",
    "One Session per Chat Thread": "bot.py",
    "Attach UI Context via Annotations": "logging_provider.py",
    # "SDK Reference"
    "Initialize the SDK": "tuning.py",
    "Start a Session and Capture a Turn": "quickstart.py",
    "Lumina.identify": "login_logout.py",
    "Lumina.reset": "login_logout.py",
    "Lumina.getDistinctId": "login_logout.py",
    "Lumina.isAnonymous": "login_logout.py",
    "PostHog Integration": "posthog_replay.py",
    "Dummy Provider": "chat_input.py",
    "Chat Input Tracking": "chat_input.py",
    "PII Masking": "masking.py",
    "Custom System Analytics Provider": "logging_provider.py",
    "Initialize Once": "bot.py",
    "Use One Session Per Conversation": "feedback.py",
    "Identify Users Early": "login_logout.py",
    "Mask PII": "masking.py",
    "Streaming LLM Responses": "fastapi_app.py",
    "Error Handling & Retries": "retries.py",
    "Multi-Model Workflows": "multi_model.py",
    "RAG": "rag.py",
    "React Integration": "fastapi_app.py",
    "Next.js Integration": "fastapi_identity.py",
    "Express.js Integration": "aiohttp_identity.py",
    "Minimize Network Overhead": "tuning.py",
    "Async Finish for Better UX": "error_handling.py",
    "Reduce Payload Size": "selective_transcripts.py",
    "Not Calling finish()": "error_handling.py",
    "Creating Too Many Sessions": "feedback.py",
    "Blocking on Flush": "error_handling.py",
    "Not Handling Errors": "login_logout.py",
    "Unit Testing": "with_pytest/test_support_bot.py",
    "Provider Integration": "with_pytest/test_identity.py",
    "Integration Testing": "with_pytest/test_support_bot.py",
    "SDK Not Sending Events": "troubleshooting.py",
    "Events Not Appearing in Dashboard": "troubleshooting.py",
}

# What the original has not.
BEYOND = {"agent.py", "agent_frameworks.py", "costs.py", "opentelemetry_spans.py", "sentry_turns.py"}


@contextmanager
def collecting() -> Iterator[str]:
    """`lumina dev` in a process of its own; gives its address."""
    command = [*LUMINA, "dev", "--no-open", "--port", "0", "--db", ":memory:"]
    with running(command, r"The page: +(http://\S+)/") as url:
        yield url


@pytest.fixture(scope="module")
def collector() -> Iterator[str]:
    """One for all scripts: what each has stored is told apart by its `release`."""
    with collecting() as url:
        yield url


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310
        return bytes(answer.read())


def get(url: str) -> Any:
    return json.loads(fetch(url))


@attrs.frozen
class Ran:
    """An example that has ended well, with what it said and what is stored of it, in the order it came."""

    said: list[str]
    logged: str
    events: list[Event]

    def named(self, *names: str) -> list[Event]:
        return [event for event in self.events if event["name"] in names]

    @property
    def turns(self) -> list[Event]:
        return self.named("turn")


def run(collector: str, name: str) -> Ran:
    """Run an example as its docstring says, and read what it stored."""
    environment = {
        **os.environ,
        "LUMINA_ENDPOINT": collector,
        "LUMINA_WRITE_KEY": "gi_dev",
        "LUMINA_RELEASE": name,
        "PYTHONWARNINGS": "error",
    }
    command = [sys.executable, str(EXAMPLES / name)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    assert "stored: True" in done.stdout.splitlines()
    events = [json.loads(line) for line in fetch(f"{collector}/api/export").splitlines()]
    return Ran(done.stdout.splitlines(), done.stderr, [event for event in events if event.get("release") == name])


def facts(items: list[Event], *names: str) -> list[tuple[Any, ...]]:
    """Return these fields of each item."""
    return [tuple(item.get(name) for name in names) for item in items]


def said(turn: Event) -> list[str]:
    return [message["content"] for message in turn["messages"]]


def test_each_example_of_the_original_has_its_counterpart() -> None:
    """By the headings of its two documents; and each of our examples is there for one of them, or for what is new."""
    ours = {str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*.py") if path.name != "conftest.py"}
    assert {*COUNTERPARTS.values()} | BEYOND | {"with_pytest/support_bot.py"} == ours


def test_the_quickstart_stores_one_turn_and_is_short(collector: str) -> None:
    """As pasted it ends with `stored: True` and no word more, in less than 20 lines of code."""
    source = (EXAMPLES / "quickstart.py").read_text()
    assert len([line for line in source.splitlines() if line.strip()]) < 20
    ran = run(collector, "quickstart.py")
    assert (ran.said, ran.logged) == (["stored: True"], "")
    [turn] = ran.turns
    assert (turn["distinct_id"], turn["status"], turn["llm"][0]["model"]) == ("ada", "ok", "my-model")
    assert said(turn) == ["Hello?", "Hello Ada!"]


def test_rag(collector: str) -> None:
    """Tools and what was found are stored alike, recorded by calls and by decorators."""
    by_calls, decorated = run(collector, "rag.py").turns
    tool = ("name", "status", "type", "target", "version", "meta")
    searched = ("semantic_search", "ok", "retrieval", "shop-docs", "v1")
    assert facts(by_calls["tools"], *tool) == [(*searched, {"top_k": 5}), ("rerank", "ok", None, None, None, None)]
    assert facts(decorated["tools"], *tool) == [("find", "ok", None, None, None, None), (*searched, None)]
    for turn, question, best in (
        (by_calls, "How long takes a parcel?", "delivery"),
        (decorated, "How do I grind for a French press?", "grind"),
    ):
        [found] = turn["retrievals"]
        assert (found["source"], found["query"]) == ("shop-docs", question)
        assert max(found["results"], key=lambda result: result["score"])["id"] == best
        assert facts(turn["llm"], "model", "prompt_id", "status") == [("scripted-1", "rag_v1", "ok")]
        assert turn["annotations"]["context_length"] > 0


def test_retries(collector: str) -> None:
    """Every attempt is a call of the one turn; what the app got over is no error of the turn."""
    ran = run(collector, "retries.py")
    recovered, failed = ran.turns
    attempts = [("scripted-large", "error"), ("scripted-large", "error")]
    assert facts(recovered["llm"], "model", "status") == [*attempts, ("scripted-small", "ok")]
    assert facts(failed["llm"], "model", "status") == [*attempts, ("scripted-small", "error")]
    assert [call["meta"]["attempt"] for call in recovered["llm"]] == [1, 2, 3]
    assert (recovered["status"], recovered["annotations"]) == ("ok", {"attempts": 3, "fallback_used": True})
    assert (failed["status"], failed["error"]["type"]) == ("error", "__main__.OverloadedError")
    assert said(failed) == ["Write me a poem."]
    assert ran.said[:2] == ["Your parcel is on its way.", "Sorry, I cannot answer just now."]


def test_error_handling(collector: str) -> None:
    """A caught error is one of the call alone; one that leaves, or that `finish` is told of, is one of the turn."""
    turns = run(collector, "error_handling.py").turns
    assert [turn["status"] for turn in turns] == ["ok", "error", "error", "ok", "error"]
    recovered, passed_on, by_hand, well, refused = turns
    assert recovered["annotations"]["error_recovery"] == "showed_cached_response"
    for turn in (recovered, passed_on, by_hand):
        [call] = turn["llm"]
        assert (call["status"], call["error"]["message"]) == ("error", "API rate limit exceeded")
    assert passed_on["error"]["type"] == "__main__.RateLimitError"
    assert said(well) == ["Hello?", "Hello!"]
    assert refused["error"]["message"] == "the question is empty"


def test_multi_model(collector: str) -> None:
    """A turn for each step of the chain, in one session."""
    first, second = run(collector, "multi_model.py").turns
    assert (first["session_id"], first["seq"], second["seq"]) == (second["session_id"], 1, 2)
    assert [turn["llm"][0]["model"] for turn in (first, second)] == ["scripted-mini", "scripted-large"]
    assert first["annotations"] == {"step": "classification", "category": "billing"}
    assert second["annotations"] == {"step": "generation", "category": "billing"}
    assert said(second)[1] == "I have passed it to billing."


def test_selective_transcripts(collector: str) -> None:
    """The words of the one, only the facts of the other."""
    omitted, kept = run(collector, "selective_transcripts.py").turns
    assert omitted["annotations"] == {"transcript_omitted": True}
    assert "messages" not in omitted
    assert said(kept) == ["How long is this question?", "You said 26 characters."]
    assert all(turn["llm"][0]["latency_ms"] > 0 for turn in (omitted, kept))


def test_masking(collector: str) -> None:
    """Our mask and the example's own hide what they should and nothing else; the app itself sees all."""
    ran = run(collector, "masking.py")
    hidden = "I am [CUSTOMER], mail [EMAIL] or call [PHONE]; my order is 2024-1042."
    assert said(ran.turns[0]) == [hidden, f"I have noted: {hidden}"]
    assert "ada@example.com" in ran.said[0]


def test_opentelemetry_spans(collector: str) -> None:
    """The turn is the root, with the app's own query and the call of the model in it."""
    ran = run(collector, "opentelemetry_spans.py")
    spans = [said for said in ran.said if re.match("[0-9a-f]{16}", said)]
    [(root, session)] = re.findall(r"^(\w{16}): invoke_agent (\w+)", "\n".join(spans), re.MULTILINE)
    assert session == "traced"
    assert [said.partition(f" in {root}: ")[2].split()[0] for said in spans if root not in said[:16]] == [
        "db.query",
        "chat",
    ]
    assert facts(ran.turns, "session_id", "status") == [("traced", "ok")]


@pytest.mark.node
def test_agent(collector: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three calls of the model and one of the tool, each for itself, without a word about recording in the loop."""
    usage = {"prompt_tokens": 11, "completion_tokens": 9, "total_tokens": 20}
    call = {"name": "find_order", "arguments": '{"number": 1042}'}
    first = fixture("1042", toolCalls=[call], usage=usage)
    then = fixture("1042", content="It left on Monday.", usage=usage)
    first["match"]["hasToolResult"], then["match"]["hasToolResult"] = False, True
    with aimock(tmp_path, first, then) as url:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        monkeypatch.setenv("OPENAI_API_KEY", "unused")
        [turn] = run(collector, "agent.py").turns
    assert [call["usage"]["output_tokens"] for call in turn["llm"]] == [9, 9, 9]
    assert turn["llm"][0]["tool_calls"][0]["name"] == turn["tools"][0]["name"] == "find_order"
    assert turn["llm"][2]["outcome"] == "completed"
    assert said(turn)[1] == turn["llm"][2]["output"] == "It left on Monday."


def test_agent_frameworks(collector: str) -> None:
    """LangChain asks once, pydantic-ai twice: for the tool, and with what it found."""
    chain, agent = run(collector, "agent_frameworks.py").turns
    assert [call["output"] for call in chain["llm"]] == ["Bonjour !"]
    assert [call.get("output") for call in agent["llm"]] == [None, "It is on its way."]
    assert agent["llm"][0]["tool_calls"][0]["name"] == "find_order"


def test_sentry_turns(collector: str) -> None:
    """The turn is a transaction with the call of the model, and the message names it."""
    ran = run(collector, "sentry_turns.py")
    assert {"a strange answer watched", "invoke_agent watched gen_ai.chat"} < {*ran.said}
    assert facts(ran.turns, "session_id", "status") == [("watched", "ok")]


def test_costs(collector: str) -> None:
    """By the list of prices, by the app's own word, and not at all; the page's API has it with the turn."""
    ran = run(collector, "costs.py")
    assert ran.said[1:] == [
        "the turn: $0.10, and 1 call without a price",
        "a call: $0.09 by genai-prices",
        "a call: $0.01 by sender",
        "a call: not known",
    ]
    [turn] = ran.turns
    assert [call["usage"]["output_tokens"] for call in turn["llm"]] == [50_000] * 3


def test_bot(collector: str) -> None:
    """Two chats at once: each turn is with its own user, in its own session, numbered on."""
    ran = run(collector, "bot.py")
    for user, chat, first in (("ada", "chat_1", "Hello!"), ("ben", "chat_2", "Good morning!")):
        turns = [turn for turn in ran.turns if turn["session_id"] == chat]
        assert facts(turns, "distinct_id", "seq") == [(user, 1), (user, 2)]
        assert said(turns[0]) == [first, first]
    assert sorted(event["session_id"] for event in ran.named("session_started")) == ["chat_1", "chat_2"]


def test_feedback(collector: str) -> None:
    """A turn of annotations alone is a turn; feedback names an earlier turn and is found with it."""
    ran = run(collector, "feedback.py")
    first, _, thumb = ran.turns
    [session] = ran.named("session_started")
    [feedback] = ran.named("feedback")
    assert session["pointers"] == {"ticket": "T-17", "page": "/subscriptions"}
    assert [turn["seq"] for turn in ran.turns] == [1, 2, 3]
    assert (thumb["annotations"]["feedback"], thumb.get("llm")) == ("thumbs_up", None)
    assert (feedback["turn_id"], feedback["score"], feedback["label"]) == (first["turn_id"], 4, "helpful")
    assert feedback["comment"] == "Clear, but which tenth?"
    assert get(f"{collector}/api/turns/{first['turn_id']}")["feedback"][0]["event_id"] == feedback["event_id"]


def test_login_logout(collector: str) -> None:
    """The visitor becomes the user within one session; after the logout both are new."""
    ran = run(collector, "login_logout.py")
    before, after, out = ran.turns
    [identify] = ran.named("identify")
    assert ran.said[:3] == ["anonymous: before the login", "user_123: after the login", "anonymous: after the logout"]
    assert (before["anonymous"], after["anonymous"], out["anonymous"]) == (True, False, True)
    assert (identify["distinct_id"], identify["previous_id"]) == ("user_123", before["distinct_id"])
    assert identify["properties"] == {"email": "ada@example.com", "name": "Ada"}
    assert (after["distinct_id"], after["session_id"]) == ("user_123", before["session_id"])
    assert out["distinct_id"] not in {before["distinct_id"], "user_123"}
    assert out["session_id"] != before["session_id"]


def test_chat_input(collector: str) -> None:
    """How long and how much, but not a word of what was not sent."""
    ran = run(collector, "chat_input.py")
    names = ["chat_input_started", "chat_message_submitted", "chat_input_started", "chat_input_abandoned"]
    assert [event["name"] for event in ran.events] == ["session_started", *names]
    sent, abandoned = ran.named("chat_message_submitted", "chat_input_abandoned")
    assert (sent["message_id"], sent["character_count"], sent["typing_duration_ms"] >= 50) == ("message_1", 19, True)
    assert (abandoned["character_count"], len(abandoned["partial_content_hash"])) == (17, 64)
    assert "money" not in json.dumps(ran.events)


def test_tuning(collector: str) -> None:
    """A hundred people, each with a session and a turn of their own, and no event lost."""
    ran = run(collector, "tuning.py")
    assert ran.said == ["stored: True", "200 captured, 200 stored, 0 lost"]
    assert {turn["distinct_id"] for turn in ran.turns} == {f"user_{number}" for number in range(100)}
    assert len({turn["session_id"] for turn in ran.turns}) == 100


def test_troubleshooting(collector: str) -> None:
    """It tells what was recorded and where it is, and shows the operations but not the key."""
    ran = run(collector, "troubleshooting.py")
    assert ran.said == ["initialised: True", "stored: True", "captured: 2", "waiting: 0", "paused: False", "lost: 0 {}"]
    assert "status 200" in ran.logged
    assert "gi_dev" not in ran.logged


def test_logging_provider(collector: str) -> None:
    """The providers are told of everything; what the UI provider knows is stored with the turn."""
    ran = run(collector, "logging_provider.py")
    assert [turn["ui"]["session_id"] for turn in ran.turns] == ["visit-7", "visit-7"]
    assert ran.turns[0]["ui"]["replay_url"] == "https://replay.example/visit-7"
    logged = ran.logged.splitlines()
    assert [line for line in logged if line.startswith("system")] == [
        "system: turn 1, llm scripted-1 ok, error=None",
        "system: turn 1, tool plan_of ok, error=None",
        "system: turn 1 ok, error=None",
        "system: turn 2, llm scripted-1 error, error=LookupError",
        "system: turn 2, tool plan_of ok, error=None",
        "system: turn 2 error, error=LookupError",
        "system: closed",
    ]
    assert {"ui: ready", "ui: it is ada, with ['plan']", "ui: turn 2 of providers begins", "ui: closed"} <= {*logged}


async def test_posthog_replay(collector: str) -> None:
    """The session that the browser names is with the turn, with a link, and at PostHog with the trace."""
    session = "019a0000-0000-7000-8000-000000000001"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with posthog_host() as posthog:

        def visit() -> bytes:
            told = {"POSTHOG_KEY": "phc_example", "POSTHOG_HOST": posthog.url, "POSTHOG_PROJECT": "7"}
            ours = {"LUMINA_ENDPOINT": collector, "LUMINA_RELEASE": "posthog_replay.py", "PYTHONUNBUFFERED": "1"}
            command = [sys.executable, str(EXAMPLES / "posthog_replay.py")]
            with running(command, r"Running on (http://\S+)", **told, **ours, PORT=str(port)) as app:
                assert b'posthog.init("phc_example"' in fetch(app)
                headers = {"X-POSTHOG-SESSION-ID": session}
                request = urllib.request.Request(f"{app}/chat", b"text=Hello", headers)  # noqa: S310
                with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
                    return bytes(answer.read())

        # PostHog lives on this loop; whoever talks to it must not block it.
        assert await asyncio.to_thread(visit) == b"You said: Hello"
    stored = get(f"{collector}/api/events?name=turn")["items"]
    [turn] = [turn for turn in stored if turn.get("release") == "posthog_replay.py"]
    [trace] = posthog.named("$ai_trace")
    assert turn["ui"]["session_id"] == trace["properties"]["$session_id"] == session
    assert turn["ui"]["replay_url"].startswith(f"{posthog.url}/project/7/replay/{session}?t=")
    assert trace["properties"]["$ai_trace_id"] == turn["turn_id"]


def test_with_pytest() -> None:
    """The tests of the example pass, with warnings as errors, as those of an app would."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "examples/with_pytest"]
    done = subprocess.run(command, cwd=EXAMPLES.parent, capture_output=True, text=True, check=False, timeout=50)
    assert (done.returncode, "6 passed" in done.stdout) == (0, True), done.stdout


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
    turns: dict[str, Event]
    """By what the user said."""


def ask(app: str, path: str, text: str, browser: urllib.request.OpenerDirector, *, leaves: bool = False) -> Answer:
    body = json.dumps({"text": text}).encode()
    request = urllib.request.Request(f"{app}{path}", body, {"Content-Type": "application/json"})  # noqa: S310
    try:
        with browser.open(request, timeout=20) as answer:
            said = answer.read1() if leaves else answer.read()
            return Answer(answer.status, said.decode())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read().decode())


def fixtures() -> list[Event]:
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
            # Two browsers, which keep cookies.
            whole, streamed = (urllib.request.build_opener(urllib.request.HTTPCookieProcessor()) for _ in range(2))
            answers = {
                "hello": ask(app, "/chat", "hello", whole),
                "fail": ask(app, "/chat", "fail", whole),
                "count to ten": ask(app, "/chat/stream", "count to ten", streamed),
                "count again": ask(app, "/chat/stream", "count again", streamed, leaves=True),
                "break off": ask(app, "/chat/stream", "break off", streamed),
            }
        stored = get(f"{url}/api/events?name=turn")["items"]
        assert len(stored) == len(answers)
        yield Played(url, answers, {turn["messages"][0]["content"]: turn for turn in stored})


@pytest.mark.node
def test_fastapi_whole_answer(played: Played) -> None:
    """One turn, with the model, the prompt id, the visitor, the conversation by its cookie and what was said."""
    turn = played.turns["hello"]
    [call] = turn["llm"]
    assert played.answers["hello"] == Answer(200, '{"reply":"Hi there!"}')
    assert (turn["status"], turn["anonymous"], turn["seq"]) == ("ok", True, 1)
    who = {name: (asked["distinct_id"], asked["session_id"]) for name, asked in played.turns.items()}
    assert who["hello"] == who["fail"] != who["count to ten"] == who["count again"] == who["break off"]
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
    with browsing(f"{played.url}/#/sessions/{played.turns['count again']['session_id']}") as page:
        page.get_by_text(SLOW).wait_for()
        said = page.locator("main").inner_text().lower()
    assert "count again" in said
    assert "gpt-4o-mini" in said
    assert "cancelled" in said
    assert "apiconnectionerror" in said


@pytest.mark.browser
def test_the_page_shows_the_demo() -> None:
    """The page lists the demo's people and opens a conversation: who it was, what was used, what they thought."""
    process = subprocess.Popen([*LUMINA, "demo"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        url = next(match[1] for line in process.stdout if (match := re.search(r"The page: +(http\S+)/", line)))
        with browsing(f"{url}/#/sessions/returns", height=1020) as page:
            page.get_by_text("I asked about beans. Write to [EMAIL].").wait_for()
            page.get_by_text("earlier anonymous anon_").wait_for()
            page.locator("nav .row", has_text="Norway").get_by_text("earlier anonymous").wait_for()
            people = page.locator("nav").inner_text()
            page.locator(".step", has_text="help.txt").click()
            page.get_by_text("You can return an opened grinder").last.wait_for()
            if path := os.environ.get("LUMINA_SCREENSHOT"):
                page.locator("main").evaluate("main => { main.scrollTop = 0 }")
                page.screenshot(path=path)
    finally:
        process.terminate()
        process.communicate(timeout=20)
    assert all(name in people for name in ("nora", "ben", "chiara", "farid", "mei", "ines"))


IDENTITY = {
    "fastapi_identity.py": (
        ["uvicorn", "--app-dir", str(EXAMPLES), "fastapi_identity:app", "--port", "0"],
        r"Uvicorn running on (http://\S+)",
    ),
    "aiohttp_identity.py": (
        ["aiohttp.web", "-P", "0", "examples.aiohttp_identity:create_app"],
        r"Running on (http://\S+?) ",
    ),
}


@pytest.mark.parametrize("name", IDENTITY)
def test_identity(collector: str, name: str) -> None:
    """As its docstring says: the first two conversations are Ada's, the third is a new visitor's."""
    command, ready = IDENTITY[name]
    settings = {"LUMINA_ENDPOINT": collector, "LUMINA_WRITE_KEY": "gi_dev", "LUMINA_RELEASE": name}
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    who = []
    with running([sys.executable, "-m", *command], ready, **settings) as app:
        for path in ("/chat", "/login", "/chat", "/logout", "/chat"):
            body = json.dumps({"text": "Hello", "user": "ada"}).encode()
            request = urllib.request.Request(f"{app}{path}", body, {"Content-Type": "application/json"})  # noqa: S310
            with browser.open(request, timeout=20) as answer:
                who.append(json.load(answer)["who"])
    events = [json.loads(line) for line in fetch(f"{collector}/api/export").splitlines()]
    turns = [event for event in events if event.get("release") == name and event["name"] == "turn"]
    assert [turn["distinct_id"] for turn in turns] == [who[0], "ada", who[4]]
    assert who[0] != who[3] == who[4]
    known = get(f"{collector}/api/users/ada")
    assert who[0] in json.dumps(known)
    assert who[4] not in json.dumps(known)


@pytest.mark.browser
@pytest.mark.parametrize("name", IDENTITY)
def test_the_page_of_identity(collector: str, name: str) -> None:
    """In a browser: a visitor says something, logs in, types and leaves; the message that was not sent is known of."""
    command, ready = IDENTITY[name]
    settings = {"LUMINA_ENDPOINT": collector, "LUMINA_WRITE_KEY": "gi_dev", "LUMINA_RELEASE": f"page of {name}"}
    with running([sys.executable, "-m", *command], ready, **settings) as app, browsing(app) as page:
        page.get_by_label("Message").press_sequentially("Hello")
        page.get_by_role("button", name="Send").click()
        page.get_by_text("You said: Hello").wait_for()
        page.get_by_role("button", name="Log in").click()
        page.get_by_text("ada: is here").wait_for()
        page.get_by_label("Message").press_sequentially("Never mind")
        page.goto("about:blank")
    events = [json.loads(line) for line in fetch(f"{collector}/api/export").splitlines()]
    seen = [(event["name"], event["distinct_id"]) for event in events if event.get("release") == f"page of {name}"]
    assert ("chat_message_submitted", seen[0][1]) in seen
    assert ("chat_input_abandoned", "ada") in seen
