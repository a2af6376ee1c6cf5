"""The wire: golden lines, one per kind, and events that are too large."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, strategies as st

from lumina_async import _encode
from lumina_async._encode import Encoder, rfc3339
from lumina_async._events import (
    Answer,
    Call,
    ErrorInfo,
    Event,
    EventName,
    LlmCall,
    Origin,
    Outcome,
    PlainEvent,
    SdkReport,
    Status,
    ToolRun,
    TurnEvent,
    Ui,
)
from lumina_async._shrink import shrink

GOLDEN = Path(__file__).parent / "golden"
NOW = 1_795_000_000_123_456_789
ID = "01a1fc8a-39b1-7fd7-b409-8dd7de4f0493"
WHO = Origin(distinct_id="user_1", anonymous=False, session_id="chat_42", trace_id="53a2c422ad3fe75a9ab0739c6d77c3fe")
ERROR = ErrorInfo(type="app.Boom", message="it broke", stack=("app:answer:7",), at_ns=NOW)


def fragment(value: object) -> orjson.Fragment:
    return orjson.Fragment(orjson.dumps(value))


def turn(**changes: Any) -> TurnEvent:
    stream = LlmCall(
        Call(
            span_id="b6e574ad548e7aeb",
            started_ns=NOW,
            began=0,
            ended=1_500_000_000,
            status=Status.CANCELLED,
            meta=fragment({"temperature": 0.5}),
            input=fragment("Say it"),
        ),
        model="m",
        prompt_id="p",
        provider="openai",
        streaming=True,
        outcome=Outcome.CLIENT_GONE,
        first=250_000_000,
        chunks=7,
        last=1_200_000_000,
        longest_gap=90_000_000,
        answer=Answer(
            response_model="m-2026",
            response_id="r-1",
            usage={"input_tokens": 11, "output_tokens": 9, "cached_input_tokens": 4},
            finish_reason="tool_calls",
            tool_calls=fragment([{"id": "call_1", "name": "search", "arguments": {"q": "x"}}]),
        ),
    )
    broken = LlmCall(Call("c1c87f40349b0930", NOW, began=5, ended=5, status=Status.ERROR, error=ERROR))
    tool = ToolRun(Call("d4cfe5a500d2e154", NOW, 0, 4_000_000, output=fragment([1])), "search", "db", "pg", "v1")
    look_up = fragment({"source": "docs", "query": "q", "results": [{"id": "d1", "score": 0.5, "content": "c"}]})
    facts: dict[str, Any] = {
        "event_id": ID,
        "origin": WHO,
        "turn_id": "5f3e5ee9e81c8c6e",
        "parent_id": "f84ccc7a32fc3f86",
        "seq": 2,
        "status": Status.CANCELLED,
        "started_ns": NOW,
        "latency_ns": 2_000_000_000,
        "capture": "full",
        "llm": (stream, broken),
        "tools": (tool,),
        "retrievals": (look_up,),
        "ui": Ui(session_id="ph-1", window_id="w-1", replay_url="https://example.com/replay"),
        "messages": fragment([{"role": "user", "content": "Hällo"}]),
        "annotations": {"helpful": fragment(True)},
        "error": ERROR,
        "notes": ("a note",),
    }
    return TurnEvent(**(facts | changes))


def plain(name: EventName, **fields: Any) -> PlainEvent:
    return PlainEvent(event_id=ID, name=name, origin=WHO, at_ns=NOW, fields=fields)


BARE = {"parent_id": None, "llm": (), "tools": (), "retrievals": (), "messages": None, "annotations": {}}
BARE |= {"ui": None, "error": None, "notes": ()}
LEDGER = {"captured": 9, "adopted": 0, "stored": 5, "queued": 1, "in_flight": 1, "spooled": 0, "sampled_out": 0}
KINDS: dict[str, Event] = {
    "turn": turn(),
    "turn_minimal": turn(**BARE),
    "session_started": plain(EventName.SESSION_STARTED, pointers=fragment({"ticket": "T-1"})),
    "identify": plain(EventName.IDENTIFY, previous_id="anon_1", properties=fragment({"plan": "pro"})),
    "feedback": plain(
        EventName.FEEDBACK,
        turn_id="5f3e5ee9e81c8c6e",
        kind="nps",
        score=9,
        label="good",
        comment=fragment("Yes"),
        feedback_source="user",
    ),
    "chat_input_started": plain(EventName.CHAT_INPUT_STARTED),
    "chat_message_submitted": plain(
        EventName.CHAT_MESSAGE_SUBMITTED, typing_duration_ms=1_200, character_count=5, message_id="m1"
    ),
    "chat_input_abandoned": plain(
        EventName.CHAT_INPUT_ABANDONED, typing_duration_ms=80, character_count=2, partial_content_hash="00ff"
    ),
    "sdk_report": SdkReport(
        event_id=ID, client_id="00f067aa0ba902b7", at_ns=NOW, ledger=LEDGER | {"open_turns": 0}, lost={"rejected": 2}
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_event_has_its_golden_line(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wire changes only with a changelog line: tests/golden fixes it for both sides (SPEC 7)."""
    monkeypatch.setattr(_encode, "__version__", "0.0.0")
    line = Encoder(900_000, "production", "1.2.3").line(KINDS[kind])
    assert line == (GOLDEN / f"{kind}.ndjson").read_bytes()


def test_a_line_is_an_exact_copy() -> None:
    """What waits in the queue pins no more than its own bytes."""
    line = Encoder(900_000).line(turn())
    assert isinstance(line, bytes)
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1


@pytest.mark.parametrize(
    ("ns", "text"),
    [(0, "1970-01-01T00:00:00.000Z"), (NOW, "2026-11-18T11:06:40.123Z"), (999_999_999, "1970-01-01T00:00:00.999Z")],
)
def test_moments_are_rfc_3339_in_utc_with_milliseconds(ns: int, text: str) -> None:
    """Cut, not rounded."""
    assert rfc3339(ns) == text


@pytest.mark.parametrize("excess", [0, 1], ids=["at the limit", "one byte above"])
def test_the_limit_of_an_event_is_exact(excess: int) -> None:
    """At max_event_bytes a line stays as it is; one byte above its texts are cut, with a note (FAULTS Q2)."""
    event = turn(messages=fragment([{"role": "user", "content": "x" * 50_000}]))
    line = Encoder(1 << 30).line(event)
    assert line is not None
    limited = Encoder(len(line) - excess).line(event)
    assert limited is not None
    assert (limited == line) is (excess == 0)
    assert (b"its longest texts were cut" in limited) is (excess == 1)


def test_content_goes_before_the_event() -> None:
    """Where cutting does not help, content is dropped and the facts stay; where that does not help, nothing is left."""
    crowd = turn(annotations={f"k{number}": fragment("x" * 50) for number in range(1_000)})
    line = Encoder(2_000).line(crowd)
    assert line is not None
    fields = orjson.loads(line)
    assert "annotations" not in fields
    assert (fields["event_id"], fields["status"]) == (ID, "cancelled")
    assert Encoder(100).line(crowd) is None


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=400), max_size=20), st.integers(200, 3_000))
def test_shrinking_ends_within_the_limit_or_not_at_all(texts: dict[str, str], limit: int) -> None:
    """No result is larger than the limit (FAULTS Q2)."""
    line = orjson.dumps({"event_id": ID, "annotations": texts}) + b"\n"
    shrunk = shrink(line, limit)
    assert shrunk is None or len(shrunk) <= limit
