"""Events as a table for a spreadsheet, which must not take any text in it for a formula (FAULTS C20)."""

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any, cast

import orjson

_PLAIN = ("event_id", "name", "ts", "distinct_id", "session_id", "turn_id", "seq", "status", "started_at", "latency_ms")
COLUMNS = (*_PLAIN, "model", "user", "assistant", "error", "event")
"""The common fields, the first model, the last words of both sides, the kind of the error; the whole event as JSON."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def header() -> bytes:
    """Return the first line, after a byte order mark: without one Excel takes UTF-8 for something else."""
    return b"\xef\xbb\xbf" + _lines([COLUMNS])


def rows(bodies: Iterable[str]) -> bytes:
    """Return one line for each event, given as its JSON text."""
    return _lines([cell(value) for value in _values(body)] for body in bodies)


def cell(value: object) -> str:
    """Return a value as the text of a cell; one that a spreadsheet would compute begins with an apostrophe."""
    text = value if isinstance(value, str) else "" if value is None else _json(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _json(value: object) -> str:
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # It reads what nests deeper than it writes.
        return "[too deep]"


def _values(body: str) -> list[object]:
    event = cast("Mapping[str, Any]", orjson.loads(body))
    said = {str(message.get("role")): message.get("content") for message in _objects(event.get("messages"))}
    model = next((call.get("model") for call in _objects(event.get("llm"))), None)
    error = event.get("error")
    kind = cast("Mapping[str, Any]", error).get("type") if isinstance(error, dict) else error
    return [*(event.get(name) for name in _PLAIN), model, said.get("user"), said.get("assistant"), kind, body]


def _objects(value: object) -> list[Mapping[Any, Any]]:
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("Mapping[Any, Any]", item) for item in items if isinstance(item, dict)]


def _lines(cells: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(cells)
    return text.getvalue().encode()
