"""Several layers at once: `wrap_llm`, frameworks and instrumented clients; each call of a model is told once."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import pytest
from e2e.aimock import aimock, fixture
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from openai import AsyncOpenAI, OpenAI
from support import recording, until

from lumina_async import LuminaClient
from lumina_async._inside import Place, here
from lumina_async._instrument import record
from lumina_async.llms import openai as for_openai
from lumina_async.llms.langchain import LuminaCallbackHandler

pytestmark = pytest.mark.node

USAGE = {"prompt_tokens": 11, "completion_tokens": 9, "total_tokens": 20}
USED, TWICE = {"input_tokens": 11, "output_tokens": 9}, {"input_tokens": 22, "output_tokens": 18}
ASK: Any = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
CONFIG: Any = {"callbacks": [LuminaCallbackHandler()]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    said = fixture("hello", content="Hi there, how are you?", usage=USAGE, chunkSize=4)
    with aimock(tmp_path_factory.mktemp("aimock"), said) as url:
        yield url


@pytest.fixture
async def openai(server: str) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=server, api_key="x", max_retries=0) as client:
        yield for_openai.instrument(client)


class Model(BaseChatModel):
    """A chat model of LangChain on top of a client, as `langchain-openai` is; it may take its time."""

    client: Any
    slow_s: float = 0

    @property
    def _llm_type(self) -> str:
        return "model"

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        raise NotImplementedError

    async def _agenerate(self, *_: Any, **__: Any) -> ChatResult:
        await asyncio.sleep(self.slow_s)
        answer = await self.client.chat.completions.create(**ASK)
        about = {"id": answer.id, "model_name": answer.model, "model_provider": "openai"}
        message = AIMessage(answer.choices[0].message.content or "", response_metadata=about)
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _astream(self, *_: Any, run_manager: Any = None, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
        async for chunk in await self.client.chat.completions.create(**ASK, stream=True):
            if text := chunk.choices[0].delta.content:
                piece = ChatGenerationChunk(message=AIMessageChunk(text))
                if run_manager is not None:
                    await run_manager.on_llm_new_token(text, chunk=piece)
                yield piece
                await asyncio.sleep(self.slow_s)


async def told(work: Any, **options: Any) -> list[dict[str, Any]]:
    """The calls of models that were recorded in one turn that does this work."""
    async with recording(capture_transcript="full", **options) as (client, transport):
        async with (await client.session.start()).turn() as turn:
            await work(turn)
        assert (await client.stats()).open_turns == 0
    return list(transport.turns[0].get("llm", []))


async def test_a_cancelled_call_of_langchain_is_over(openai: AsyncOpenAI) -> None:
    """LangChain does not tell: what the app asks next is not taken for a part of it, and no turn waits for it."""

    async def work(_: Any) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.02):
                await Model(client=openai, slow_s=5).ainvoke("x", CONFIG)
        await Model(client=openai).ainvoke("x", CONFIG)
        await openai.chat.completions.create(**ASK)

    calls = await told(work)
    assert [call["status"] for call in calls] == ["cancelled", "ok", "ok"]
    assert [call.get("usage") for call in calls] == [None, USED, USED]


async def test_a_stream_of_langchain_that_is_broken_off_is_over(openai: AsyncOpenAI) -> None:
    """It was stopped by the app; the next call is one of its own."""

    async def work(_: Any) -> None:
        async for _chunk in Model(client=openai).astream("x", CONFIG):
            break
        await openai.chat.completions.create(**ASK)
        await asyncio.sleep(0.01)

    calls = await told(work)
    assert [call.get("outcome") for call in calls] == ["stopped", None]
    assert "Hi there, how are you?".startswith(calls[0]["output"])


async def test_calls_between_the_chunks_of_langchain_are_calls(openai: AsyncOpenAI) -> None:
    """What the app asks for each chunk is not asked by the model; the model's own client is, and tells its tokens."""

    async def work(_: Any) -> None:
        async for chunk in Model(client=openai).astream("x", CONFIG):
            if chunk.text:
                await openai.chat.completions.create(**ASK)

    streamed, *others = await told(work)
    assert len(others) == streamed["chunks"] - 1 >= 5
    assert (streamed["output"], streamed["usage"]) == ("Hi there, how are you?", USED)
    assert all(call["usage"] == USED for call in others)


