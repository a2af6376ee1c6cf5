"""Which fields of an event are looked up or counted, and what they must be.

Three rules, by what the field is for:

1. What an event is found by (`name`, `session_id`, `trace_id`, `distinct_id`, `turn_id`, `client_id`) must be a text of
   at most 200 characters, or be absent, null or empty; anything else is `bad_event`. `name` must be there.
2. What is only shown, counted or ordered by (`started_at`, `seq`, `status`, `anonymous`, `messages`, `pointers`,
   `lost`) counts as absent when it is not what it should be. The event itself keeps it as it was sent. The same holds
   for what an `identify` tells beside its `distinct_id`: `previous_id` and `properties`.
3. Every other field is kept and never looked at.
"""

import re
from collections.abc import Mapping
from typing import Any, cast

import orjson

from lumina_async._events import WIRE_VERSION, EventName
from lumina_async._trace import event_id_ms
from lumina_async.collector.costs import cost_of
from lumina_async.collector.store import Row

ID_CHARACTERS = 200
PREVIEW_CHARACTERS = 120
ANONYMOUS_PREFIX = "anon_"
"""How every id begins that an SDK makes for a visitor."""
_OBJECT_BYTES = 16 * 1024
_MAX_COUNT = 2**53
_MAX_REASONS = 64
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", re.ASCII)

Fields = dict[str, Any]
"""A JSON object."""


class Rejected(Exception):  # noqa: N818  (it is caught one call up and becomes an item of the answer, never an error)
    """A line is not stored."""

    def __init__(self, code: str, message: str, event_id: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.event_id = event_id


def row_of(event: Fields, body: str, *, oldest_ms: int, newest_ms: int) -> Row:
    """Return the row of a parsed event.

    Args:
        event: The JSON object of the line, with an `event_id`.
        body: Its text.
        oldest_ms: The earliest time, in milliseconds since the epoch, that an id may hold.
        newest_ms: The latest.

    Raises:
        Rejected: With `bad_id`, `too_old`, `unsupported_version` or `bad_event`.
    """
    event_id = _checked_id(event, oldest_ms, newest_ms)
    try:
        _check_version(event)
        name = _text(event, "name")
        if name is None:
            raise Rejected("bad_event", "The event has no `name`.")
        anonymous = event.get("anonymous")
        return Row(
            event_id=event_id,
            name=name,
            body=body,
            session_id=_text(event, "session_id"),
            trace_id=_text(event, "trace_id"),
            distinct_id=_text(event, "distinct_id"),
            anonymous=anonymous if isinstance(anonymous, bool) else None,
            turn_id=_text(event, "turn_id"),
            started_at=_time(event.get("started_at")) or _time(event.get("ts")),
            **_facts_of(name, event),
        )
    except Rejected as why:
        why.event_id = event_id
        raise


def _checked_id(event: Fields, oldest_ms: int, newest_ms: int) -> str:
    event_id = event["event_id"]
    at_ms = event_id_ms(event_id)
    if at_ms is None:
        raise Rejected("bad_id", "`event_id` is no UUIDv7 in lower case.")
    if at_ms > newest_ms:
        raise Rejected("bad_id", "The time in `event_id` is too far ahead of the collector's clock.", event_id)
    if at_ms < oldest_ms:
        raise Rejected("too_old", "The time in `event_id` is older than what is kept here.", event_id)
    return cast("str", event_id)


def _check_version(event: Fields) -> None:
    version = event.get("v", WIRE_VERSION)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise Rejected("bad_event", "`v` is no whole number from 1 on.")
    if version > WIRE_VERSION:
        raise Rejected("unsupported_version", f"This collector reads `v` up to {WIRE_VERSION}. Upgrade it first.")


def _text(event: Fields, key: str) -> str | None:
    value = event.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise Rejected("bad_event", f"`{key}` is no text.")
    if len(value) > ID_CHARACTERS:
        raise Rejected("bad_event", f"`{key}` has more than {ID_CHARACTERS} characters.")
    return value


def _time(value: object) -> str:
    return value if isinstance(value, str) and _RFC3339.fullmatch(value) else ""


def _facts_of(name: str, event: Fields) -> Fields:
    if name == EventName.TURN:
        seq = _count(event.get("seq")) or 0
        return {"status": _status(event), "seq": seq, "preview": _preview(event), "cost": cost_of(event)}
    if name == EventName.SESSION_STARTED:
        return {"pointers": _object(event.get("pointers"))}
    if name == EventName.IDENTIFY:
        return _identified(event)
    if name == EventName.SDK_REPORT:
        return {"client_id": _text(event, "client_id"), "lost": _lost(event.get("lost"))}
    return {}


def _identified(event: Fields) -> Fields:
    user_id = event.get("distinct_id")
    if not user_id or user_id.startswith(ANONYMOUS_PREFIX) or event.get("anonymous") is True:
        return {}
    return {"properties": _object(event.get("properties")) or {}, "alias": _alias(event.get("previous_id"))}


def _alias(value: object) -> str | None:
    # Only what a visitor was called: nobody's sessions move to another because a sender names a known user here.
    if not isinstance(value, str) or len(value) > ID_CHARACTERS:
        return None
    return value if value.startswith(ANONYMOUS_PREFIX) else None


def _status(event: Fields) -> str | None:
    status = event.get("status")
    return status if isinstance(status, str) else None


def _count(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _MAX_COUNT:
        return None
    return value


def _preview(event: Fields) -> str | None:
    messages = event.get("messages")
    if not isinstance(messages, list):
        return None
    for message in reversed(cast("list[object]", messages)):
        fields = cast("Fields", message) if isinstance(message, dict) else {}
        if fields.get("role") == "user" and (text := _content_text(fields.get("content"))):
            return text[:PREVIEW_CHARACTERS]
    return None


def _content_text(content: object) -> str:
    if isinstance(content, str):
        return content.strip()
    if not isinstance(content, list):
        return ""
    parts = [cast("Fields", part) for part in cast("list[object]", content) if isinstance(part, dict)]
    texts = [part.get("text") for part in parts]
    return " ".join(text for text in texts if isinstance(text, str)).strip()


def _object(value: object) -> Mapping[str, Any] | None:
    if not isinstance(value, dict) or not value:
        return None
    try:
        size = len(orjson.dumps([[[[value]]]]))
    except TypeError:  # Nested deeper than can be written again in an answer; the event itself keeps it.
        return None
    return cast("Fields", value) if size <= _OBJECT_BYTES else None


def _lost(value: object) -> Mapping[str, int] | None:
    if not isinstance(value, dict):
        return None
    counts = {reason: _count(count) for reason, count in cast("Fields", value).items() if len(reason) <= 64}
    return {reason: count for reason, count in list(counts.items())[:_MAX_REASONS] if count}
