"""Transcripts: any form of message, identifiers kept, texts masked, no binary data."""

import base64
from types import SimpleNamespace
from typing import Any

import pydantic
import pytest

from lumina_async import Message
from lumina_async._messages import transcript

PICTURE = base64.b64encode(b"x" * 300).decode()


class Reply(pydantic.BaseModel):
    role: str = "assistant"
    content: str = "hi"
    refusal: str | None = None


def shout(messages: Any) -> Any:
    return transcript(messages, str.upper, set())


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([{"role": "user", "content": "hi"}], [{"role": "user", "content": "HI"}]),
        ([Message("assistant", "hi", name="bot")], [{"role": "assistant", "content": "HI", "name": "bot"}]),
        ([Reply()], [{"role": "assistant", "content": "HI"}]),
        ([{"role": "assistant", "content": None}], [{"role": "assistant"}]),
        ("hi", [{"role": "user", "content": "HI"}]),
        ({"role": "user", "content": "hi"}, [{"role": "user", "content": "HI"}]),
        (({"role": "critic", "content": "hi", "mood": "bad"},), [{"role": "critic", "content": "HI", "mood": "BAD"}]),
        (42, [{"role": "user", "content": 42}]),
        ([], []),
    ],
    ids=["mapping", "message", "pydantic", "none", "text", "one", "unknown keys", "number", "empty"],
)
def test_any_form_of_message_is_taken(messages: Any, expected: Any) -> None:
    """Mappings, Message, the clients' own objects, and best effort for the rest (SPEC 5)."""
    assert shout(messages) == expected


def test_the_names_of_tool_calls_stay_and_their_arguments_are_text() -> None:
    """What an assistant asks for is masked, how it is called is not."""
    call = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"name":"eve"}'}}
    [message] = shout([{"role": "assistant", "content": "", "tool_calls": [call]}])
    assert message["tool_calls"] == [
        {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"NAME":"EVE"}'}}
    ]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"type": "text", "text": "hi"}, {"type": "text", "text": "HI"}),
        (
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}},
            {"type": "image_url", "mime": "image/png", "bytes": 300},
        ),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/webp", "data": PICTURE}},
            {"type": "image", "mime": "image/webp", "bytes": 300},
        ),
        (
            {"type": "input_audio", "input_audio": {"format": "wav", "data": PICTURE}},
            {"type": "input_audio", "mime": "wav", "bytes": 300},
        ),
        ({"type": "image", "mime": "image/gif", "data": b"12345"}, {"type": "image", "mime": "image/gif", "bytes": 5}),
        (
            {"type": "image_url", "image_url": {"url": "https://x/y"}},
            {"type": "image_url", "image_url": {"url": "HTTPS://X/Y"}},
        ),
        ("hi", "HI"),
    ],
    ids=["text", "openai image", "anthropic image", "audio", "bytes", "image by address", "string"],
)
def test_parts_keep_their_form_and_lose_their_data(part: Any, expected: Any) -> None:
    """Binary parts become {type, mime, bytes} in every form the providers use (SPEC 5)."""
    [message] = shout([{"role": "user", "content": [part]}])
    assert message["content"] == [expected]


def test_reading_a_transcript_twice_changes_nothing() -> None:
    """An async mask reads the draft of the first pass."""
    parts = [{"type": "text", "text": "a"}, {"type": "image", "data": b"1"}]
    once = transcript([Message("user", parts), SimpleNamespace()], str, set())
    assert transcript(once, str, set()) == once
    assert once[0]["content"][1] == {"type": "image", "mime": None, "bytes": 1}