async def test_each_of_many_questions_to_langchain_is_a_call(openai: AsyncOpenAI) -> None:
    """Asked at once, each is recorded."""

    async def work(_: Any) -> None:
        await Model(client=openai).abatch(["a", "b", "c"], CONFIG)
        await Model(client=openai).agenerate([[AIMessage("a")], [AIMessage("b")]], callbacks=CONFIG["callbacks"])

    calls = await told(work)
    assert [call["output"] for call in calls] == ["Hi there, how are you?"] * 5
    assert len({call["response_id"] for call in calls}) == 5


async def test_langchain_inside_wrap_llm_tells_that_call(openai: AsyncOpenAI) -> None:
    """An agent of two calls, whichever layers are on, is one call with the tokens of both."""

    async def agent() -> str:
        await Model(client=openai).ainvoke("x", CONFIG)
        return (await Model(client=openai).ainvoke("x", CONFIG)).text

    async def work(turn: Any) -> None:
        await turn.wrap_llm(agent, prompt_id="agent")

    [call] = await told(work)
    assert (call["prompt_id"], call["usage"], call["output"]) == ("agent", TWICE, "Hi there, how are you?")


async def test_an_agent_that_returns_its_last_response_has_all_tokens(openai: AsyncOpenAI) -> None:
    """The response that comes out was heard inside already, and counts once."""

    async def agent() -> Any:
        await openai.chat.completions.create(**ASK)
        return await openai.chat.completions.create(**ASK)

    async def work(turn: Any) -> None:
        await turn.wrap_llm(agent)

    [call] = await told(work)
    assert call["usage"] == TWICE


async def test_what_no_client_told_is_added(openai: AsyncOpenAI, server: str) -> None:
    """A response of a client that is not instrumented comes on top of those of one that is."""

    async def work(turn: Any) -> None:
        async with AsyncOpenAI(base_url=server, api_key="x") as plain:

            async def agent() -> Any:
                await openai.chat.completions.create(**ASK)
                return await plain.chat.completions.create(**ASK)

            await turn.wrap_llm(agent)

    [call] = await told(work)
    assert call["usage"] == TWICE


@pytest.mark.parametrize("kind", ["dicts", "chunks", "text"])
async def test_a_generator_of_the_app_is_one_call(openai: AsyncOpenAI, kind: str) -> None:
    """Whatever it yields, and however many requests it makes: their tokens are added up."""

    async def agent() -> AsyncIterator[Any]:
        for _ in range(2):
            yield {"event": "status"} if kind == "dicts" else ""
            async for chunk in await openai.chat.completions.create(**ASK, stream=True):
                text = chunk.choices[0].delta.content or ""
                yield {"dicts": {"text": text}, "chunks": chunk, "text": text}[kind]

    async def work(turn: Any) -> None:
        async for _ in await turn.wrap_llm(agent):
            pass

    [call] = await told(work)
    assert (call["usage"], call["outcome"]) == (TWICE, "completed")
    assert call["response_model"] == "gpt-4o-mini"


async def test_a_stream_that_is_left_inside_a_call_tells_it(openai: AsyncOpenAI) -> None:
    """An agent that has read enough still has the model and the text until there."""

    async def agent() -> str:
        async for chunk in await openai.chat.completions.create(**ASK, stream=True):
            if chunk.choices[0].delta.content:
                break
        return "enough"

    async def work(turn: Any) -> None:
        await turn.wrap_llm(agent)

    [call] = await told(work)
    assert call["response_model"] == "gpt-4o-mini"
    assert "Hi there, how are you?".startswith(call["output"])


