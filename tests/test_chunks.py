"""The chunks of a stream: read later, the plain ones by a shorter way, and nothing is missed on it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from anthropic.types import RawMessageStreamEvent
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter
from support import recording

from lumina_async._chunks import MAX_KEPT, _texts_alone, keep, read_kept
from lumina_async._said import Said
from lumina_async._shapes import take

CHUNK: dict[str, Any] = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"}
CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "search", "arguments": ""}}
EVENT = TypeAdapter[Any](RawMessageStreamEvent)
PART = {"item_id": "m", "output_index": 0, "content_index": 0, "logprobs": [], "sequence_number": 1}
RESPONSE = {"id": "r", "object": "response", "created_at": 1, "model": "gpt-4o", "status": "in_progress", "output": []}
RESPONSE |= {"parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
TOOL = {"type": "tool_use", "id": "call_1", "name": "search", "input": {}}
MESSAGE = {"id": "m", "type": "message", "role": "assistant", "model": "claude", "content": []}


def completion(delta: dict[str, Any], finish_reason: str | None = None, index: int = 0, **more: Any) -> Any:
    choice = {"index": index, "delta": delta, "finish_reason": finish_reason}
    return ChatCompletionChunk.model_validate(CHUNK | {"choices": [choice]} | more)


def arguments(piece: str) -> dict[str, Any]:
    return {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}


STREAMS: dict[str, list[Any]] = {
    "completions": [
        completion({"role": "assistant", "content": ""}),
        completion({"content": "Let "}),
        completion({"content": "me "}, index=1),
        completion({"content": "me "}),
        completion({"content": None}),
        completion({"content": "", "tool_calls": [CALL]}),
        completion(arguments('{"q": ')),
        completion(arguments('"beans"}')),
        completion({"content": "", "refusal": "(No.)"}),
        completion({"content": "", "function_call": {"name": "find", "arguments": "{}"}}),
        completion({"content": "look."}),
        completion({"content": " There"}, usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}),
        completion({"content": "!"}, "stop"),
        completion({}, choices=[], usage={"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}),
    ],
    "responses": [
        TypeAdapter[Any](ResponseStreamEvent).validate_python(event)
        for event in (
            {"type": "response.created", "response": RESPONSE, "sequence_number": 0},
            {"type": "response.output_text.delta", "delta": "Hi ", **PART},
            {"type": "response.output_text.delta", "delta": "there", **PART},
            {"type": "response.function_call_arguments.delta", "delta": "{}", **PART},
            {"type": "response.output_text.done", "text": "Hi there", **PART},
        )
    ],
    "messages": [
        EVENT.validate_python(event)
        for event in (
            {"type": "message_start", "message": MESSAGE | {"usage": {"input_tokens": 3, "output_tokens": 1}}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi "}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "there"}},
            {"type": "content_block_stop", "index": 0},
            {"type": "content_block_start", "index": 1, "content_block": TOOL},
            {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
            {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}},
        )
    ],
}


def facts(said: Said) -> tuple[Any, ...]:
    return said.text, said.model, said.id, said.provider, said.finish_reason, said.usage, said.tool_calls


@pytest.mark.parametrize("name", STREAMS)
def test_the_shorter_way_says_the_same(name: str) -> None:
    """Text, tools, tokens and the end are those of reading each chunk in full, in the same order."""
    kept, taken = Said(), Said()
    for chunk in STREAMS[name]:
        keep(kept, chunk)
        take(taken, chunk)
    read_kept(kept)
    assert facts(kept) == facts(taken)
    assert kept.text


def test_the_shorter_way_is_taken() -> None:
    """The usual pieces of text of each client are read by it, and nothing else is."""
    alone = {name: [_texts_alone([chunk]) for chunk in stream] for name, stream in STREAMS.items()}
    assert [text for [text] in filter(None, alone["completions"])] == ["Let ", "me ", "look."]
    assert alone["responses"] == [[], ["Hi "], ["there"], [], []]
    assert alone["messages"] == [[], [], ["Hi "], ["there"], [], [], [], []]
    assert _texts_alone(STREAMS["messages"][2:]) == ["Hi ", "there"]


class Trap:
    """Every attribute of it runs code."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(name)


@pytest.mark.parametrize("where", ["chunk", "choice", "delta", "text"])
def test_nothing_is_asked_of_an_unknown_object(where: str) -> None:
    """Nor does a chunk that holds something odd raise (FAULTS V6)."""
    chunk: Any = completion({"content": "x"})
    match where:
        case "chunk":
            chunk = Trap()
        case "choice":
            chunk.choices = [Trap()]
        case "delta":
            chunk.choices[0].delta = Trap()
        case _:
            chunk.choices[0].delta.content = Trap()
    said = Said(model="m")
    for one in (chunk, completion({"content": "y"})):
        keep(said, one)
    read_kept(said)
    assert said.text == "y"


def test_a_call_that_broke_off_keeps_its_arguments_as_text() -> None:
    """Half a JSON is told as it came."""
    said = Said()
    for index, piece in enumerate(('{"q": ', '"bea')):
        call = {"index": 0, "id": "call_1" if not index else None, "function": {"name": "search", "arguments": piece}}
        keep(said, {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"tool_calls": [call]}}]})
    read_kept(said)
    assert said.tool_calls == [{"id": "call_1", "name": "search", "arguments": '{"q": "bea'}]


async def answer(count: int) -> AsyncIterator[Any]:
    for _ in range(count):
        yield completion({"content": "x"})


async def test_a_long_stream_holds_few_chunks() -> None:
    """Chunks are read as they gather, so a stream of any length keeps a bounded number of them."""
    async with recording(capture_transcript="full") as (client, transport):
        async with (await client.session.start()).turn() as t:
            async for _ in await t.wrap_llm(lambda: answer(2000)):
                said = t.draft.llm[0].said
                assert said is not None
                assert len(said.kept) < MAX_KEPT
    assert transport.turns[0]["llm"][0]["output"] == "x" * 2000
