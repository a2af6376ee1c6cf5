"""What a transcript is made of, and how any message a user hands over becomes JSON."""

# Messages are the user's, of any shape, so what `isinstance` finds inside them is unknown by nature.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from lumina_async._values import MAX_TEXT, clean, each, identifier, plain

Text = Callable[[str], str]

_COMMON = {"role", "content"}
_ROLES = frozenset({"user", "assistant", "system", "developer", "tool"})
_MESSAGE_IDS = ("role", "name", "tool_call_id", "type", "id")
# The identifiers inside the parts of a content list, and inside the calls that an assistant asks for.
_LISTS = {"content": ("type", "id", "mime", "tool_use_id", "tool_call_id"), "tool_calls": ("id", "type", "name")}
# Where the providers' clients keep the data of a part, and what they call its type.
_HOLDERS = ("source", "input_audio", "file", "inline_data")
_MIMES = ("media_type", "mime_type", "mime", "format")


@attrs.frozen
class Message:
    """One message of a transcript. A mapping with these keys does as well.

    Attributes:
        role: `"user"`, `"assistant"`, `"system"`, `"tool"`, or any other.
        content: Text, a list of parts as the providers' clients use them, or None. A part that holds binary data is
            stored as `{"type", "mime", "bytes"}`, never with the data.
        name: Who speaks, where a role has several.
        tool_calls: What the assistant asked for, as the providers' clients give it.
        tool_call_id: Which call a message of the role `tool` answers.
    """

    role: str
    content: str | list[Any] | None
    name: str | None = attrs.field(default=None, kw_only=True)
    tool_calls: list[Any] | None = attrs.field(default=None, kw_only=True)
    tool_call_id: str | None = attrs.field(default=None, kw_only=True)


def transcript(messages: Any, text: Text, notes: set[str]) -> list[dict[str, Any]]:
    """Return the messages as JSON objects. Applying it to its own result changes nothing but the texts.

    Args:
        messages: An iterable of mappings, `Message` or the message objects of the providers' clients; a single one, or
            a single string, stands for a list of it.
        text: What becomes of each text: the mask. Identifiers (roles, names of tools, ids) are not passed through it.
        notes: Receives a sentence for each kind of thing that was changed.
    """
    if isinstance(messages, str | Mapping | Message) or not isinstance(messages, Iterable):
        messages = (messages,)
    return each(messages, lambda message: _message(message, text, notes), notes)


def is_common(messages: Any) -> bool:
    """Tell whether these are a list of dicts of a role and a text, which `transcript` would leave as they are."""
    if type(messages) is not list:
        return False
    for message in messages:
        if type(message) is not dict or message.keys() != _COMMON:
            return False
        role, content = message["role"], message["content"]
        if type(content) is not str or type(role) is not str or role not in _ROLES or len(content) > MAX_TEXT:
            return False
    return True


def _message(message: Any, text: Text, notes: set[str]) -> dict[str, Any]:
    # The common form is worth a way of its own: it costs a tenth of the walk.
    if type(message) is dict and message.keys() == _COMMON:
        role, content = message["role"], message["content"]
        if type(role) is str and type(content) is str:
            return {"role": identifier(role), "content": text(clean(content))}
    fields: Any = plain(_without_binary(message), _as_is, notes)
    if not isinstance(fields, dict):
        return {"role": "user", "content": plain(message, text, notes)}
    return {key: _field(key, value, text, notes) for key, value in fields.items() if value is not None}


def _field(key: str, value: Any, text: Text, notes: set[str]) -> Any:
    if key in _MESSAGE_IDS:
        return identifier(value)
    if key in _LISTS and isinstance(value, list):
        return [_named(item, _LISTS[key], text, notes) for item in value]
    return plain(value, text, notes)


def _without_binary(message: Any) -> Any:
    """Return the message with `{type, mime, bytes}` in place of each part of its content that carries data."""
    if isinstance(message, Message):
        message = attrs.asdict(message, recurse=False)
    if isinstance(message, Mapping) and isinstance(content := message.get("content"), list | tuple):
        return {**message, "content": [_binary(part) or part for part in content]}
    return message


def _binary(part: Any) -> dict[str, Any] | None:
    """Return `{type, mime, bytes}` for a part that carries data, in the forms the providers use; None for others."""
    if not isinstance(part, Mapping):
        return None
    # 1. Anything with bytes in it: {"type": "image", "mime": "image/png", "data": b"..."}.
    # 2. Anthropic: {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "..."}}.
    # 3. OpenAI: {"type": "input_audio", "input_audio": {"format": "wav", "data": "..."}}; `file` alike.
    # 4. OpenAI: {"type": "image_url", "image_url": {"url": "data:image/png;base64,..."}}, and input_image alike.
    found = _held(part, bytes | bytearray) or _data_url(part.get("image_url"))
    for key in _HOLDERS:
        found = found or _held(part.get(key), str | bytes | bytearray)
    return found and {"type": identifier(part.get("type")) or "binary", **found}


def _held(holder: Any, kinds: Any) -> dict[str, Any] | None:
    data: Any = (holder.get("data") or holder.get("file_data")) if isinstance(holder, Mapping) else None
    if not isinstance(data, kinds):
        return None
    size = _decoded_size(data.rpartition(",")[2]) if isinstance(data, str) else len(data)
    return {"mime": identifier(next((holder[key] for key in _MIMES if key in holder), None)), "bytes": size}


def _data_url(url: Any) -> dict[str, Any] | None:
    url = url.get("url") if isinstance(url, Mapping) else url
    if not isinstance(url, str) or not url.startswith("data:"):
        return None
    head, _, encoded = url.partition(",")
    return {"mime": identifier(head[5:].partition(";")[0]), "bytes": _decoded_size(encoded)}


def _decoded_size(base64: str) -> int:
    return len(base64.rstrip("=")) * 3 // 4


def _named(value: Any, ids: tuple[str, ...], text: Text, notes: set[str]) -> Any:
    """Return an object whose identifiers stay and whose other strings go through the mask."""
    if not isinstance(value, dict):
        return plain(value, text, notes)
    found: dict[str, Any] = {}
    for key, inner in value.items():
        if key in ids and isinstance(inner, str):
            found[key] = identifier(inner)
        elif key == "function":
            found[key] = _named(inner, ("name",), text, notes)
        else:
            found[key] = plain(inner, text, notes)
    return found


def _as_is(text: str) -> str:
    return text
