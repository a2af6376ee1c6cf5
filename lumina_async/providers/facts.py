"""How providers read the event of a turn, which is what goes over the wire (SPEC section 7).

Whatever the capture mode kept out of the event is nowhere else to be found.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any

Facts = Mapping[str, Any]
"""The event of a turn, or a part of it."""

Message = dict[str, Any]
"""What somebody said: with a `role` and a `content`, and whatever else the app gave."""

Conversation = tuple[list[Message], list[Message]]
"""What was said to the assistant or a model, and what it answered."""

ANSWERS = frozenset({"assistant", "model"})
"""The roles of what a model said."""


def present(facts: Facts) -> dict[str, Any]:
    """Leave out what is absent."""
    return {name: value for name, value in facts.items() if value is not None}


def list_of(facts: Facts, name: str) -> list[Any]:
    """Return a list of an event, empty where it has none, or something else under this name."""
    found: Any = facts.get(name)
    return found if found.__class__ is list else []


def part_of(facts: Facts, name: str) -> dict[str, Any]:
    """Return an object of an event, empty where it has none, or something else under this name."""
    found: Any = facts.get(name)
    return found if found.__class__ is dict else {}


def seconds(ms: float | None) -> float | None:
    """Return milliseconds in seconds."""
    return None if ms is None else ms / 1_000


def moment(text: str) -> dt.datetime:
    """Return a time of an event."""
    return dt.datetime.fromisoformat(text)


def conversation(turn: Facts) -> Conversation:
    """Return the transcript of a turn; what the assistant answered are its messages at the end."""
    messages = [_message(message, "user") for message in list_of(turn, "messages")]
    end = len(messages)
    while end and messages[end - 1]["role"] in ANSWERS:
        end -= 1
    return messages[:end], messages[end:]


def conversation_of_call(call: Facts, turn: Facts) -> Conversation:
    """Return what a model was asked and answered, as far as it is known.

    With one call of a model in the turn, what was said in the turn is what was said to the model. Its end is the answer
    of that call only if the call gave one: not if it failed, was cut off, or asked for a tool.
    """
    asked, answered = conversation(turn) if len(list_of(turn, "llm")) == 1 else ([], [])
    calls = list_of(call, "tool_calls")
    if calls or call.get("status") != "ok":
        answered = []
        # What follows the question came after the call: the tool it asked for, and what that gave.
        while asked and asked[-1]["role"] in {*ANSWERS, "tool"}:
            asked = asked[:-1]
    answered = as_messages(call.get("output"), "assistant") or answered
    return as_messages(call.get("input"), "user") or asked, _with_calls(answered, calls) if calls else answered


def as_messages(content: Any, role: str) -> list[Message]:
    """Return a content as messages; what is none of itself was said in this role."""
    if content is None:
        return []
    parts: list[Any] = content if content.__class__ is list else [content]
    return [_message(part, role) for part in parts]


def question_in(messages: list[Message]) -> list[Message]:
    """Return the last message of the user, who may have been given the result of a tool to bring; empty without one."""
    said = [message for message in messages if message["role"] == "user" and not _is_result(message["content"])]
    return said[-1:]


def _message(given: Any, role: str) -> Message:
    """Return a message of whatever form with a `role` and a `content`: Google's has `parts`, and may have no role."""
    if given.__class__ is not dict or not ("role" in given or "parts" in given):
        return {"role": role, "content": given}
    named, content = given.get("role"), given.get("content")
    fields = {name: value for name, value in given.items() if name != "parts" or content is not None}
    content = given.get("parts") if content is None else content
    return {**fields, "role": named if isinstance(named, str) and named else role, "content": content}


def _with_calls(answered: list[Message], calls: list[Any]) -> list[Message]:
    """Add the calls of tools that a response asked for to its message, where they are not there already."""
    if any(list_of(message, "tool_calls") for message in answered):
        return answered
    last: Message = answered[-1] if answered else {"role": "assistant", "content": None}
    return [*answered[:-1], {**last, "tool_calls": calls}]


def _is_result(content: Any) -> bool:
    """Tell whether these are results of tools and nothing else, which Anthropic has in messages of the user."""
    parts: list[Any] = content if content.__class__ is list else [content]
    return bool(parts) and all(part.__class__ is dict and part.get("type") == "tool_result" for part in parts)