async def test_a_turn_inside_a_call_has_its_own_calls(openai: AsyncOpenAI) -> None:
    """An agent inside `wrap_llm` that opens a turn of its own: that turn has them, and the call around it goes on."""
    async with recording(capture_transcript="full") as (client, transport):

        async def agent() -> str:
            async with (await client.session.start()).turn():
                await openai.chat.completions.create(**ASK)
            await openai.chat.completions.create(**ASK)
            return "done"

        async with (await client.session.start()).turn() as outer:
            await outer.wrap_llm(agent, prompt_id="agent")
    inner, around = transport.turns
    assert [call["usage"] for call in inner["llm"]] == [USED]
    assert [(call["prompt_id"], call["usage"]) for call in around["llm"]] == [("agent", USED)]


async def waited_for(model: Model) -> None:
    await asyncio.wait_for(model.ainvoke("x", CONFIG), 0.2)


async def in_a_chain(model: Model) -> None:
    async with asyncio.timeout(0.2):
        await (RunnableLambda(str) | model).ainvoke("x", CONFIG)


async def in_a_group(model: Model) -> None:
    async def fail() -> None:
        await asyncio.sleep(0.2)
        raise TimeoutError

    async with asyncio.TaskGroup() as group:
        group.create_task(model.ainvoke("x", CONFIG))
        group.create_task(fail())


async def streamed_inside(model: Model) -> None:
    async with asyncio.timeout(0.3):
        await model.bind(stream=True).ainvoke("x", CONFIG)


@pytest.mark.parametrize("work", [waited_for, in_a_chain, in_a_group, streamed_inside])
async def test_a_call_that_is_cancelled_in_any_task_holds_no_turn(openai: AsyncOpenAI, work: Any) -> None:
    """LangChain runs its steps in tasks of its own; a turn that goes on is offered as its block ends."""
    async with recording(capture_transcript="full") as (client, transport):
        async with (await client.session.start()).turn():
            with suppress(TimeoutError, BaseExceptionGroup):
                await work(Model(client=openai, slow_s=5))
        await until(lambda: transport.turns)
        assert (await client.stats()).open_turns == 0
    [turn] = transport.turns
    assert (turn["status"], [call["status"] for call in turn["llm"]]) == ("ok", ["cancelled"])


@pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")
async def test_a_call_that_runs_on_in_the_background_is_waited_for(openai: AsyncOpenAI) -> None:
    """The newest events of LangChain are read while the model runs by itself: the turn may be left before."""
    async with recording(capture_transcript="full") as (client, transport):
        async with (await client.session.start()).turn():
            events = aiter(await Model(client=openai).astream_events("x", CONFIG, version="v3"))
            await anext(events)
        seen = [event async for event in events]
        await until(lambda: transport.turns)
    [call] = transport.turns[0]["llm"]
    assert seen
    assert (call["status"], call["output"]) == ("ok", "Hi there, how are you?")
    assert (call["outcome"], call["chunks"] > 2, call["ttft_ms"] > 0) == ("completed", True, True)


async def test_a_model_that_a_tool_asks_is_a_call(openai: AsyncOpenAI) -> None:
    """The tool is one record, and the call of the model another."""

    @tool
    async def ask(q: str) -> str:
        """Ask another model."""
        return (await Model(client=openai).ainvoke(q)).text

    async def work(_: Any) -> None:
        await ask.ainvoke({"q": "x"}, CONFIG)

    assert [call["usage"] for call in await told(work)] == [USED]


