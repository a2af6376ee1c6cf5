"""Events as a table for a spreadsheet, which must not take any text in it for a formula (FAULTS C20)."""

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any, cast

import orjson

from lumina_async.collector.store import StoredEvent

_PLAIN = ("event_id", "name", "ts", "distinct_id", "session_id", "turn_id", "seq", "status", "started_at", "latency_ms")
_CALLS = ("provider", "prompt_id", "outcome", "input_tokens", "output_tokens", "cost_usd")
COLUMNS = (*_PLAIN, "model", "user", "assistant", "error", *_CALLS, "event")
"""The common fields, the first model, the last words of both sides, the kind of the error; of the calls of models the
first provider and prompt, the first outcome that is not `completed`, the sums of the tokens, and what is known of their
cost; the whole event as JSON.
"""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def header() -> bytes:
    """Return the first line, after a byte order mark: without one Excel takes UTF-8 for something else."""
    return b"\xef\xbb\xbf" + _lines([COLUMNS])


def rows(events: Iterable[StoredEvent]) -> bytes:
    """Return one line for each event."""
    return _lines([cell(value) for value in _values(event.body, event.cost)] for event in events)


def cell(value: object) -> str:
    """Return a value as the text of a cell; one that a spreadsheet would compute begins with an apostrophe."""
    text = value if isinstance(value, str) else "" if value is None else _json(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _json(value: object) -> str:
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # It reads what nests deeper than it writes.
        return "[too deep]"


def _values(body: str, cost: str | None) -> list[object]:
    event = cast("Mapping[str, Any]", orjson.loads(body))
    said = {str(message.get("role")): message.get("content") for message in _objects(event.get("messages"))}
    calls = _objects(event.get("llm"))
    model = next((call.get("model") for call in calls), None)
    error = event.get("error")
    kind = cast("Mapping[str, Any]", error).get("type") if isinstance(error, dict) else error
    words = said.get("user"), said.get("assistant")
    return [*(event.get(name) for name in _PLAIN), model, *words, kind, *_of_calls(calls), _usd(cost), body]


def _of_calls(calls: list[Mapping[Any, Any]]) -> list[object]:
    outcomes = [call["outcome"] for call in calls if call.get("outcome")]
    outcome = next((one for one in outcomes if one != "completed"), outcomes[0] if outcomes else None)
    return [
        next((call["provider"] for call in calls if call.get("provider")), None),
        next((call["prompt_id"] for call in calls if call.get("prompt_id")), None),
        outcome,
        _sum(calls, "input_tokens"),
        _sum(calls, "output_tokens"),
    ]


def _sum(calls: list[Mapping[Any, Any]], name: str) -> int | None:
    told = [
        cast("Mapping[Any, Any]", usage).get(name) for call in calls if isinstance(usage := call.get("usage"), dict)
    ]
    counts = [tokens for tokens in told if type(tokens) is int]
    return sum(counts) if counts else None


def _usd(cost: str | None) -> object:
    return None if cost is None else orjson.loads(cost)["usd"]


def _objects(value: object) -> list[Mapping[Any, Any]]:
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("Mapping[Any, Any]", item) for item in items if isinstance(item, dict)]


def _lines(cells: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(cells)
    return text.getvalue().encode()
