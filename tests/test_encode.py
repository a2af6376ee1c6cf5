"""The wire: golden lines, one per kind, and events that are too large."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, strategies as st

from lumina_async import _encode
from lumina_async._encode import Encoder, rfc3339
from lumina_async._events import (
    ErrorInfo,
    Event,
    LlmCall,
    Origin,
    Outcome,
    SdkReport,
    SessionStarted,
    Status,
    TurnEvent,
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
    calls = (
        LlmCall(
            span_id="b6e574ad548e7aeb",
            started_ns=NOW,
            latency_ns=1_500_000_000,
            status=Status.CANCELLED,
            model="m",
            prompt_id="p",
            provider="openai",
            streaming=True,
            outcome=Outcome.CLIENT_GONE,
            ttft_ns=250_000_000,
            chunks=7,
            longest_gap_ns=90_000_000,
            meta=fragment({"temperature": 0.5}),
        ),
        LlmCall(span_id="c1c87f40349b0930", started_ns=NOW, latency_ns=0, status=Status.ERROR, error=ERROR),
    )
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
        "llm": calls,
        "messages": fragment([{"role": "user", "content": "Hällo"}]),
        "annotations": {"helpful": fragment(True)},
        "error": ERROR,
        "notes": ("a note",),
    }
    return TurnEvent(**(facts | changes))


LEDGER = {"captured": 9, "adopted": 0, "stored": 5, "queued": 1, "in_flight": 1, "spooled": 0, "sampled_out": 0}
KINDS: dict[str, Event] = {
    "turn": turn(),
    "turn_minimal": turn(parent_id=None, llm=(), messages=None, annotations={}, error=None, notes=()),
    "session_started": SessionStarted(event_id=ID, origin=WHO, at_ns=NOW, pointers=fragment({"ticket": "T-1"})),
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
