"""LangChain and pydantic-ai, with fake models of their own: each call of a model is one record."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from support import recording

from lumina_async.llms.langchain import LuminaCallbackHandler
from lumina_async.llms.pydantic_ai import LuminaModel

CALL = {"name": "search", "args": {"q": "beans"}, "id": "call_1", "type": "tool_call"}
USAGE = {"input_tokens": 11, "output_tokens": 9, "total_tokens": 20}


def fake(*answers: Any) -> GenericFakeChatModel:
    return GenericFakeChatModel(messages=iter(answers))


async def test_langchain_tells_what_its_model_said() -> None:
    """Text, tokens and tools of a whole answer; of a stream its chunks."""
    whole = AIMessage("Let me look.", usage_metadata=USAGE, tool_calls=[CALL])
    config: Any = {"callbacks": [LuminaCallbackHandler(capture_input=True)]}
    async with recording(capture_transcript="full") as (client, transport):
        model = fake(whole, "Hi there, you")
        async with (await client.session.start()).turn():
            assert (await model.ainvoke("hello", config)).text == "Let me look."
            assert "".join([chunk.text async for chunk in model.astream("hello", config)]) == "Hi there, you"
    first, second = transport.turns[0]["llm"]
    assert (first["output"], first["usage"]) == ("Let me look.", {"input_tokens": 11, "output_tokens": 9})
    assert first["tool_calls"] == [{"id": "call_1", "name": "search", "arguments": {"q": "beans"}}]
    assert first["input"][0]["content"] == "hello"
    assert (second["output"], second["outcome"], second["chunks"] >= 5) == ("Hi there, you", "completed", True)


async def test_langchain_inside_and_outside() -> None:
    """Outside a turn nothing is recorded, inside `wrap_llm` once, and an error is one of the call."""
    config: Any = {"callbacks": [LuminaCallbackHandler()]}
    async with recording(capture_transcript="full") as (client, transport):
        await fake("outside").ainvoke("hello", config)
        async with (await client.session.start()).turn() as t:
            await t.wrap_llm(lambda: fake("inside").ainvoke("hello", config), prompt_id="p")
            with pytest.raises(RuntimeError):
                await fake().ainvoke("hello", config)
    first, second = transport.turns[0]["llm"]
    assert (first["prompt_id"], first["output"]) == ("p", "inside")
    assert second["status"] == "error"


def an_agent(model: Any) -> Agent:
    agent = Agent(LuminaModel(model))

    @agent.tool_plain
    async def search(q: str) -> str:
        return f"{q} are sold out"

    return agent


async def test_each_step_of_an_agent_is_a_call() -> None:
    """pydantic-ai asks, runs the tool and asks again: two records, the first with the tool it asked for."""
    async with recording(capture_transcript="full") as (client, transport):
        async with (await client.session.start()).turn():
            said = (await an_agent(TestModel(custom_output_text="Sold out.")).run("beans?")).output
    first, second = transport.turns[0]["llm"]
    assert [call["name"] for call in first["tool_calls"]] == ["search"]
    assert (second["output"], said, second["usage"]["output_tokens"] > 0) == ("Sold out.", "Sold out.", True)


async def test_a_streamed_run_of_an_agent() -> None:
    """The text is read as the app reads it; outside a turn nothing is recorded."""

    async def words(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        for word in ("Sold ", "out."):
            yield word

    agent = an_agent(FunctionModel(stream_function=words))
    async with recording(capture_transcript="full") as (client, transport):
        async with agent.run_stream("beans?") as run:
            assert await run.get_output() == "Sold out."
        async with (await client.session.start()).turn():
            async with agent.run_stream("beans?") as run:
                assert [text async for text in run.stream_text(delta=True, debounce_by=None)] == ["Sold ", "out."]
    [call] = transport.turns[0]["llm"]
    assert (call["output"], call["outcome"], call["streaming"]) == ("Sold out.", "completed", True)