class Blocking(BaseChatModel):
    """A model that LangChain runs in a thread, on top of a client that blocks."""

    client: Any

    @property
    def _llm_type(self) -> str:
        return "blocking"

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        answer = self.client.chat.completions.create(**ASK)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(answer.choices[0].message.content))])

    def _stream(self, *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
        for chunk in self.client.chat.completions.create(**ASK, stream=True):
            yield ChatGenerationChunk(message=AIMessageChunk(chunk.choices[0].delta.content or ""))


async def test_a_model_that_runs_in_a_thread_is_one_call(server: str) -> None:
    """Its client is inside it there too."""
    with OpenAI(base_url=server, api_key="x", max_retries=0) as plain:
        model = Blocking(client=for_openai.instrument(plain))

        async def work(_: Any) -> None:
            await model.ainvoke("x", CONFIG)
            _chunks = [chunk async for chunk in model.astream("x", CONFIG)]
            await asyncio.to_thread(model.invoke, "x", CONFIG)

        calls = await told(work)
    assert [(call["output"], call["usage"]) for call in calls] == [("Hi there, how are you?", USED)] * 3


async def test_another_model_that_is_asked_in_between_is_another_call(openai: AsyncOpenAI) -> None:
    """One without the handler, whose instrumented client tells: its tokens are not those of the stream."""

    async def work(_: Any) -> None:
        async for chunk in Model(client=openai).astream("x", CONFIG):
            if chunk.text:
                await Model(client=openai).ainvoke("aside")
                break
        await asyncio.sleep(0.01)

    streamed, aside = await told(work)
    assert (streamed["outcome"], "usage" in streamed, aside["usage"]) == ("stopped", False, USED)


async def test_the_id_that_the_app_gave_a_message_is_no_response(openai: AsyncOpenAI) -> None:
    """It does not make one request two."""

    async def ask() -> AIMessage:
        answer = await openai.chat.completions.create(**ASK)
        usage: Any = USED | {"total_tokens": 20}
        return AIMessage(answer.choices[0].message.content or "", id="my-1", usage_metadata=usage)

    async def work(turn: Any) -> None:
        await turn.wrap_llm(ask)

    [call] = await told(work)
    assert call["usage"] == USED


async def test_what_was_repaired_inside_is_no_failure(openai: AsyncOpenAI) -> None:
    """A response that failed, and then one that did not: the call went well. Text of the app's own as well."""
    failed = {"object": "response", "id": "r1", "output": [], "status": "failed", "error": {"code": "server_error"}}
    fine = {"object": "response", "id": "r2", "output": [], "status": "completed"}

    async def give(response: Any) -> Any:
        return response

    async def repaired() -> Any:
        await record(lambda: give(failed), {})
        return await record(lambda: give(fine), {})

    async def excused() -> str:
        await record(lambda: give(failed), {})
        return "sorry"

    async def work(turn: Any) -> None:
        await turn.wrap_llm(repaired)
        await turn.wrap_llm(excused)
        await turn.wrap_llm(lambda: give(failed))

    assert [call["status"] for call in await told(work)] == ["ok", "ok", "error"]


async def test_places_that_are_over_are_left_behind(openai: AsyncOpenAI) -> None:
    """However many there were in a context: one after the other, overlapping, or each in the one before."""

    async def one(client: LuminaClient) -> None:
        async with (await client.session.start()).turn():
            await Model(client=openai).ainvoke("x", CONFIG)

    async def job(client: LuminaClient, left: int) -> int:
        async with (await client.session.start()).turn() as turn:
            await Model(client=openai).ainvoke("x", CONFIG)
            after = asyncio.ensure_future(job(client, left - 1)) if left else None
        if after is not None:
            return await after
        around = 0
        while turn.parent is not None:
            around, turn = around + 1, turn.parent
        return max(around, depth())

    def depth() -> int:
        count, place = 0, here.get()
        while isinstance(place, Place):
            count, place = count + 1, place.before
        return count

    async with recording() as (client, _):
        for _number in range(20):
            await one(client)
        assert depth() <= 2
        async with (await client.session.start()).turn():
            streams = []
            for _number in range(20):
                streams.append(Model(client=openai).astream("x", CONFIG))
                await anext(streams[-1])
                if len(streams) > 2:
                    await streams.pop(0).aclose()  # type: ignore[attr-defined]
            assert depth() <= 6
            for stream in streams:
                await stream.aclose()  # type: ignore[attr-defined]
        assert await job(client, 20) <= 6
