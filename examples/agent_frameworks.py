"""A chain of LangChain and an agent of pydantic-ai, with the fake models that both bring; no key is needed.

    pip install langchain-core pydantic-ai-slim 'lumina-async[collector]'
    lumina dev                      # in a terminal of its own: it shows what is recorded
    python examples/agent_frameworks.py

LangChain takes a callback handler, pydantic-ai a model around the model; with a real one nothing else changes.
"""

import asyncio
import os

from langchain_core.language_models import FakeListChatModel
from langchain_core.prompts import ChatPromptTemplate
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel

from lumina_async import Lumina
from lumina_async.llms.langchain import LuminaCallbackHandler
from lumina_async.llms.pydantic_ai import LuminaModel


async def translated(text: str) -> str:
    """Run a chain."""
    chain = ChatPromptTemplate.from_template("In French: {text}") | FakeListChatModel(responses=["Bonjour !"])
    said = await chain.ainvoke({"text": text}, config={"callbacks": [LuminaCallbackHandler()]})
    return said.text


async def looked_up(text: str) -> str:
    """Run an agent, which uses its tool first."""
    agent = Agent(LuminaModel(TestModel(custom_output_text="It is on its way.")))

    @agent.tool_plain
    async def find_order(number: int) -> str:
        return f"Order {number} left the warehouse."

    return (await agent.run(text)).output


async def main() -> None:
    """A turn for each."""
    await Lumina.init(
        endpoint=os.getenv("LUMINA_ENDPOINT", "http://127.0.0.1:4600"),
        write_key=os.getenv("LUMINA_WRITE_KEY", "gi_dev"),
    )
    session = await Lumina.session.start()
    for answer, text in ((translated, "Hello!"), (looked_up, "Where is order 1042?")):
        async with session.turn() as turn:
            reply = await answer(text)
            await turn.set_messages([{"role": "user", "content": text}, {"role": "assistant", "content": reply}])
            print(reply)
    print("stored:", await Lumina.flush())
    await Lumina.shutdown()


if __name__ == "__main__":
    asyncio.run(main())
