"""Each way a stream can end, under FastAPI on uvicorn and on aiohttp; and very many at once, a third dropped."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientConnectionResetError, web
from e2e.aimock import aimock, fixture
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from faults.forms import form
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionChunk
from support import recording, until

from lumina_async import LuminaClient
from lumina_async.frameworks.aiohttp import setup_lumina
from lumina_async.frameworks.asgi import LuminaMiddleware
from lumina_async.llms import openai as for_openai

from .browsers import aiohttp_serving, browser, uvicorn_serving

Body = Callable[[str], AsyncIterator[bytes]]


def chunk(text: str, **more: Any) -> ChatCompletionChunk:
    choices = [{"index": 0, "delta": {"content": text}, "finish_reason": None}]
    facts = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}
    return ChatCompletionChunk.model_validate(facts | more)


class Refused(Exception):
    pass


class Stream:
    """As the stream of a provider's client: it can be closed, and raises as its connection does."""

    def __init__(self, kind: str) -> None:
        self.kind, self.count = kind, 0

    def __aiter__(self) -> "Stream":
        return self

    async def __anext__(self) -> ChatCompletionChunk:
        self.count += 1
        await asyncio.sleep(0.005)
        if self.count > 3:
            match self.kind:
                case "provider_error":
                    raise Refused
                case "timed_out":
                    raise TimeoutError
                case "completed":
                    raise StopAsyncIteration
        return chunk(f"{self.count} ")

    async def close(self) -> None:
        pass


def answering(client: LuminaClient) -> Body:
    async def answer(kind: str) -> AsyncIterator[bytes]:
        async with (await client.session.start()).turn() as turn:
            stream: Any = await turn.wrap_llm(lambda: Stream(kind), model="m")
            try:
                async with asyncio.timeout(0.05 if kind == "cancelled" else None):
                    async for part in stream:
                        yield part.choices[0].delta.content.encode()
                        if kind == "abandoned":
                            break
                        if kind == "stopped" and part.choices[0].delta.content == "3 ":
                            await stream.close()
                            break
            except (TimeoutError, Refused):
                yield b"sorry"
            del stream

    return answer


@asynccontextmanager
async def on_fastapi(client: LuminaClient, answer: Body) -> AsyncIterator[str]:
    app = FastAPI()
    app.add_middleware(LuminaMiddleware, client=client)

    @app.get("/{kind}")
    async def stream(kind: str) -> StreamingResponse:
        await client.session.start()
        return StreamingResponse(answer(kind))

    async with uvicorn_serving(app, lifespan="off") as url:
        yield url


@asynccontextmanager
async def on_aiohttp(client: LuminaClient, answer: Body) -> AsyncIterator[str]:
    app = web.Application()
    setup_lumina(app, client=client)

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        parts = answer(request.path[1:])
        try:
            async for part in parts:
                await response.write(part)
        except ClientConnectionResetError:
            await parts.aclose()  # type: ignore[attr-defined]
        return response

    app.router.add_get("/{kind}", stream)
    async with aiohttp_serving(app) as url:
        yield url


ENDINGS = {
    "completed": ("ok", "ok"),
    "stopped": ("ok", "ok"),
    "client_gone": ("cancelled", "cancelled"),
    "cancelled": ("ok", "cancelled"),
    "timed_out": ("ok", "error"),
    "provider_error": ("ok", "error"),
    "abandoned": ("cancelled", "cancelled"),
}


@pytest.mark.parametrize("kind", ENDINGS)
@pytest.mark.parametrize("serving", [on_fastapi, on_aiohttp], ids=["fastapi", "aiohttp"])
async def test_each_ending_of_a_stream_is_told_apart(serving: Any, kind: str) -> None:
    """One turn, one call, with its own outcome and the text until then (SPEC 5; FAULTS V11, V12)."""
    async with recording(capture_transcript="full") as (client, transport):
        async with serving(client, answering(client)) as url, browser(url) as http, http.get(f"/{kind}") as answer:
            if kind == "client_gone":
                await answer.content.readany()
                answer.close()
            else:
                await answer.read()
            await until(lambda: transport.turns)
    [turn] = transport.turns
    [call] = turn["llm"]
    assert (turn["status"], call["status"], call["outcome"]) == (*ENDINGS[kind], kind)
    assert call["output"].startswith("1 ")
    assert call["response_model"] == "m"


async def test_a_thousand_streams_of_which_a_third_is_dropped() -> None:
    """Every turn is stored, and neither a task nor a stream nor a held turn stays behind (FAULTS V11, Q27)."""
    alive: weakref.WeakSet[Stream] = weakref.WeakSet()

    def made() -> Stream:
        alive.add(stream := Stream("completed"))
        return stream

    async with recording(capture_transcript="full") as (client, transport):
        tasks = len(asyncio.all_tasks())

        async def one(number: int) -> None:
            async with (await client.session.start(new=True)).turn() as turn:
                async for _ in await turn.wrap_llm(made, model="m"):
                    if number % 3 == 0:
                        break

        await asyncio.gather(*map(one, range(1000)))
        gc.collect()
        await until(lambda: len(transport.turns) == 1000)
        assert ((await client.stats()).open_turns, len(alive)) == (0, 0)
        assert len(asyncio.all_tasks()) <= tasks
    outcomes = [turn["llm"][0]["outcome"] for turn in transport.turns]
    assert (outcomes.count("abandoned"), outcomes.count("completed")) == (334, 666)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    slow = fixture("slow", content="One two three four five six.", latency=20, chunkSize=5)
    with aimock(tmp_path_factory.mktemp("aimock"), slow) as url:
        yield url


def descriptors() -> int:
    folder = Path("/proc/self/fd")
    return len([*folder.iterdir()]) if folder.exists() else 0


@pytest.mark.node
async def test_dropped_streams_of_a_real_client_leave_no_connection(server: str) -> None:
    """With the client closed there are as many descriptors and tasks as before, and every turn is stored."""
    count, ask = form(90, 1000), {"model": "m", "messages": [{"role": "user", "content": "slow"}], "stream": True}
    async with recording() as (client, transport):
        before, tasks = descriptors(), len(asyncio.all_tasks())
        async with AsyncOpenAI(base_url=server, api_key="x", timeout=50, max_retries=0) as llm:
            for_openai.instrument(llm)

            async def one(number: int) -> None:
                async with (await client.session.start(new=True)).turn():
                    create: Callable[..., Awaitable[Any]] = llm.chat.completions.create
                    async for _ in await create(**ask):
                        if number % 3 == 0:
                            break

            await asyncio.gather(*map(one, range(count)))
            gc.collect()
            await until(lambda: len(transport.turns) == count)
        assert (await client.stats()).open_turns == 0
        await until(lambda: descriptors() <= before + 2 and len(asyncio.all_tasks()) <= tasks)
    assert sum(turn["llm"][0]["outcome"] == "abandoned" for turn in transport.turns) == -(-count // 3)
