"""How providers read the event of a turn, which is what goes over the wire (SPEC section 7).

Whatever the capture mode kept out of the event is nowhere else to be found.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any

Facts = Mapping[str, Any]
"""The event of a turn, or a part of it."""

Conversation = tuple[list[Any], list[Any]]
"""What was said to the assistant or a model, and what it answered: messages with a `role`."""


def present(facts: Facts) -> dict[str, Any]:
    """Leave out what is absent."""
    return {name: value for name, value in facts.items() if value is not None}


def list_of(facts: Facts, name: str) -> list[dict[str, Any]]:
    """Return a list of an event, empty where it has none."""
    return facts.get(name) or []


def part_of(facts: Facts, name: str) -> dict[str, Any]:
    """Return an object of an event, empty where it has none."""
    return facts.get(name) or {}


def seconds(ms: float | None) -> float | None:
    """Return milliseconds in seconds."""
    return None if ms is None else ms / 1_000


def moment(text: str) -> dt.datetime:
    """Return a time of an event."""
    return dt.datetime.fromisoformat(text)


def conversation(turn: Facts) -> Conversation:
    """Return the transcript of a turn; what the assistant answered are its messages at the end."""
    messages = list_of(turn, "messages")
    end = len(messages)
    while end and messages[end - 1].__class__ is dict and messages[end - 1].get("role") == "assistant":
        end -= 1
    return messages[:end], messages[end:]


def conversation_of_call(call: Facts, turn: Facts) -> Conversation:
    """Return what a model was asked and answered, as far as it is known.

    With one call of a model in the turn, what was said in the turn is what was said to the model.
    """
    asked, answered = conversation(turn) if len(list_of(turn, "llm")) == 1 else ([], [])
    return as_messages(call.get("input"), "user") or asked, as_messages(call.get("output"), "assistant") or answered


def as_messages(content: Any, role: str) -> list[Any]:
    """Return a content as messages; what is none of itself was said in this role."""
    if content is None:
        return []
    parts: list[Any] = content if content.__class__ is list else [content]
    return [part if part.__class__ is dict and "role" in part else {"role": role, "content": part} for part in parts]
