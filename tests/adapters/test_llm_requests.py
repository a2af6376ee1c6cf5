"""What an instrumented client of OpenAI asks its server, and what it keeps from the app: the usage of streams."""

import json
from collections.abc import AsyncIterator
from typing import Any

import attrs
import openai
import pytest
from aiohttp import web
from openai import AsyncOpenAI
from support import recording

from lumina_async.llms import openai as for_openai

from .browsers import aiohttp_serving

ASK: Any = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "stream": True}
USED = {"input_tokens": 3, "output_tokens": 2}


@attrs.define
class Server:
    """Speaks like OpenAI; it may know no `stream_options`, as some that do not, or refuse everything."""

    refuses: str = ""
    asked: list[dict[str, Any]] = attrs.Factory(list)

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append(body)
        if self.refuses == "all" or (self.refuses == "options" and "stream_options" in body):
            about = "unknown field: stream_options" if self.refuses == "options" else "no such model"
            return web.json_response({"error": {"message": about, "type": "invalid_request_error"}}, status=400)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        common = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        chunks: list[dict[str, Any]] = [{**common, "choices": [{"index": 0, "delta": {"content": "Hi"}}]}]
        if body.get("stream_options", {}).get("include_usage"):
            usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
            chunks.append({**common, "choices": [], "usage": usage})
        for chunk in chunks:
            await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response

    async def completion(self, request: web.Request) -> web.Response:
        choice = {"index": 0, "text": "Once upon a time", "finish_reason": "stop", "logprobs": None}
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        about = {"id": "c", "object": "text_completion", "created": 1, "model": "m-2", "usage": usage}
        return web.json_response({**about, "choices": [choice]})


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[AsyncOpenAI]:
    app = web.Application()
    app.router.add_post("/chat/completions", server.chat)
    app.router.add_post("/completions", server.completion)
    async with aiohttp_serving(app) as url, AsyncOpenAI(base_url=url, api_key="x", max_retries=0) as client:
        yield for_openai.instrument(client)


async def calls_of(client: AsyncOpenAI, *asks: dict[str, Any]) -> tuple[list[list[Any]], list[dict[str, Any]]]:
    """What the app sees of each stream, and the calls that are recorded."""
    async with recording(capture_transcript="full") as (lumina, transport):
        async with (await lumina.session.start()).turn():
            seen = [[one async for one in await client.chat.completions.create(**ask)] for ask in asks]
    return seen, transport.turns[0]["llm"]


async def test_a_server_without_stream_options_is_asked_once_with_them(client: AsyncOpenAI, server: Server) -> None:
    """It refuses what only we asked for: the app gets its stream all the same, and later ones go without."""
    server.refuses = "options"
    seen, calls = await calls_of(client, ASK, ASK)
    assert [[one.choices[0].delta.content for one in chunks] for chunks in seen] == [["Hi"], ["Hi"]]
    assert ["stream_options" in asked for asked in server.asked] == [True, False, False]
    assert [(call["status"], call["output"], "usage" in call) for call in calls] == [("ok", "Hi", False)] * 2


async def test_any_other_refusal_is_the_apps(client: AsyncOpenAI, server: Server) -> None:
    """It is raised as it is, and nothing is asked twice."""
    server.refuses = "all"
    with pytest.raises(openai.BadRequestError, match="no such model"):
        await calls_of(client, ASK)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("more", "count"),
    [
        ({}, 1),
        ({"stream_options": {"include_usage": True}}, 2),
        ({"extra_body": {"stream_options": {"include_usage": True}}}, 2),
        ({"stream_options": {"include_usage": False}}, 1),
    ],
    ids=["not asked", "asked", "asked in the body", "refused"],
)
async def test_the_app_sees_the_usage_if_it_asked(client: AsyncOpenAI, more: dict[str, Any], count: int) -> None:
    """And only then; who says no to it is not recorded with it either."""
    [seen], [call] = await calls_of(client, ASK | more)
    assert len(seen) == count
    assert call.get("usage") == (None if more.get("stream_options") == {"include_usage": False} else USED)


async def test_a_completion_of_old_is_recorded(client: AsyncOpenAI) -> None:
    """Text without roles, with its tokens."""
    async with recording(capture_transcript="full") as (lumina, transport):
        async with (await lumina.session.start()).turn():
            await client.completions.create(model="m", prompt="Tell")
    [call] = transport.turns[0]["llm"]
    assert (call["output"], call["usage"], call["response_model"]) == ("Once upon a time", USED, "m-2")
