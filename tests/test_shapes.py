"""What is read from responses: the real types of the clients, and plain data of the same shape."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from anthropic.types import CacheCreation, Message, Usage as AnthropicUsage
from google.genai.types import GenerateContentResponse
from langchain_core.messages import AIMessage
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response
from pydantic_ai.usage import RequestUsage
from support import recording

from lumina_async._said import Said
from lumina_async._shapes import said_by, take
from lumina_async._usage import usage_of

CALL = {"id": "call_1", "name": "search", "arguments": {"q": "beans"}}
CHAT: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-2024-08-06",
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {
                "role": "assistant",
                "content": "Let me look.",
                "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "search", "arguments": '{"q": "beans"}'}}
                ],
            },
        }
    ],
    "usage": {
        "prompt_tokens": 11,
        "completion_tokens": 9,
        "total_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 3, "audio_tokens": 2},
    },
}
ALL_PARTS = {"cached_input_tokens": 4, "reasoning_tokens": 3, "audio_tokens": 3}
USED = {"input_tokens": 11, "output_tokens": 9}
RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "gpt-4o-2024-08-06",
    "status": "completed",
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "output": [
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Let me look.", "annotations": []}],
        },
        {"id": "fc_1", "call_id": "call_1", "type": "function_call", "name": "search", "arguments": '{"q": "beans"}'},
    ],
    "usage": {
        "input_tokens": 11,
        "output_tokens": 9,
        "total_tokens": 20,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 3},
    },
}
MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5",
    "stop_reason": "tool_use",
    "content": [
        {"type": "text", "text": "Let me look."},
        {"type": "tool_use", "id": "call_1", "name": "search", "input": {"q": "beans"}},
    ],
    "usage": {
        "input_tokens": 5,
        "cache_read_input_tokens": 4,
        "cache_creation_input_tokens": 2,
        "output_tokens": 9,
        "output_tokens_details": {"thinking_tokens": 3},
    },
}
GOOGLE: dict[str, Any] = {
    "response_id": "g-1",
    "model_version": "gemini-2.5-flash",
    "candidates": [
        {
            "finish_reason": "STOP",
            "content": {
                "role": "model",
                "parts": [
                    {"text": "They ask for beans.", "thought": True},
                    {"text": "Let me look."},
                    {"function_call": {"id": "call_1", "name": "search", "args": {"q": "beans"}}},
                ],
            },
        }
    ],
    "usage_metadata": {
        "prompt_token_count": 11,
        "candidates_token_count": 6,
        "thoughts_token_count": 3,
        "cached_content_token_count": 4,
        "prompt_tokens_details": [{"modality": "AUDIO", "token_count": 3}, {"modality": "TEXT", "token_count": 8}],
    },
}
FAMILIES: dict[str, tuple[Any, dict[str, Any], str, str]] = {
    "chat": (ChatCompletion, CHAT, "openai", "tool_calls"),
    "responses": (Response, RESPONSE, "openai", "completed"),
    "anthropic": (Message, MESSAGE, "anthropic", "tool_use"),
    "google": (GenerateContentResponse, GOOGLE, "google", "STOP"),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_response_and_its_plain_data_say_the_same(family: str) -> None:
    """Model, id, tokens, finish reason, text and the tools asked for are read from objects and from dicts."""
    kind, data, provider, finish_reason = FAMILIES[family]
    for value in (kind.model_validate(data), data):
        said = said_by(value)
        assert said is not None
        assert said.usage.items() >= (USED | {"cached_input_tokens": 4, "reasoning_tokens": 3}).items()
        assert (said.text, said.tool_calls, said.finish_reason) == ("Let me look.", [CALL], finish_reason)
        assert (said.model, said.id) == (data.get("model", "gemini-2.5-flash"), data.get("id", "g-1"))
        assert said.provider == (None if value is data else provider)


@pytest.mark.parametrize("family", ["chat", "google"])
def test_tokens_of_speech_are_counted_apart(family: str) -> None:
    """What went in and came out as audio is one number."""
    said = said_by(FAMILIES[family][1])
    assert said is not None
    assert said.usage == USED | ALL_PARTS


def test_without_content_the_names_of_tools_stay() -> None:
    """Where no content may leave, neither the text nor the arguments are even read."""
    said = said_by(ChatCompletion.model_validate(CHAT), content=False)
    assert said is not None
    assert (said.text, said.tool_calls) == (None, [{"id": "call_1", "name": "search"}])


class Trap:
    """Every attribute of it runs code."""

    def __getattribute__(self, name: str) -> Any:
        if name in {"__class__", "__repr__"}:
            return object.__getattribute__(self, name)
        raise AssertionError(name)


class Liar(dict[str, Any]):
    def __getitem__(self, key: str) -> Any:
        raise AssertionError(key)

    def get(self, key: str, default: Any = None) -> Any:
        raise AssertionError(key)

    def __contains__(self, key: object) -> bool:
        raise AssertionError(key)


@pytest.mark.parametrize(
    "value", [Trap(), Liar(choices=[]), "text", 7, None, [CHAT], object()], ids=lambda value: type(value).__name__
)
def test_nothing_is_asked_of_an_unknown_object(value: Any) -> None:
    """Attributes and methods of other objects may run code, block or raise: none is touched (FAULTS V6)."""
    assert said_by(value) is None


@pytest.mark.parametrize(
    "value",
    [
        {"choices": 7},
        {"choices": [None, 3, {"delta": 5}]},
        {"choices": [{"message": Trap()}], "usage": Trap()},
        {"candidates": [{"content": "x"}], "usage_metadata": {"prompt_token_count": "many"}},
        {"type": "message", "content": [Trap()], "usage": {"input_tokens": True, "output_tokens": -1}},
        {"object": "response", "output": {"a": 1}},
        {"type": "content_block_delta", "delta": [1]},
    ],
)
def test_a_response_of_broken_shape_says_nothing(value: dict[str, Any]) -> None:
    """What looks like a response and is none never raises, and no number is made up (FAULTS V6)."""
    said = said_by(value)
    assert said is not None
    assert (said.text, said.tool_calls, sum(said.usage.values())) == (None, [], 0)


USAGES: dict[str, tuple[Any, dict[str, int]]] = {
    "anthropic": (
        {"input_tokens": 5, "output_tokens": 9, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 2},
        {"input_tokens": 11, "cached_input_tokens": 4, "cache_creation_input_tokens": 2},
    ),
    "anthropic, by time": (
        AnthropicUsage(
            input_tokens=5,
            output_tokens=9,
            cache_creation_input_tokens=6,
            cache_creation=CacheCreation(ephemeral_1h_input_tokens=4, ephemeral_5m_input_tokens=2),
        ),
        {"input_tokens": 11, "cache_creation_input_tokens": 6, "cache_creation_1h_input_tokens": 4},
    ),
    "openai": (
        {"prompt_tokens": 11, "completion_tokens": 9, "prompt_tokens_details": {"cache_write_tokens": 6}},
        {"input_tokens": 11, "cache_creation_input_tokens": 6},
    ),
    "openai responses": (
        {"input_tokens": 11, "output_tokens": 9, "input_tokens_details": {"cache_write_tokens": 6}},
        {"input_tokens": 11, "cache_creation_input_tokens": 6},
    ),
    "litellm": (
        {
            "prompt_tokens": 11,
            "completion_tokens": 9,
            "cache_creation_input_tokens": 6,
            "prompt_tokens_details": {"cache_creation_tokens": 6, "cached_tokens": 4},
        },
        {"input_tokens": 11, "cached_input_tokens": 4, "cache_creation_input_tokens": 6},
    ),
    "langchain": (
        {"input_tokens": 11, "output_tokens": 9, "input_token_details": {"cache_creation": 6, "cache_read": 4}},
        {"input_tokens": 11, "cached_input_tokens": 4, "cache_creation_input_tokens": 6},
    ),
    "langchain, by time": (
        {
            "input_tokens": 11,
            "output_tokens": 9,
            "input_token_details": {
                "cache_creation": 0,
                "ephemeral_5m_input_tokens": 2,
                "ephemeral_1h_input_tokens": 4,
            },
        },
        {"input_tokens": 11, "cache_creation_input_tokens": 6, "cache_creation_1h_input_tokens": 4},
    ),
    "pydantic-ai": (
        RequestUsage(
            input_tokens=11,
            output_tokens=9,
            cache_read_tokens=4,
            cache_write_tokens=6,
            input_audio_tokens=1,
            output_audio_tokens=2,
            details={"reasoning_tokens": 3, "audio_tokens": 2},
        ),
        {
            "input_tokens": 11,
            "cached_input_tokens": 4,
            "cache_creation_input_tokens": 6,
            "reasoning_tokens": 3,
            "audio_tokens": 3,
        },
    ),
    "pydantic-ai, of google": (
        RequestUsage(
            input_tokens=11, output_tokens=9, details={"audio_prompt_tokens": 1, "image_candidates_tokens": 8}
        ),
        {"input_tokens": 11, "audio_tokens": 1, "output_image_tokens": 8},
    ),
    "google's json": (
        {
            "promptTokenCount": 11,
            "candidatesTokenCount": 9,
            "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 3}, {"modality": "TEXT", "tokenCount": 8}],
            "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 8}, {"modality": "AUDIO", "tokenCount": 1}],
        },
        {"input_tokens": 11, "audio_tokens": 4, "output_image_tokens": 8},
    ),
    "xai": (
        {
            "prompt_tokens": 11,
            "completion_tokens": 2,
            "total_tokens": 20,
            "completion_tokens_details": {"reasoning_tokens": 7},
        },
        {"input_tokens": 11, "reasoning_tokens": 7},
    ),
    "our own": (
        {
            "input_tokens": 11,
            "output_tokens": 9,
            "cached_input_tokens": 4,
            "cache_creation_input_tokens": 6,
            "output_image_tokens": 8,
        },
        {"input_tokens": 11, "cached_input_tokens": 4, "cache_creation_input_tokens": 6, "output_image_tokens": 8},
    ),
}


@pytest.mark.parametrize(("given", "read"), USAGES.values(), ids=USAGES)
def test_tokens_have_one_meaning_whoever_counts_them(given: Any, read: dict[str, int]) -> None:
    """What went into a cache or came out of one is input, reasoning is output; sound and pictures are told apart."""
    assert usage_of(given) == {"output_tokens": 9, **read}


async def test_the_usage_of_a_stream_of_anthropic_keeps_what_went_into_the_cache() -> None:
    """The start of the stream says it, and the end says no more of it."""
    start = {**MESSAGE, "content": [], "stop_reason": None}
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}}

    async def events() -> AsyncIterator[dict[str, Any]]:
        yield {"type": "message_start", "message": start}
        yield end

    async with recording() as (client, transport):
        async with (await client.session.start()).turn() as t:
            _ = [one async for one in await t.wrap_llm(events)]
    [call] = transport.turns[0]["llm"]
    assert call["usage"].items() >= {"input_tokens": 11, "cache_creation_input_tokens": 2, "output_tokens": 9}.items()


@pytest.mark.parametrize("usage", [{"tokens": 5}, None, "many", Trap()], ids=["other names", "none", "text", "trap"])
def test_usage_of_an_unknown_form_is_none(usage: Any) -> None:
    """Tokens are never guessed."""
    assert usage_of(usage) == {}


def chunk(delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> ChatCompletionChunk:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    facts = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-2024-08-06"}
    return ChatCompletionChunk.model_validate(facts | {"choices": [choice]} | more)


async def answer(*words: str) -> AsyncIterator[ChatCompletionChunk]:
    for word in words:
        await asyncio.sleep(0)
        yield chunk({"content": word})
    yield chunk({}, "stop")
    yield chunk({}, usage=CHAT["usage"], choices=[])


@pytest.mark.parametrize(
    ("mode", "output"),
    [("full", "write to ada@example.com"), ("masked", "write to [EMAIL]"), ("none", None)],
)
async def test_the_text_of_a_stream_goes_by_the_capture_mode(mode: str, output: str | None) -> None:
    """The pieces are put together and masked as a whole; without content only the numbers stay (FAULTS V8)."""
    async with recording(capture_transcript=mode) as (client, transport):
        async with (await client.session.start()).turn() as t:
            _ = [one async for one in await t.wrap_llm(lambda: answer("write to ", "ada@exam", "ple.com"))]
    [call] = transport.turns[0]["llm"]
    assert (call.get("output"), call["finish_reason"], call["chunks"]) == (output, "stop", 5)
    assert call["usage"] == USED | ALL_PARTS
    assert call["tokens_per_s"] > 0


async def test_an_async_mask_is_awaited_at_the_end_of_a_stream() -> None:
    """Who reads to the end already awaits; a stream that breaks off leaves no raw text (SPEC 6)."""

    async def mask(text: str) -> str:
        await asyncio.sleep(0)
        return text.replace("Ada", "[NAME]")

    async with recording(mask_fn=mask) as (client, transport):
        for reads_all in (True, False):
            async with (await client.session.start()).turn() as t:
                stream = await t.wrap_llm(lambda: answer("I am ", "Ada"))
                async for _ in stream:
                    if not reads_all:
                        await stream.aclose()
                        break
    assert [turn["llm"][0]["output"] for turn in transport.turns] == ["I am [NAME]", "[MASK_FAILED]"]


async def test_what_the_user_says_wins() -> None:
    """The app's own provider, usage and output stand against what the response says."""
    response = ChatCompletion.model_validate(CHAT)
    async with recording(capture_transcript="full") as (client, transport):
        async with (await client.session.start()).turn() as t:
            usage = {"prompt_tokens": 1, "completion_tokens": 2}
            got = await t.wrap_llm(lambda: response, provider="mine", usage=usage, output="my own words")
            assert got is response
    [call] = transport.turns[0]["llm"]
    assert (call["provider"], call["usage"]) == ("mine", {"input_tokens": 1, "output_tokens": 2})
    assert (call["output"], call["response_model"], "meta" in call) == ("my own words", "gpt-4o-2024-08-06", False)


