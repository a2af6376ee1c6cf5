"""Selective transcripts: the words of some turns, and only the facts of the others.

    lumina dev                      # in a terminal of its own: it shows what is recorded
    python examples/selective_transcripts.py

Latency, model and errors are recorded in any case. What must never leave is better ruled for all turns, by
`capture_transcript="none"`. A script stands for the model.
"""

import asyncio
import os

from lumina_async import Lumina


async def assistant(text: str) -> str:
    """Stand for a model."""
    await asyncio.sleep(0.01)
    return f"You said {len(text)} characters."


def is_worth_keeping(text: str) -> bool:
    """Keep questions; small talk is stored without its words."""
    return text.endswith("?")


async def main() -> None:
    """Say something of each kind."""
    await Lumina.init(
        endpoint=os.getenv("LUMINA_ENDPOINT", "http://127.0.0.1:4600"),
        write_key=os.getenv("LUMINA_WRITE_KEY", "gi_dev"),
    )
    session = await Lumina.session.start()
    for text in ("Hello there.", "How long is this question?"):
        async with session.turn() as turn:
            reply = await turn.wrap_llm(assistant(text), model="scripted-1", prompt_id="count_v1")
            if is_worth_keeping(text):
                await turn.set_messages([{"role": "user", "content": text}, {"role": "assistant", "content": reply}])
            else:
                await turn.annotate(transcript_omitted=True)
    print("stored:", await Lumina.flush())


asyncio.run(main())
