"""Calls of LiteLLM against the server named on the command line; prints what the app saw and what was recorded.

A program of its own: LiteLLM keeps clients and a task for as long as its process lives.
"""

import asyncio
import json
import os
import sys
from collections.abc import Iterable
from typing import Any

# Else it asks a server on the internet what models cost.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm
from support import recording

from lumina_async import Turn
from lumina_async.llms.litellm import instrument, uninstrument

ASK: dict[str, Any] = {"model": "openai/gpt-4o-mini", "api_base": sys.argv[1], "api_key": "x", "max_retries": 0}
USAGE: dict[str, Any] = {"stream_options": {"include_usage": True}}


def asking(text: str, **more: Any) -> dict[str, Any]:
    return {**ASK, "messages": [{"role": "user", "content": text}], **more}


def text_of(chunks: Iterable[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


async def read(stream: Any) -> str:
    assert isinstance(stream, litellm.CustomStreamWrapper)
    return text_of([chunk async for chunk in stream])


async def whole(turn: Turn | None = None) -> str:
    return str((await litellm.acompletion(**asking("hello"))).choices[0].message.content)


async def streamed(turn: Turn, text: str = "hello", **more: Any) -> str:
    return await read(await litellm.acompletion(**asking(text, stream=True, **more)))


async def with_usage(turn: Turn, text: str = "hello") -> str:
    return await streamed(turn, text, **USAGE)


async def tools(turn: Turn) -> str:
    return await with_usage(turn, "tools")


async def failing(turn: Turn, text: str) -> str:
    try:
        return await streamed(turn, text)
    except (litellm.exceptions.MidStreamFallbackError, litellm.exceptions.RateLimitError) as error:
        return type(error).__module__


async def refused(turn: Turn) -> str:
    return await failing(turn, "limit")


async def cut(turn: Turn) -> str:
    return await failing(turn, "cut")


async def blocking(turn: Turn) -> str:
    def work() -> str:
        first = litellm.completion(**asking("hello")).choices[0].message.content
        return f"{first} {text_of(litellm.completion(**asking('hello', stream=True, **USAGE)))}"

    return await asyncio.to_thread(work)


async def routed(turn: Turn) -> str:
    router = litellm.Router(model_list=[{"model_name": "chat", "litellm_params": ASK}], num_retries=0)
    assert instrument(router) is router
    answer = await router.acompletion(model="chat", messages=asking("hello")["messages"])
    return str(answer.choices[0].message.content)


async def both(turn: Turn) -> str:
    return await read(await turn.wrap_llm(lambda: litellm.acompletion(**asking("hello", stream=True, **USAGE))))


async def undone(turn: Turn) -> str:
    uninstrument(litellm)
    return await whole()


WORK = (whole, streamed, with_usage, tools, refused, cut, blocking, routed, both, undone)


async def main() -> None:
    instrument(litellm)
    seen = {"outside": await whole()}
    async with recording(capture_transcript="full") as (client, transport):
        session = await client.session.start()
        for work in WORK:
            async with session.turn() as turn:
                seen[work.__name__] = await work(turn)
    recorded = {work.__name__: event.get("llm", []) for work, event in zip(WORK, transport.turns, strict=True)}
    print(json.dumps({"seen": seen, "recorded": recorded}))


asyncio.run(main())