def chat(message: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**CHAT, "choices": [{"index": 0, "finish_reason": "stop", "message": message}], **more}


OLD_CALL = {"function_call": {"name": "search", "arguments": '{"q": "beans"}'}}
REFUSAL = [{"type": "message", "content": [{"type": "refusal", "refusal": "I cannot."}]}]


@pytest.mark.parametrize(
    ("value", "text", "tools"),
    [
        (chat({"role": "assistant", "content": None, **OLD_CALL}), None, ["search"]),
        (chat({"role": "assistant", "content": None, "refusal": "I cannot."}), "I cannot.", []),
        (chat({"role": "assistant", "content": None, "audio": {"transcript": "Hi!"}}), "Hi!", []),
        ({**RESPONSE, "output": REFUSAL}, "I cannot.", []),
        ({"object": "text_completion", "choices": [{"index": 0, "text": "Once", "finish_reason": "stop"}]}, "Once", []),
        (AIMessage(["Let me ", {"type": "text", "text": "look."}]), "Let me look.", []),
    ],
    ids=["function call", "refusal", "speech", "refusal of responses", "completion", "text in parts"],
)
def test_rarer_forms_are_read_too(value: Any, text: str | None, tools: list[str]) -> None:
    """What came before there were tools, what a model refuses, and what it says aloud."""
    said = said_by(value)
    assert said is not None
    assert (said.text, [call["name"] for call in said.tool_calls]) == (text, tools)


