"""LangChain and pydantic-ai, with fake models of their own: each call of a model is one record."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.language_models import FakeListLLM
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import tool
from pydantic_ai import Agent
from pydantic_ai.messages import BinaryContent, ModelMessage
from pydantic_ai.models.fallback import FallbackModel
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


def an_agent(model: Any, *, capture_input: bool = False, **options: Any) -> Agent:
    agent = Agent(LuminaModel(model, capture_input=capture_input), **options)

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


@tool
async def search(q: str) -> str:
    """Search."""
    if q == "nothing":
        raise LookupError(q)
    return f"{q} are sold out"


class Shelf(BaseRetriever):
    def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
        return [Document("Beans are green.", id="d1", metadata={"score": 0.5})]


@pytest.mark.parametrize("captures", [False, True])
async def test_langchain_tells_its_tools_and_look_ups(captures: bool) -> None:
    """A tool with what it was given; what it gave, and the texts that were found, with what is said to the model."""
    config: Any = {"callbacks": [LuminaCallbackHandler(capture_input=captures)]}
    async with recording(capture_transcript="full") as (client, transport):
        async with (await client.session.start()).turn():
            assert await search.ainvoke({"q": "beans"}, config) == "beans are sold out"
            with pytest.raises(LookupError):
                await search.ainvoke({"q": "nothing"}, config)
            await Shelf().ainvoke("beans?", config)
        await search.ainvoke({"q": "beans"}, config)
    [turn] = transport.turns
    found, failed = turn["tools"]
    assert (found["name"], found["input"], found["status"]) == ("search", {"q": "beans"}, "ok")
    assert found.get("output") == ("beans are sold out" if captures else None)
    assert (failed["status"], failed["error"]["type"]) == ("error", "LookupError")
    result = {"id": "d1", "score": 0.5} | ({"content": "Beans are green."} if captures else {})
    assert turn["retrievals"] == [{"source": "Shelf", "query": "beans?", "results": [result]}]


async def test_a_cancelled_tool_of_langchain_is_over() -> None:
    """LangChain does not tell, and no turn waits for it."""

    @tool
    async def slow(q: str) -> str:
        """Search slowly."""
        await asyncio.sleep(60)
        return q

    async with recording() as (client, transport):
        async with (await client.session.start()).turn():
            with suppress(TimeoutError):
                async with asyncio.timeout(0.01):
                    await slow.ainvoke({"q": "x"}, {"callbacks": [LuminaCallbackHandler()]})
        assert (await client.stats()).open_turns == 0
    assert [one["status"] for one in transport.turns[0]["tools"]] == ["cancelled"]


async def test_langchain_forgets_what_was_cancelled() -> None:
    """A handler lives as long as the app, and holds only what runs."""
    handler = LuminaCallbackHandler()

    async def words(*_: Any) -> str:
        await asyncio.sleep(60)
        return "never"

    async with recording() as (client, _):
        for _number in range(300):
            async with (await client.session.start()).turn():
                task = asyncio.ensure_future(tool("slow", description="x")(words).ainvoke({}, {"callbacks": [handler]}))
                await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait({task})
    assert len(handler._tools) < 150


async def test_a_model_without_roles() -> None:
    """The text that it completed."""
    config: Any = {"callbacks": [LuminaCallbackHandler(capture_input=True)]}
    async with recording(capture_transcript="full") as (client, transport):
        async with (await client.session.start()).turn():
            assert await FakeListLLM(responses=["upon a time"]).ainvoke("Once", config) == "upon a time"
    [call] = transport.turns[0]["llm"]
    assert (call["input"], call["output"]) == (["Once"], "upon a time")


async def talk(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
    for word in ("One ", "two ", "three."):
        yield word
    if "fail" in str(messages):
        raise OSError("the provider's")


async def streamed(question: str, work: Any) -> dict[str, Any]:
    """The call of a run that is read by `work`, with another model asked for each piece of text."""
    agent = Agent(LuminaModel(FunctionModel(stream_function=talk)))
    async with recording(capture_transcript="full") as (client, transport):
        with suppress(OSError, ValueError):
            async with (await client.session.start()).turn():
                async with agent.run_stream(question) as run:
                    await work(run)
        assert (await client.stats()).open_turns == 0
    return {**transport.turns[0]["llm"][0], "turn": transport.turns[0]["status"]}


async def read(run: Any) -> None:
    _ = [text async for text in run.stream_text(delta=True, debounce_by=None)]


async def read_some(run: Any) -> None:
    async for _ in run.stream_text(delta=True, debounce_by=None):
        break


async def fail(run: Any) -> None:
    async for _ in run.stream_text(delta=True, debounce_by=None):
        raise ValueError("the app's")


@pytest.mark.parametrize(
    ("question", "work", "outcome", "status"),
    [
        ("hello", read, "completed", "ok"),
        ("hello", read_some, "stopped", "ok"),
        ("hello", fail, "stopped", "ok"),
        ("fail", read, "provider_error", "error"),
    ],
    ids=["read", "left", "error of the app", "error of the provider"],
)
async def test_each_ending_of_a_streamed_run(question: str, work: Any, outcome: str, status: str) -> None:
    """With its text until then, its pieces, and the time to the first."""
    call = await streamed(question, work)
    assert (call["outcome"], call["status"]) == (outcome, status)
    assert "One two three.".startswith(call["output"])
    assert call["chunks"] >= 1
    assert call["ttft_ms"] >= 0


async def test_a_run_whose_reader_is_closed_has_lost_its_client() -> None:
    """A generator that streams to a client, closed in the middle, as servers do when the client has left."""
    agent = Agent(LuminaModel(FunctionModel(stream_function=talk)))
    async with recording(capture_transcript="full") as (client, transport):
        session = await client.session.start()

        async def body() -> AsyncIterator[str]:
            async with session.turn(), agent.run_stream("hello") as run:
                async for text in run.stream_text(delta=True, debounce_by=None):
                    yield text

        response = body()
        await anext(response)
        await response.aclose()  # type: ignore[attr-defined]
    [turn] = transport.turns
    assert (turn["status"], turn["llm"][0]["outcome"]) == ("cancelled", "client_gone")


async def test_what_the_app_asks_while_it_reads_a_run_is_its_own() -> None:
    """The block of `run_stream` is the app's: its calls are not the model's."""

    async def asking(run: Any) -> None:
        async for _ in run.stream_text(delta=True, debounce_by=None):
            await Agent(LuminaModel(TestModel(custom_output_text="aside"))).run("x")

    agent = Agent(LuminaModel(FunctionModel(stream_function=talk)))
    async with recording(capture_transcript="full") as (client, transport):
        async with (await client.session.start()).turn(), agent.run_stream("hello") as run:
            await asking(run)
    outputs = [call["output"] for call in transport.turns[0]["llm"]]
    assert outputs == ["One two three.", "aside", "aside", "aside"]


async def test_a_run_inside_wrap_llm_tells_that_call() -> None:
    """Whole or streamed, an agent inside is one call with its tokens."""
    agent = Agent(LuminaModel(FunctionModel(stream_function=talk)))

    async def work() -> str:
        async with agent.run_stream("hello") as run:
            await read(run)
            return "done"

    async with recording(capture_transcript="full") as (client, transport):
        async with (await client.session.start()).turn() as t:
            await t.wrap_llm(work, prompt_id="p")
    [call] = transport.turns[0]["llm"]
    assert (call["prompt_id"], call["output"]) == ("p", "One two three.")
    assert call["usage"]["output_tokens"] > 0


async def test_look_ups_that_are_cancelled_leave_no_text() -> None:
    """LangChain does not tell that they ended; what is kept of them is little, and nothing that may not leave."""
    handler = LuminaCallbackHandler()

    class Slow(BaseRetriever):
        async def _aget_relevant_documents(self, query: str, **_: Any) -> list[Document]:
            await asyncio.sleep(60)
            return []

        def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
            raise NotImplementedError

    async def ask() -> None:
        task = asyncio.ensure_future(Slow().ainvoke("I am ada@example.com", {"callbacks": [handler]}))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})

    await ask()
    assert not handler._look_ups
    async with recording() as (client, _):
        async with (await client.session.start()).turn():
            for _number in range(300):
                await ask()
    assert len(handler._look_ups) == 256
    assert {begun["query"] for begun in handler._look_ups.values()} == {"I am [EMAIL]"}


async def test_models_inside_models_of_pydantic_ai_are_one_call() -> None:
    """A recorded model with another recorded one inside tells its tokens once, whole and streamed."""
    inner = LuminaModel(FunctionModel(stream_function=talk))
    agent = Agent(LuminaModel(FallbackModel(inner, LuminaModel(TestModel()))))
    async with recording(capture_transcript="full") as (client, transport):
        async with (await client.session.start()).turn():
            async with agent.run_stream("hello") as run:
                await read(run)
    [call] = transport.turns[0]["llm"]
    assert (call["output"], call["outcome"]) == ("One two three.", "completed")


async def test_what_is_said_to_a_model_is_told_in_the_words_of_models() -> None:
    """Roles, calls of tools and their answers, whichever framework has them; of data its size."""
    config: Any = {"callbacks": [LuminaCallbackHandler(capture_input=True)]}
    said = [SystemMessage("Be brief."), HumanMessage("beans?"), AIMessage("", tool_calls=[CALL])]
    agent = an_agent(TestModel(custom_output_text="Sold out."), capture_input=True, instructions="Be brief.")
    async with recording(capture_transcript="full") as (client, transport):
        async with (await client.session.start()).turn():
            await fake("Sold out.").ainvoke([*said, ToolMessage("sold out", tool_call_id="call_1")], config)
            await agent.run(["beans?", BinaryContent(b"1234", media_type="image/png")])
    first, _, last = (call["input"] for call in transport.turns[0]["llm"])
    asked = {"id": "call_1", "name": "search", "arguments": {"q": "beans"}}
    assert first == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "beans?"},
        {"role": "assistant", "content": "", "tool_calls": [asked]},
        {"role": "tool", "content": "sold out", "tool_call_id": "call_1"},
    ]
    assert [message["role"] for message in last] == ["system", "user", "assistant", "system", "tool"]
    assert last[1]["content"] == ["beans?", {"type": "binary", "mime": "image/png", "bytes": 4}]
    assert (last[2]["tool_calls"][0]["name"], last[-1]["content"]) == ("search", "a are sold out")
