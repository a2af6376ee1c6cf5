"""What does the proxy of a stream add to each chunk, beside the same stream read bare?

Run with `python benchmarks/bench_stream.py [--quick]`. Needs the client of OpenAI, whose chunks are streamed: from
memory, without pauses, in a turn that records tokens, text, tool calls and times. Prints, for chunks of OpenAI and for
plain strings, the nanoseconds per chunk of the bare stream, what the proxy adds while it is read, and the same with
what is done at the end: reading what was kept. Both ways take turns, round by round; each figure is the median.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from time import perf_counter_ns
from typing import Any

from measure import is_quick, median
from openai.types.chat import ChatCompletionChunk

from lumina_async import Session
from lumina_async.testing import recording

CHUNKS, ROUNDS = (400, 5) if is_quick() else (400, 51)


def chunks() -> list[ChatCompletionChunk]:
    """Return the chunks of an answer, as the client makes them of what the server sends."""
    common = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-2024-08-06"}
    usage = {"prompt_tokens": 11, "completion_tokens": CHUNKS, "total_tokens": 11 + CHUNKS}
    said: list[dict[str, Any]] = [
        {**common, "choices": [{"index": 0, "delta": {"content": f"word{number} "}, "finish_reason": None}]}
        for number in range(CHUNKS - 2)
    ]
    said.append({**common, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    said.append({**common, "choices": [], "usage": usage})
    return [ChatCompletionChunk.model_validate(chunk) for chunk in said]


async def streamed(given: Sequence[Any]) -> AsyncIterator[Any]:
    """Give them one by one."""
    for chunk in given:
        yield chunk


async def spent(stream: AsyncIterator[Any]) -> tuple[int, int]:
    """Read all; return the nanoseconds up to the last chunk, and to the end."""
    began = last = perf_counter_ns()
    count = 0
    async for _ in stream:
        count += 1
        if count == CHUNKS:
            last = perf_counter_ns()
    return last - began, perf_counter_ns() - began


async def compared(session: Session, given: Sequence[Any]) -> tuple[float, float, float]:
    """Measure both ways; return the bare time per chunk and what is added, while reading and in all."""
    found: list[tuple[float, ...]] = []
    for _ in range(ROUNDS):
        bare = await spent(streamed(given))
        async with session.turn() as turn:
            proxied = await spent(await turn.wrap_llm(lambda: streamed(given), model="gpt-4o"))
        found.append((bare[1], proxied[0] - bare[0], proxied[1] - bare[1]))
    return tuple(median([figures[index] for figures in found]) / CHUNKS for index in range(3))  # type: ignore[return-value]


async def main() -> None:
    """Print the table."""
    print(f"{CHUNKS} chunks, nanoseconds per chunk\n\nchunks            bare   added while read   added in all")
    async with recording(capture_transcript="full") as lumina:
        session = await lumina.client.session.start()
        for name, given in (("OpenAI", chunks()), ("plain strings", ["word "] * CHUNKS)):
            bare, while_read, in_all = await compared(session, given)
            print(f"{name:15s} {bare:6.0f} {while_read:18.0f} {in_all:14.0f}")


if __name__ == "__main__":
    asyncio.run(main())