def taken(*chunks: dict[str, Any]) -> Said:
    said = Said()
    for one in chunks:
        take(said, one)
    return said


def test_a_tool_asked_for_in_a_stream_that_breaks_off_has_its_name() -> None:
    """Responses announce it, and then send its arguments piece by piece."""
    item = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "search", "arguments": ""}
    pieces = [
        {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": one} for one in ('{"q":', '"b')
    ]
    added = {"type": "response.output_item.added", "output_index": 0, "item": item}
    done = {"type": "response.output_item.done", "output_index": 0, "item": {**item, "arguments": '{"q":"beans"}'}}
    assert taken(added, *pieces).tool_calls == [{"id": "call_1", "name": "search", "arguments": '{"q":"b'}]
    assert taken(added, *pieces, done).tool_calls == [CALL]


def test_two_tools_under_one_number_are_two() -> None:
    """Some servers count no tools: a new id with a name begins another."""
    chunks = [
        {
            "id": "c",
            "model": "m",
            "choices": [{"delta": {"tool_calls": [{"index": 0, "id": id_, "function": function}]}}],
        }
        for id_, function in (
            ("call_1", {"name": "search", "arguments": '{"q":'}),
            (None, {"arguments": "1}"}),
            ("call_2", {"name": "find", "arguments": '{"z":2}'}),
        )
    ]
    assert taken(*chunks).tool_calls == [
        {"id": "call_1", "name": "search", "arguments": {"q": 1}},
        {"id": "call_2", "name": "find", "arguments": {"z": 2}},
    ]


def test_the_tokens_of_two_responses_in_one_stream_are_added() -> None:
    """A generator that passes on the chunks of two requests: another id is another response."""
    chunks = [{"id": id_, "model": "m", "choices": [], "usage": CHAT["usage"]} for id_ in ("a", "a", "b")]
    assert taken(*chunks).usage == {name: 2 * tokens for name, tokens in (USED | ALL_PARTS).items()}


FAILED = {**RESPONSE, "status": "failed", "output": [], "error": {"code": "server_error", "message": "mail a@b.com"}}
FAILURES = {
    "whole": FAILED,
    "streamed": {"type": "response.failed", "response": FAILED, "sequence_number": 1},
    "event": {"type": "error", "code": "server_error", "message": "mail a@b.com", "sequence_number": 1},
}


@pytest.mark.parametrize("name", FAILURES)
async def test_a_response_that_says_it_failed_is_an_error(name: str) -> None:
    """Nothing is raised, and yet it is no success; the message is content like that of an exception."""

    async def stream() -> AsyncIterator[Any]:
        yield {"type": "response.created", "response": {**RESPONSE, "status": "in_progress"}}
        yield FAILURES[name]

    async with recording() as (client, transport):
        async with (await client.session.start()).turn() as t:
            if name == "whole":
                await t.wrap_llm(lambda: FAILED)
            else:
                _ = [one async for one in await t.wrap_llm(stream)]
    [call] = transport.turns[0]["llm"]
    assert (call["status"], call.get("outcome")) == ("error", None if name == "whole" else "provider_error")
    assert (call["error"]["type"], call["error"]["message"]) == ("server_error", "mail [EMAIL]")
