"""A chain of models: a small one sorts the question, a large one answers it; a turn for each step.

    lumina dev                      # in a terminal of its own: it shows what is recorded
    python examples/multi_model.py

Two turns, because each step is worth comparing by itself; two `wrap_llm` in one turn would do where it is not. A script
stands for both models.
"""

import asyncio
import os

from lumina_async import Lumina


async def classifier(text: str) -> str:
    """Stand for a small and fast model."""
    await asyncio.sleep(0.01)
    return "billing" if "invoice" in text.lower() else "other"


async def assistant(category: str, text: str) -> str:
    """Stand for a large model with a prompt for each category."""
    await asyncio.sleep(0.05)
    return f"I have passed it to {category}."


async def main() -> None:
    """Classify, then generate."""
    await Lumina.init(
        endpoint=os.getenv("LUMINA_ENDPOINT", "http://127.0.0.1:4600"),
        write_key=os.getenv("LUMINA_WRITE_KEY", "gi_dev"),
    )
    session = await Lumina.session.start()
    text = "Where is my invoice?"

    async with session.turn() as turn:
        category = await turn.wrap_llm(classifier(text), model="scripted-mini", prompt_id="classify_v1")
        await turn.annotate(step="classification", category=category)

    async with session.turn() as turn:
        reply = await turn.wrap_llm(assistant(category, text), model="scripted-large", prompt_id="generate_v1")
        await turn.set_messages([{"role": "user", "content": text}, {"role": "assistant", "content": reply}])
        await turn.annotate(step="generation", category=category)

    print(f"{category}: {reply}")
    print("stored:", await Lumina.flush())


asyncio.run(main())
