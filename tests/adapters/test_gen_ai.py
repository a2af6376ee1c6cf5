"""What the providers read from the event of a turn: whatever the app put into it, and who said what."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, strategies as st

from lumina_async.providers.gen_ai import call_attributes, retrieval_attributes, tool_attributes, turn_attributes
from lumina_async.providers.posthog_ai import ai_events

NAMES = ("role", "content", "parts", "text", "type", "tool_calls", "tool_call_id", "function", "name", "arguments")
LEAVES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, width=32) | st.text()
ODD = st.recursive(
    LEAVES | st.sampled_from(["user", "assistant", "tool", "tool_result"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
ENDED = {"span_id": "b6e574ad548e7aeb", "started_at": "2026-01-01T10:00:00.000Z", "latency_ms": 5}
STATUS = st.sampled_from(["ok", "error", "cancelled"])
META = st.dictionaries(st.sampled_from(["stop", "n", "top_k", "response_format", "response_mime_type"]), ODD) | ODD
USAGE = st.dictionaries(st.sampled_from(["input_tokens", "cached_input_tokens"]), ODD) | ODD
CALLS = st.fixed_dictionaries(
    {"status": STATUS}, optional={"input": ODD, "output": ODD, "tool_calls": ODD, "meta": META, "usage": USAGE}
)
TOOLS = st.fixed_dictionaries(
    {"name": st.text(), "status": STATUS}, optional={"input": ODD, "output": ODD, "meta": ODD}
)
LOOK_UPS = st.fixed_dictionaries({}, optional={"source": ODD, "query": ODD, "results": ODD})
QUESTION, ANSWER = {"role": "user", "content": "Capital?"}, {"role": "assistant", "content": "Paris"}


def turn(**fields: Any) -> dict[str, Any]:
    ids = {"turn_id": "00f067aa0ba902b7", "event_id": "019a0000-0000-7000-8000-000000000001", "seq": 1}
    ids |= {"source": "lumina-async", "sdk_version": "1", "ts": ENDED["started_at"], "anonymous": True}
    return {**ENDED, **ids, "status": "ok", **fields}


def call(**fields: Any) -> dict[str, Any]:
    return {**ENDED, "status": "ok", "model": "m", **fields}


def tool_call(name: str) -> dict[str, Any]:
    return {"id": "call_1", "name": name, "arguments": {}}


@given(
    messages=ODD | st.lists(ODD, max_size=4),
    llm=st.lists(CALLS, max_size=2),
    tools=st.lists(TOOLS, max_size=1),
    retrievals=st.lists(LOOK_UPS, max_size=1),
)
def test_no_content_of_the_apps_is_too_odd(messages: Any, llm: Any, tools: Any, retrievals: Any) -> None:
    """Attributes are of OpenTelemetry's types, messages have a role and parts, and PostHog gets JSON."""
    calls, ran = [{**ENDED, **one} for one in llm], [{**ENDED, **one} for one in tools]
    facts = turn(messages=messages, llm=calls, tools=ran, retrievals=retrievals)
    told = [turn_attributes(facts), *(call_attributes(one, facts) for one in calls)]
    told += [*map(tool_attributes, ran), *map(retrieval_attributes, retrievals)]
    for name, value in (item for attributes in told for item in attributes.items()):
        assert isinstance(value, str | bool | int | float) or all(isinstance(word, str) for word in value)
        if name.endswith(".messages"):
            assert all(one["role"] and isinstance(one["parts"], list) for one in json.loads(str(value)))
    for event in ai_events(facts):
        orjson.dumps(event.properties)


FORMS: dict[str, tuple[Any, str, str]] = {
    "google": ({"role": "model", "parts": [{"text": "hi"}]}, "model", "hi"),
    "google, bare": ({"parts": [{"text": "hi"}]}, "user", "hi"),
    "no role": ({"role": None, "content": "hi"}, "user", "hi"),
    "a part": ({"type": "text", "text": "hi"}, "user", "hi"),
    "no message": ("hi", "user", "hi"),
}


@pytest.mark.parametrize(("given_as", "role", "text"), FORMS.values(), ids=FORMS)
def test_a_message_is_read_in_every_form_that_clients_use(given_as: Any, role: str, text: str) -> None:
    """In a list, or alone."""
    for asked in ([given_as], given_as):
        attributes = call_attributes(call(input=asked), turn())
        told = json.loads(str(attributes["gen_ai.input.messages"]))
        assert told == [{"role": role, "parts": [{"type": "text", "content": text}]}]


ENDINGS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "answered": ({}, ["text"]),
    "failed": ({"status": "error"}, []),
    "cut off": ({"status": "cancelled"}, []),
    "asked for a tool": ({"tool_calls": [tool_call("look_up")]}, ["tool_call"]),
}


@pytest.mark.parametrize(("fields", "kinds"), ENDINGS.values(), ids=ENDINGS)
def test_the_transcript_is_the_answer_of_a_model_that_gave_one(fields: dict[str, Any], kinds: list[str]) -> None:
    """What a person was told after a failure, or after a tool, is the turn's answer and no model's."""
    one = call(**fields)
    facts = turn(llm=[one], messages=[QUESTION, ANSWER])
    output = json.loads(str(call_attributes(one, facts).get("gen_ai.output.messages", "[]")))
    assert [part["type"] for message in output for part in message["parts"]] == kinds
    [generation] = [event.properties for event in ai_events(facts) if event.event == "$ai_generation"]
    assert len(generation.get("$ai_output_choices", ())) == len(kinds)
    assert turn_attributes(facts)["output.value"] == "Paris"


