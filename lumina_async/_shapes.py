"""Reads what the response of a model says, or a chunk of it, by its shape.

choices                     OpenAI chat completions and their chunks; LiteLLM, Mistral and whoever speaks like them
object: response            OpenAI responses, and the events `response.*` of their streams
type: message               Anthropic messages, and the events of their streams
candidates                  google-genai
usage_metadata, content     the messages of LangChain
"""

# The responses are of other people's types, so what is found inside them is unknown by nature.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false

from collections.abc import Callable
from typing import Any

import orjson

from lumina_async._said import Said
from lumina_async._usage import (
    NOTHING,
    PROVIDERS,
    Fields,
    fields_in,
    first,
    is_known,
    listed,
    package_of,
    private_in,
)
from lumina_async._values import identifier


def said_by(value: Any, *, content: bool = True) -> Said | None:
    """Return what a whole response says; None where it is none."""
    if not is_known(value):
        return None
    said = Said(content)
    take(said, value)
    return said


def take(said: Said, value: Any) -> None:
    """Take in a response or a chunk; one of no known shape says nothing. Never raises."""
    try:
        _take(said, value)
    # The value is another library's, and need not be what its class promises.
    except Exception:  # noqa: BLE001
        return


def _take(said: Said, value: Any) -> None:
    fields = fields_in(value)
    if "choices" in fields:
        _chat(said, value, fields)
        return
    if type(kind := fields.get("type")) is str and (read := _KINDS.get(kind)) is not None:
        read(said, value, fields)
        return
    for name, read in _SHAPES.items():
        if name in fields:
            read(said, value, fields)
            return


def _provider(value: Any) -> str | None:
    package = package_of(value)
    return None if package is None else PROVIDERS[package]


def _begin(said: Said, model: Any, name: Any, provider: Any) -> None:
    """Take in who answers. One stream may hold several responses, as where a client calls functions by itself."""
    if said.id is not None and name not in {None, "", said.id}:
        said.begin_next()
    said.name(model, name, provider)


def _chat(said: Said, value: Any, fields: Fields) -> None:
    if said.model is None or fields.get("id") not in {None, "", said.id}:
        # LiteLLM names the provider in what it hides.
        hidden = fields_in(private_in(value).get("_hidden_params")).get("custom_llm_provider")
        _begin(said, fields.get("model"), fields.get("id"), hidden or _provider(value))
    if (usage := fields.get("usage")) is not None:
        said.use(usage)
    for one in listed(fields["choices"]):
        choice = fields_in(one)
        # Of several answers the first is told.
        if not choice.get("index"):
            _choice(said, choice)


def _choice(said: Said, choice: Fields) -> None:
    if (reason := choice.get("finish_reason")) is not None:
        said.end(reason)
    if (message := fields_in(choice.get("delta") or choice.get("message"))) is NOTHING:
        said.write(choice.get("text"))
    if content := message.get("content") or message.get("refusal"):
        _content(said, content)
    if audio := message.get("audio"):
        said.write(fields_in(audio).get("transcript"))
    if calls := message.get("tool_calls"):
        for number, call in enumerate(listed(calls)):
            _function(said, number, fields_in(call))
    # Before there were tools there was one function.
    if function := message.get("function_call"):
        said.ask("function", None, fields_in(function).get("name"), fields_in(function).get("arguments"))


def _content(said: Said, content: Any) -> None:
    if type(content) is str:
        said.write(content)
    for part in listed(content):
        said.write(part)
        if first(fields_in(part), "type") == "text":
            said.write(fields_in(part).get("text"))


def _function(said: Said, number: int, call: Fields) -> None:
    function = fields_in(call.get("function") or call.get("custom"))
    key = number if call.get("index") is None else call["index"]
    said.ask(key, call.get("id"), function.get("name"), first(function, "arguments", "input"))


def _google(said: Said, value: Any, fields: Fields) -> None:
    name = first(fields, "response_id", "responseId")
    _begin(said, first(fields, "model_version", "modelVersion"), name, _provider(value))
    said.use(first(fields, "usage_metadata", "usageMetadata"))
    for one in listed(fields["candidates"])[:1]:
        candidate = fields_in(one)
        said.end(first(candidate, "finish_reason", "finishReason"))
        for item in listed(fields_in(candidate.get("content")).get("parts")):
            part = fields_in(item)
            if part.get("thought") is not True:
                said.write(part.get("text"))
            if call := fields_in(first(part, "function_call", "functionCall")):
                said.ask(len(said.asked), call.get("id"), call.get("name"), call.get("args"))


def _response(said: Said, value: Any, fields: Fields) -> None:
    if fields.get("object") != "response":
        return
    said.name(fields.get("model"), fields.get("id"), _provider(value))
    said.use(fields.get("usage"))
    if (status := fields.get("status")) not in {None, "in_progress", "queued"}:
        said.end(fields_in(fields.get("incomplete_details")).get("reason") or status)
    if status == "failed":
        error = fields_in(fields.get("error"))
        said.fail(error.get("code"), error.get("message"))
    if output := listed(fields.get("output")):
        # The last event of a stream repeats all that came before.
        said.rewrite()
    for number, one in enumerate(output):
        item = fields_in(one)
        for part in map(fields_in, listed(item.get("content"))):
            if part.get("type") in {"output_text", "refusal"}:
                said.write(first(part, "text", "refusal"))
        _item(said, number, item)


