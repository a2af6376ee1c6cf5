"""What does the proxy of a stream add to each chunk, beside the same stream read bare?

Run with `python benchmarks/bench_stream.py [--quick]`. Needs the clients of OpenAI and Anthropic, whose chunks are
streamed: from memory, without pauses, in a turn that records tokens, text, tool calls and times. Prints, for streams of
each client, and for generators of the app, the nanoseconds per chunk of the bare stream; what the least of all proxies
adds, which only awaits the next chunk; and what ours adds, up to the last chunk, and with what is done at the
end. All take turns, round by round; each figure is the median.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from importlib import import_module
from time import perf_counter_ns
from typing import Any

import anthropic
import openai
from anthropic.types import RawMessageStreamEvent
from measure import is_quick, median
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from lumina_async import Session
from lumina_async.testing import recording

CHUNKS, ROUNDS = (400, 5) if is_quick() else (400, 51)


def completion() -> list[Any]:
    """Return the chunks of an OpenAI chat completion, as the client makes them of what the server sends."""
    common = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-2024-08-06"}
    usage = {"prompt_tokens": 11, "completion_tokens": CHUNKS, "total_tokens": 11 + CHUNKS}
    said: list[dict[str, Any]] = [
        {**common, "choices": [{"index": 0, "delta": {"content": f"word{number} "}, "finish_reason": None}]}
        for number in range(CHUNKS - 2)
    ]
    said.append({**common, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    said.append({**common, "choices": [], "usage": usage})
    return [ChatCompletionChunk.model_validate(chunk) for chunk in said]


def response() -> list[Any]:
    """Return the events of an OpenAI response."""
    made = {"id": "resp_1", "object": "response", "created_at": 1, "model": "gpt-4o", "status": "in_progress"}
    made |= {"output": [], "parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
    part = {"type": "response.output_text.delta", "item_id": "m", "output_index": 0, "content_index": 0, "logprobs": []}
    said: list[Any] = [{"type": "response.created", "response": made, "sequence_number": 0}]
    said += [{**part, "delta": f"word{number} ", "sequence_number": number} for number in range(1, CHUNKS)]
    return list(map(TypeAdapter[Any](ResponseStreamEvent).validate_python, said))


def message() -> list[Any]:
    """Return the events of an Anthropic message."""
    made = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": []}
    usage = {"input_tokens": 11, "output_tokens": 1}
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": CHUNKS}}
    said: list[Any] = [{"type": "message_start", "message": {**made, "usage": usage}}]
    for number in range(CHUNKS - 2):
        delta = {"type": "text_delta", "text": f"word{number} "}
        said.append({"type": "content_block_delta", "index": 0, "delta": delta})
    return list(map(TypeAdapter[Any](RawMessageStreamEvent).validate_python, [*said, end]))


async def streamed(given: Sequence[Any]) -> AsyncIterator[Any]:
    """Give them one by one, as a generator of the app does."""
    for chunk in given:
        yield chunk


def of_client(kind: type[Any]) -> Callable[[Sequence[Any]], AsyncIterator[Any]]:
    """Return what gives them as a client does: by its own class of streams, without a connection."""

    def made(given: Sequence[Any]) -> AsyncIterator[Any]:
        stream: Any = kind.__new__(kind)
        stream._iterator, stream.response = streamed(given), None
        return stream  # type: ignore[no-any-return]

    return made


class Least:
    """The floor: a proxy that does nothing."""

    def __init__(self, stream: AsyncIterator[Any]) -> None:
        self.stream = stream

    def __aiter__(self) -> "Least":
        return self

    async def __anext__(self) -> Any:
        return await self.stream.__anext__()


async def spent(stream: AsyncIterator[Any]) -> tuple[int, int]:
    """Read all; return the nanoseconds up to the last chunk, and to the end."""
    began = last = perf_counter_ns()
    count = 0
    async for _ in stream:
        count += 1
        if count == CHUNKS:
            last = perf_counter_ns()
    return last - began, perf_counter_ns() - began


async def compared(session: Session, make: Callable[[], AsyncIterator[Any]]) -> list[float]:
    """Measure all ways; return the bare time per chunk, and what is added by each proxy."""
    found: list[tuple[int, ...]] = []
    for _ in range(ROUNDS):
        _, bare = await spent(make())
        _, least = await spent(Least(make()))
        async with session.turn() as turn:
            while_read, in_all = await spent(await turn.wrap_llm(make, model="gpt-4o"))
        found.append((bare, least - bare, while_read - bare, in_all - bare))
    return [median(list(column)) / CHUNKS for column in zip(*found, strict=True)]


async def main() -> None:
    """Print the table."""
    said, words = completion(), ["word "] * CHUNKS
    kinds: dict[str, Callable[[], AsyncIterator[Any]]] = {
        "completion": partial(of_client(openai.AsyncStream), said),
        "response": partial(of_client(openai.AsyncStream), response()),
        "message": partial(of_client(anthropic.AsyncStream), message()),
        "strings": partial(streamed, words),
        "completion, passed on": partial(streamed, said),
    }
    print(f"{CHUNKS} chunks, nanoseconds per chunk\n")
    print(f"{'chunks':22s}{'bare':>8s}{'least adds':>12s}{'ours, reading':>16s}{'in all':>10s}")
    async with recording(capture_transcript="full") as lumina:
        session = await lumina.client.session.start()
        for name, make in kinds.items():
            show(name, await compared(session, make))
        # From here on a client could be instrumented, and a generator of the app is told apart from what calls it.
        import_module("lumina_async.llms")
        show("the same, asked for", await compared(session, kinds["completion, passed on"]))


def show(name: str, figures: list[float]) -> None:
    """Print a line of the table."""
    bare, least, while_read, in_all = figures
    print(f"{name:22s}{bare:8.0f}{least:12.0f}{while_read:16.0f}{in_all:10.0f}")


if __name__ == "__main__":
    asyncio.run(main())