def test_a_model_that_asked_for_a_tool_was_not_asked_what_the_tool_gave() -> None:
    """The transcript up to the question; a later call is told by its own input."""
    asks = {"role": "assistant", "tool_calls": [tool_call("look_up")]}
    gave = {"role": "tool", "tool_call_id": "call_1", "content": "4711"}
    one = call(tool_calls=asks["tool_calls"])
    attributes = call_attributes(one, turn(llm=[one], messages=[QUESTION, asks, gave, ANSWER]))
    assert [message["role"] for message in json.loads(str(attributes["gen_ai.input.messages"]))] == ["user"]
    assert attributes["input.value"] == "Capital?"


def test_only_what_a_response_said_is_its_finish_reason() -> None:
    """Neither the turn nor a call without one ends for a reason that we made up."""
    for reason in ("length", None):
        one = call(finish_reason=reason, output="Paris")
        attributes = call_attributes(one, turn(llm=[one]))
        [message] = json.loads(str(attributes["gen_ai.output.messages"]))
        assert (message.get("finish_reason"), attributes.get("gen_ai.response.finish_reasons")) == (
            reason,
            reason and [reason],
        )
    assert "finish_reason" not in str(turn_attributes(turn(messages=[QUESTION, ANSWER])))


RESULTS: dict[str, dict[str, Any]] = {
    "openai": {"role": "tool", "tool_call_id": "call_1", "content": "4711"},
    "anthropic": {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "4711"}]},
}


@pytest.mark.parametrize("result", RESULTS.values(), ids=RESULTS)
def test_the_question_of_a_turn_is_the_users(result: dict[str, Any]) -> None:
    """Not what a tool gave, whatever role that has."""
    asks = {"role": "assistant", "content": "Let me look."}
    attributes = turn_attributes(turn(messages=[QUESTION, asks, result, ANSWER]))
    assert (attributes["input.value"], attributes["output.value"]) == ("Capital?", "Paris")


PARAMETERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "one stop": ({"stop": "END"}, {"gen_ai.request.stop_sequences": ["END"]}),
    "stops": ({"stop_sequences": ["a", "b"]}, {"gen_ai.request.stop_sequences": ["a", "b"]}),
    "choices": ({"n": 3}, {"gen_ai.request.choice.count": 3}),
    "one choice": ({"candidate_count": 1}, {}),
    "json": ({"response_format": {"type": "json_schema"}}, {"gen_ai.output.type": "json"}),
    "google's json": ({"response_mime_type": "application/json"}, {"gen_ai.output.type": "json"}),
    "others": ({"stop": [5], "n": "many", "response_format": 5, "response_mime_type": ["a"]}, {}),
}


@pytest.mark.parametrize(("meta", "told"), PARAMETERS.values(), ids=PARAMETERS)
def test_parameters_in_the_metadata_have_the_names_of_the_conventions(
    meta: dict[str, Any], told: dict[str, Any]
) -> None:
    """As OpenAI, Anthropic and Google call them; others are left out."""
    plain = call_attributes(call(), turn())
    assert call_attributes(call(meta=meta), turn()) == plain | told


def test_a_tool_names_the_call_that_asked_for_it() -> None:
    """Where the app says which that is, in the metadata."""
    tool = {**ENDED, "name": "look_up", "status": "ok", "meta": {"tool_call_id": "call_1"}}
    assert tool_attributes(tool)["gen_ai.tool.call.id"] == "call_1"


TOKENS = {"input_tokens": 1_600, "output_tokens": 90, "cached_input_tokens": 500, "cache_creation_input_tokens": 1_000}


def test_what_a_cache_gave_and_took_is_told_as_a_part_of_the_input() -> None:
    """Under the names of the conventions; PostHog is told so, for of a Claude it would take them for the rest."""
    one = call(model="claude-haiku-4-5", usage=TOKENS | {"cache_creation_1h_input_tokens": 400})
    told = call_attributes(one, turn())
    assert told["gen_ai.usage.cache_creation.input_tokens"] == 1_000
    assert (told["gen_ai.usage.cache_read.input_tokens"], told["gen_ai.usage.input_tokens"]) == (500, 1_600)
    properties = next(ai_events(turn(llm=[one]))).properties
    assert {name: value for name, value in properties.items() if "tokens" in name or "cache" in name} == {
        "$ai_input_tokens": 1_600,
        "$ai_output_tokens": 90,
        "$ai_cache_read_input_tokens": 500,
        "$ai_cache_creation_input_tokens": 1_000,
        "$ai_cache_creation_1h_input_tokens": 400,
        "$ai_cache_reporting_exclusive": False,
    }


@pytest.mark.parametrize(("model", "output"), [("gemini-2.5-flash", 60), ("gpt-5", 90)])
def test_posthog_counts_the_reasoning_of_no_model_twice(model: str, output: int) -> None:
    """To the output of Google's it adds that itself."""
    one = call(model=model, usage=TOKENS | {"reasoning_tokens": 30})
    properties = next(ai_events(turn(llm=[one]))).properties
    assert (properties["$ai_output_tokens"], properties["$ai_reasoning_tokens"]) == (output, 30)


@pytest.mark.parametrize(
    ("provider", "name"),
    [
        ("openai", "openai"),
        ("google-gla", "gcp.gemini"),
        ("google-vertex", "gcp.vertex_ai"),
        ("google_vertexai", "gcp.vertex_ai"),
        ("amazon_bedrock", "aws.bedrock"),
        ("azure_openai", "azure.ai.openai"),
    ],
)
def test_providers_have_the_names_of_the_conventions(provider: str, name: str) -> None:
    """Also as pydantic-ai and LangChain call them."""
    assert call_attributes(call(provider=provider), turn())["gen_ai.provider.name"] == name
