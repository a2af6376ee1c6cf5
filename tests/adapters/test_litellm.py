"""The real LiteLLM against aimock: the module and a router, whole and streamed, async and blocking."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from e2e.aimock import aimock, fixture

TESTS = Path(__file__).parents[1]
USAGE = {"prompt_tokens": 11, "completion_tokens": 9, "total_tokens": 20}
USED = {"input_tokens": 11, "output_tokens": 9}
SLOW = "One two three four five six seven eight nine ten."
FIXTURES = [
    fixture("hello", content="Hi there!", usage=USAGE),
    fixture("tools", toolCalls=[{"name": "search", "arguments": '{"q": "beans"}'}], usage=USAGE),
    fixture("limit", error={"message": "slow down", "type": "rate_limit_error"}, status=429),
    fixture("cut", content=SLOW, usage=USAGE, latency=20, chunkSize=5, truncateAfterChunks=5),
]

pytestmark = [pytest.mark.node, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one process saw, and the calls that were recorded in each of its turns."""
    paths = {"PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])}
    with aimock(tmp_path_factory.mktemp("aimock"), *FIXTURES) as url:
        command = [sys.executable, str(TESTS / "adapters" / "litellm_calls.py"), url]
        done = subprocess.run(command, check=False, env=os.environ | paths, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_the_app_gets_what_it_would_get(told: dict[str, Any]) -> None:
    """Answers, streams and errors are LiteLLM's own, outside a turn and in one."""
    others = {"tools": "", "blocking": "Hi there! Hi there!"}
    others |= dict.fromkeys(("refused", "cut"), "litellm.exceptions")
    assert told["seen"] == {name: others.get(name, "Hi there!") for name in told["seen"]}


@pytest.mark.parametrize("name", ["whole", "with_usage", "blocking", "routed", "both"])
def test_calls_are_recorded(told: dict[str, Any], name: str) -> None:
    """Model, provider, tokens, end and text; a call inside `wrap_llm`, or inside a router's, is no second record."""
    calls = told["recorded"][name]
    assert len(calls) == (2 if name == "blocking" else 1)
    for call in calls:
        assert (call["provider"], call["response_model"], call["usage"]) == ("openai", "gpt-4o-mini", USED)
        assert (call["output"], call["finish_reason"], call["status"]) == ("Hi there!", "stop", "ok")
    assert calls[0].get("model") == {"routed": "chat", "both": None}.get(name, "openai/gpt-4o-mini")


def test_a_stream_that_was_not_asked_for_its_usage_has_none(told: dict[str, Any]) -> None:
    """Tokens are never guessed."""
    [call] = told["recorded"]["streamed"]
    assert ("usage" in call, call["outcome"], call["output"]) == (False, "completed", "Hi there!")


def test_tools_and_errors(told: dict[str, Any]) -> None:
    """The tool asked for in a stream; a refusal; and a cut stream with the text up to there."""
    [[tools], [refused], [cut]] = (told["recorded"][name] for name in ("tools", "refused", "cut"))
    assert [(one["name"], one["arguments"]) for one in tools["tool_calls"]] == [("search", {"q": "beans"})]
    assert (refused["status"], refused["error"]["type"]) == ("error", "litellm.exceptions.RateLimitError")
    assert (cut["status"], cut["outcome"]) == ("error", "provider_error")
    assert SLOW.startswith(cut["output"])
    assert 0 < len(cut["output"]) < len(SLOW)


def test_it_can_be_undone(told: dict[str, Any]) -> None:
    """After `uninstrument` nothing is recorded any more."""
    assert told["recorded"]["undone"] == []
