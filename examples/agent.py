"""An agent with a tool, by the client of OpenAI alone: instrumented once, each step is recorded by itself.

    pip install openai 'lumina-async[collector]'
    lumina dev                      # in a terminal of its own: it shows what is recorded
    OPENAI_API_KEY=... python examples/agent.py

The last answer is streamed. `OPENAI_BASE_URL` leads to any server that speaks like OpenAI.
"""

import asyncio
import json
import os
from typing import Any

from openai import AsyncOpenAI

from lumina_async import Lumina, tool
from lumina_async.llms.openai import instrument

TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "find_order",
            "description": "Tell where an order is.",
            "parameters": {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]},
        },
    }
]


@tool(type="database", target="orders")
async def find_order(number: int) -> str:
    """Look it up."""
    await asyncio.sleep(0.01)
    return f"Order {number} left the warehouse on Monday."


async def answer(llm: AsyncOpenAI, text: str) -> str:
    """Ask until no tool is wanted any more, then say the answer word by word."""
    messages: list[Any] = [{"role": "user", "content": text}]
    while True:
        asked = await llm.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=TOOLS)
        said = asked.choices[0].message
        if not said.tool_calls:
            break
        messages.append(said)
        for call in said.tool_calls:
            if call.type == "function":
                found = await find_order(**json.loads(call.function.arguments))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": found})
    reply = ""
    async for chunk in await llm.chat.completions.create(model="gpt-4o-mini", messages=messages, stream=True):
        reply += chunk.choices[0].delta.content or ""
    return reply


async def main() -> None:
    """One turn: what the person asked, every step on the way, and the answer."""
    await Lumina.init(
        endpoint=os.getenv("LUMINA_ENDPOINT", "http://127.0.0.1:4600"),
        write_key=os.getenv("LUMINA_WRITE_KEY", "gi_dev"),
    )
    text = "Where is order 1042?"
    async with instrument(AsyncOpenAI()) as llm, (await Lumina.session.start()).turn() as turn:
        reply = await answer(llm, text)
        await turn.set_messages([{"role": "user", "content": text}, {"role": "assistant", "content": reply}])
    print(reply)
    print("stored:", await Lumina.flush())
    await Lumina.shutdown()


if __name__ == "__main__":
    asyncio.run(main())
