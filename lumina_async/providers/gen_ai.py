"""The event of a turn in the words of OpenTelemetry's GenAI conventions (1.44), for whoever reads those.

The names are written out here: a release of the conventions changes what we send only when we say so.
"""

from collections.abc import Mapping
from typing import Any, cast

import orjson

from lumina_async.providers.facts import (
    Facts,
    Message,
    as_messages,
    conversation,
    conversation_of_call,
    list_of,
    part_of,
    present,
    question_in,
    seconds,
)

Attribute = str | bool | int | float | list[str]
Attributes = dict[str, Attribute]

USAGE = {
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "cached_input_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_creation_input_tokens": "gen_ai.usage.cache_creation.input_tokens",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
}
"""The `usage` of a call of a model, and what the conventions call its parts."""

REQUEST = ("temperature", "top_p", "top_k", "max_tokens", "seed", "frequency_penalty", "presence_penalty")
"""Numbers in the metadata of a call that the conventions know, under these names behind `gen_ai.request.`."""

OUTPUTS = {"json_object": "json", "json_schema": "json", "text": "text", "application/json": "json"}
"""What a call asked for as `response_format` (OpenAI) or `response_mime_type` (Google), and its name there."""

PROVIDERS = {
    "amazon_bedrock": "aws.bedrock",
    "azure": "azure.ai.openai",
    "azure_openai": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "google": "gcp.gemini",
    "google-genai": "gcp.gemini",
    "google-gla": "gcp.gemini",
    "google-vertex": "gcp.vertex_ai",
    "google_genai": "gcp.gemini",
    "google_vertexai": "gcp.vertex_ai",
    "mistral": "mistral_ai",
    "vertex_ai": "gcp.vertex_ai",
    "xai": "x_ai",
}
"""Providers that go by another name in the conventions."""


def turn_attributes(turn: Facts) -> Attributes:
    """Return what a turn says of itself: `input.value` and `output.value` are its question and its answer as text."""
    calls = list_of(turn, "llm")
    asked, answered = conversation(turn)
    # Without a transcript, what its first model was asked and its last one answered.
    asked = asked or (as_messages(calls[0].get("input"), "user") if calls else [])
    answered = answered or (as_messages(calls[-1].get("output"), "assistant") if calls else [])
    told = {
        "input.value": _text(question_in(asked)),
        "output.value": _text(answered),
        "gen_ai.input.messages": _messages(asked),
        "gen_ai.output.messages": _messages(answered),
        "lumina.status": turn["status"],
        "lumina.replay_url": part_of(turn, "ui").get("replay_url"),
    }
    return _attributes(told, turn)


def call_attributes(call: Facts, turn: Facts) -> Attributes:
    """Return what a call of a model says of itself."""
    asked, answered = conversation_of_call(call, turn)
    provider, reason = _word(call.get("provider")), _word(call.get("finish_reason"))
    told = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider and PROVIDERS.get(provider, provider),
        "gen_ai.prompt.name": call.get("prompt_id"),
        "gen_ai.request.model": call.get("model"),
        "gen_ai.request.stream": call.get("streaming"),
        "gen_ai.response.id": call.get("response_id"),
        "gen_ai.response.model": call.get("response_model"),
        "gen_ai.response.finish_reasons": [reason] if reason else None,
        "gen_ai.response.time_to_first_chunk": seconds(call.get("ttft_ms")),
        "gen_ai.input.messages": _messages(asked),
        "gen_ai.output.messages": _messages(answered, reason),
        "input.value": _text(asked[-1:]),
        "output.value": _text(answered),
        "lumina.outcome": call.get("outcome"),
        "lumina.status": call.get("status"),
    }
    usage = part_of(call, "usage")
    told |= {name: _number(usage.get(part)) for part, name in USAGE.items()}
    return _attributes(told | _request(part_of(call, "meta")), call)


