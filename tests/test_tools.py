"""Tools, retrievals and decorators: what they record, and that they change nothing."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from support import recording

from lumina_async import RetrievalInfo, RetrievalResult, ToolCall, current_turn, llm, retrieval, tool


class Broken(Exception):
    pass


async def search(query: str) -> list[str]:
    await asyncio.sleep(0.001)
    return [query]


async def test_a_tool_is_recorded_with_what_is_said_about_it() -> None:
    """Name, type, target, version, latency, status, input, output and metadata (SPEC 5)."""
    async with recording(capture_transcript="full") as (client, transport):
        async with (await client.session.start()).turn() as t:
            found = await t.record_tool(
                "search",
                lambda: search("q"),
                {"type": "db", "target": "old"},
                target="pg",
                version="1",
                input="q",
                top=5,
            )
            await t.record_tool("length", lambda: len(found), ToolCall(type="math", output=lambda result: result + 1))
    first, second = transport.turns[0]["tools"]
    assert found == ["q"]
    assert {key: first[key] for key in ("name", "type", "target", "version", "status", "input", "meta")} == {
        "name": "search",
        "type": "db",
        "target": "pg",
        "version": "1",
        "status": "ok",
        "input": "q",
        "meta": {"top": 5},
    }
    assert first["latency_ms"] >= 1
    assert (second["type"], second["output"]) == ("math", 2)


async def test_a_tool_that_fails_raises_and_is_an_error() -> None:
    """The very exception comes out; the turn is an error only if it leaves the block."""
    error = Broken("down")

    def fail() -> None:
        raise error

    async with recording() as (client, transport):
        async with (await client.session.start()).turn() as t:
            with pytest.raises(Broken) as caught:
                await t.record_tool("fetch", fail)
    assert caught.value is error
    [turn] = transport.turns
    assert (turn["status"], turn["tools"][0]["status"]) == ("ok", "error")
    assert turn["tools"][0]["error"]["type"] == "test_tools.Broken"


async def test_without_tool_wrapping_the_tool_only_runs() -> None:
    """enable_tool_wrapping=False records no tool, by call or by decorator (SPEC 3)."""
    calls: list[str] = []

    @tool
    def note() -> None:
        calls.append("decorated")

    async with recording(enable_tool_wrapping=False) as (client, transport):
        async with (await client.session.start()).turn() as t:
            assert await t.record_tool("x", lambda: 42) == 42
            note()
    assert "tools" not in transport.turns[0]
    assert calls == ["decorated"]


@pytest.mark.parametrize(
    "results",
    [
        [{"id": "d1", "score": 0.9, "content": "text"}],
        [RetrievalResult("d1", 0.9, "text")],
        [SimpleNamespace(id="d1", score=0.9, page_content="text")],
        ({"document_id": "d1", "score": 0.9, "text": "text"},),
        {"id": "d1", "score": 0.9, "content": "text"},
    ],
    ids=["mappings", "results", "objects", "other names", "one"],
)
async def test_retrievals_take_every_form_of_result(results: Any) -> None:
    """Mappings, RetrievalResult and the objects of the vector stores."""
    async with recording(capture_transcript="full") as (client, transport):
        async with (await client.session.start()).turn() as t:
            await t.add_retrieval(source="docs", query="q", results=results)
            await t.add_retrieval(RetrievalInfo(source="docs", query="q", results=results))
            await t.add_retrieval({"source": "other", "query": "q", "results": results}, source="docs")
    expected = {"source": "docs", "query": "q", "results": [{"id": "d1", "score": 0.9, "content": "text"}]}
    assert transport.turns[0]["retrievals"] == [expected] * 3


async def test_under_none_a_retrieval_keeps_ids_and_scores_alone() -> None:
    """Query and contents are content; input and output of tools too (SPEC 6)."""
    async with recording(capture_transcript="none") as (client, transport):
        async with (await client.session.start()).turn() as t:
            await t.add_retrieval(
                source="docs", query="q", results=[{"id": "d1", "score": 0.9, "content": "text"}, "text"]
            )
            await t.record_tool("x", lambda: 1, input="in", output="out")
    [turn] = transport.turns
    assert turn["retrievals"] == [{"source": "docs", "results": [{"id": "d1", "score": 0.9}, {}]}]
    assert not {"input", "output"} & turn["tools"][0].keys()


@llm(model="m", prompt_id="p", capture=True)
async def answer(question: str) -> str:
    return question.upper()


@tool("adder", type="math", capture=True)
def add(a: int, b: int = 2) -> int:
    return a + b


@tool
async def undescribed() -> None:
    raise Broken


@retrieval("docs")
async def look_up(query: str) -> list[dict[str, Any]]:
    return [{"id": "d1", "content": query}]


@retrieval
def scan(*, query: str) -> list[RetrievalResult]:
    return [RetrievalResult("d2", content=query)]


@llm(model="s")
async def words(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


@llm
def letters() -> Iterator[str]:
    yield from "ab"


async def test_decorated_functions_are_recorded_in_the_current_turn() -> None:
    """Coroutines, plain functions, generators of both kinds: each gives what it gives, and leaves its record."""
    async with recording(capture_transcript="full") as (client, transport):
        async with (await client.session.start()).turn():
            assert await answer("hi") == "HI"
            assert add(1) == 3
            with pytest.raises(Broken):
                await undescribed()
            assert await look_up("q") == [{"id": "d1", "content": "q"}]
            assert scan(query="r")
            assert [number async for number in words(3)] == [0, 1, 2]
            assert list(letters()) == ["a", "b"]
    [turn] = transport.turns
    hi, stream, plain = turn["llm"]
    assert (hi["model"], hi["prompt_id"], hi["input"], hi["output"]) == ("m", "p", {"question": "hi"}, "HI")
    assert (stream["chunks"], stream["outcome"], plain["chunks"]) == (3, "completed", 2)
    adder, failed = turn["tools"]
    assert (adder["name"], adder["type"], adder["input"], adder["output"]) == ("adder", "math", {"a": 1}, 3)
    assert (failed["name"], failed["status"]) == ("undescribed", "error")
    assert [found["source"] for found in turn["retrievals"]] == ["docs", "scan"]
    assert [found["query"] for found in turn["retrievals"]] == ["q", "r"]


async def test_outside_a_turn_a_decorated_function_is_itself() -> None:
    """Nothing is recorded, nothing is changed: name, signature and kind stay."""
    assert await answer("hi") == "HI"
    assert add(1) == 3
    assert [number async for number in words(2)] == [0, 1]
    assert inspect.iscoroutinefunction(answer)
    assert add.__name__ == "add"
    assert str(inspect.signature(add)) == "(a: int, b: int = 2) -> int"


async def test_tools_of_many_tasks_belong_to_the_turn_they_were_started_in() -> None:
    """Under gather and a task group each call goes to the turn of its own task, with the right parent."""

    async def exchange(client: Any, number: int) -> None:
        async with (await client.session.start()).turn() as outer:
            await outer.annotate(number=number)

            async def step(name: str) -> None:
                await asyncio.sleep(0)
                turn = current_turn()
                assert turn is not None
                await turn.record_tool(name, lambda: asyncio.sleep(0))

            await asyncio.gather(*(step(f"g{number}") for _ in range(3)))
            async with asyncio.TaskGroup() as group:
                for _ in range(3):
                    group.create_task(step(f"t{number}"))

            async def nested() -> None:
                async with (await client.session.start()).turn() as inner:
                    await inner.annotate(number=number, inner=True)

            await asyncio.create_task(nested())

    async with recording() as (client, transport):
        await asyncio.gather(*(exchange(client, number) for number in range(20)))
    outers = {turn["annotations"]["number"]: turn for turn in transport.turns if "inner" not in turn["annotations"]}
    for turn in transport.turns:
        number = turn["annotations"]["number"]
        if "inner" in turn["annotations"]:
            assert turn["parent_id"] == outers[number]["turn_id"]
        else:
            assert sorted(call["name"] for call in turn["tools"]) == [f"g{number}"] * 3 + [f"t{number}"] * 3


async def test_an_async_mask_fails_closed_in_plain_functions() -> None:
    """Where nothing can be awaited, content is [MASK_FAILED] (SPEC 6)."""

    async def mask(text: str) -> str:
        return "masked"

    @tool(capture=True)
    def echo(text: str) -> str:
        return text

    async with recording(mask_fn=mask) as (client, transport):
        async with (await client.session.start()).turn() as t:
            echo("secret")
            await t.record_tool("x", lambda: 1, input="secret", output=lambda _: "secret")
    blind, seen = transport.turns[0]["tools"]
    assert (blind["input"], blind["output"]) == ({"text": "[MASK_FAILED]"}, "[MASK_FAILED]")
    assert (seen["input"], seen["output"]) == ("masked", "masked")