def _item(said: Said, number: Any, item: Fields) -> None:
    if item.get("type") in {"function_call", "custom_tool_call"}:
        # What came piece by piece is said again as a whole.
        said.asked.pop(number, None)
        said.ask(number, item.get("call_id"), item.get("name"), first(item, "arguments", "input") or None)


def _message(said: Said, value: Any, fields: Fields) -> None:
    said.name(fields.get("model"), fields.get("id"), _provider(value))
    said.use(fields.get("usage"))
    said.end(fields.get("stop_reason"))
    for number, block in enumerate(listed(fields.get("content"))):
        _block(said, number, fields_in(block))


def _block(said: Said, number: Any, block: Fields) -> None:
    if block.get("type") == "text":
        said.write(block.get("text"))
    elif block.get("type") in {"tool_use", "server_tool_use"}:
        said.ask(number, block.get("id"), block.get("name"), block.get("input"))


def _langchain(said: Said, value: Any, fields: Fields) -> None:
    if "content" not in fields:
        return
    about = fields_in(fields.get("response_metadata"))
    model = first(about, "model_name", "model", "model_version")
    said.name(model, first(about, "id"), first(about, "model_provider") or _provider(value))
    # Without the id of its response a message has one of LangChain's, or of the app's, which no client tells.
    if said.id is None and not str(fields.get("id")).startswith(("run-", "lc_")):
        said.id = identifier(fields.get("id"))
    said.end(first(about, "finish_reason", "stop_reason"))
    said.use_more(fields.get("usage_metadata"))
    _content(said, fields["content"])
    for number, one in enumerate(listed(fields.get("tool_calls"))):
        call = fields_in(one)
        said.ask(number, call.get("id"), call.get("name"), call.get("args"))


def _pydantic_ai(said: Said, value: Any, fields: Fields) -> None:
    if fields.get("kind") != "response":
        return
    said.name(fields.get("model_name"), fields.get("provider_response_id"), fields.get("provider_name"))
    said.end(fields.get("finish_reason"))
    said.use(fields.get("usage"))
    for number, one in enumerate(fields["parts"]):
        part = fields_in(one)
        if part.get("part_kind") == "text":
            said.write(part.get("content"))
        elif part.get("part_kind") == "tool-call":
            said.ask(number, part.get("tool_call_id"), part.get("tool_name"), part.get("args"))


def _raw(said: Said, value: Any, fields: Fields) -> None:
    """Read the body that a client's raw response holds, where it was read already."""
    if package_of(value) is not None:
        body = object.__getattribute__(fields["http_response"], "__dict__").get("_content")
        said.name(None, None, _provider(value))
        _take(said, orjson.loads(body) if type(body) is bytes else None)


def _delta(said: Said, fields: Fields) -> None:
    delta = fields_in(fields.get("delta"))
    said.write(delta.get("text"))
    if type(piece := delta.get("partial_json")) is str:
        said.ask(fields.get("index"), arguments=piece)


def _last(said: Said, fields: Fields) -> None:
    said.end(fields_in(fields.get("delta")).get("stop_reason"))
    said.use_more(fields.get("usage"))


def _error(said: Said, fields: Fields) -> None:
    # OpenAI says it beside the type, Anthropic within.
    error = fields_in(fields.get("error")) or fields
    said.fail(first(error, "code", "type"), error.get("message"))


Reader = Callable[[Said, Any, Fields], None]

_SHAPES: dict[str, Reader] = {
    "candidates": _google,
    # The first and the last event of a stream of OpenAI responses hold the response.
    "output": _response,
    "response": lambda said, _, fields: _take(said, fields["response"]),
    "usage_metadata": _langchain,
    "parts": _pydantic_ai,
    "http_response": _raw,
    # Mistral wraps its chunks.
    "data": lambda said, _, fields: _take(said, fields["data"]),
}
_KINDS: dict[str, Reader] = {
    "message": _message,
    "message_start": lambda said, _, fields: _take(said, fields.get("message")),
    "content_block_start": lambda said, _, fields: _block(
        said, fields.get("index"), fields_in(fields.get("content_block"))
    ),
    "content_block_delta": lambda said, _, fields: _delta(said, fields),
    "message_delta": lambda said, _, fields: _last(said, fields),
    "response.output_text.delta": lambda said, _, fields: said.write(fields.get("delta")),
    "response.refusal.delta": lambda said, _, fields: said.write(fields.get("delta")),
    "response.output_item.added": lambda said, _, fields: _item(
        said, fields.get("output_index"), fields_in(fields.get("item"))
    ),
    "response.function_call_arguments.delta": lambda said, _, fields: said.ask(
        fields.get("output_index"), arguments=fields.get("delta")
    ),
    "response.custom_tool_call_input.delta": lambda said, _, fields: said.ask(
        fields.get("output_index"), arguments=fields.get("delta")
    ),
    "error": lambda said, _, fields: _error(said, fields),
    "response.output_item.done": lambda said, _, fields: _item(
        said, fields.get("output_index"), fields_in(fields.get("item"))
    ),
    # The helper of OpenAI's client for streams of chat completions.
    "chunk": lambda said, _, fields: _take(said, fields.get("chunk")),
}