def _request(meta: Facts) -> dict[str, Any]:
    """Return what the metadata of a call says of its request, under the names of the clients."""
    told: dict[str, Any] = {f"gen_ai.request.{name}": _number(meta.get(name)) for name in REQUEST}
    told["gen_ai.request.stop_sequences"] = _words(meta.get("stop") or meta.get("stop_sequences"))
    # The conventions leave out a count that is one.
    count = _number(meta.get("n")) or _number(meta.get("candidate_count"))
    told["gen_ai.request.choice.count"] = None if count == 1 else count
    asked_for = _word(part_of(meta, "response_format").get("type")) or _word(meta.get("response_mime_type"))
    return {**told, "gen_ai.output.type": asked_for and OUTPUTS.get(asked_for)}


def tool_attributes(tool: Facts) -> Attributes:
    """Return what a call of a tool says of itself."""
    told = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": tool["name"],
        "gen_ai.tool.call.id": _word(part_of(tool, "meta").get("tool_call_id")),
        "gen_ai.tool.type": tool.get("type"),
        "gen_ai.tool.call.arguments": _json(tool.get("input")),
        "gen_ai.tool.call.result": _json(tool.get("output")),
        "lumina.status": tool.get("status"),
        "lumina.tool.target": tool.get("target"),
        "lumina.tool.version": tool.get("version"),
    }
    return _attributes(told, tool)


def retrieval_attributes(look_up: Facts) -> Attributes:
    """Return what a look-up says of itself."""
    told = {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.data_source.id": _word(look_up.get("source")),
        "gen_ai.retrieval.query.text": _json(look_up.get("query")),
        "gen_ai.retrieval.documents": _json(look_up.get("results")),
    }
    return _attributes(told)


def _attributes(told: Mapping[str, Any], ended: Facts | None = None) -> Attributes:
    error = None if ended is None else part_of(ended, "error").get("type")
    return cast("Attributes", present({**told, "error.type": error}))


def _text(messages: list[Message]) -> str | None:
    """Return what was said as text; of a message that is more than text, its JSON."""
    texts = [_json(message["content"]) for message in messages]
    return "\n\n".join(text for text in texts if text) or None


def _messages(messages: list[Message], finish_reason: str | None = None) -> str | None:
    """Return messages as JSON in the form of the conventions: each in parts; one that a model gave, with its end."""
    if not messages:
        return None
    end = {} if finish_reason is None else {"finish_reason": finish_reason}
    return _json([{"role": message["role"], "parts": _parts(message), **end} for message in messages])


def _parts(message: Message) -> list[dict[str, Any]]:
    content = message["content"]
    if message["role"] == "tool":
        id_ = present({"id": message.get("tool_call_id")})
        return [{"type": "tool_call_response", **id_, "response": content}]
    contents: list[Any] = content if content.__class__ is list else [content]
    parts = [_part(part) for part in contents if part is not None]
    return parts + [_tool_call(call) for call in list_of(message, "tool_calls")]


def _part(part: Any) -> dict[str, Any]:
    if part.__class__ is not dict:
        return {"type": "text", "content": part if isinstance(part, str) else _json(part)}
    text = part.get("text")
    return {"type": "text", "content": text} if isinstance(text, str) else {"type": "other", **part}


def _tool_call(call: Any) -> dict[str, Any]:
    """Return a call that a model asked for: `{"id", "name", "arguments"}`, or as OpenAI nests it."""
    if call.__class__ is not dict:
        return {"type": "tool_call", "name": str(call)}
    nested = call.get("function")
    asked: Facts = nested if nested.__class__ is dict else call
    told = {"id": call.get("id"), "name": asked.get("name") or "tool", "arguments": asked.get("arguments")}
    return {"type": "tool_call", **present(told)}


def _json(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else orjson.dumps(value).decode()


def _number(value: Any) -> int | float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _words(value: Any) -> list[str] | None:
    """Return a word, or several; None of anything else."""
    words: list[Any] = value if value.__class__ is list else [value]
    return words if words and all(_word(word) for word in words) else None
