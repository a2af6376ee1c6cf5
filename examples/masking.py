"""Privacy: a mask of your own on top of the one that is there.

    lumina dev                      # in a terminal of its own: it shows what is recorded
    python examples/masking.py

`capture_transcript="masked"` is the default, and `mask_pii` the default mask. A mask is a function from text to text,
plain or async; where it fails, the text is replaced, never sent. A script stands for the model: it repeats what it
heard.
"""

import asyncio
import os
import re

from lumina_async import CaptureTranscript, Lumina, mask_pii


def mask(text: str) -> str:
    """Hide customer numbers too, which only we know to be personal."""
    return re.sub(r"\bC-\d{6}\b", "[CUSTOMER]", mask_pii(text))


async def assistant(text: str) -> str:
    """Stand for a model."""
    await asyncio.sleep(0.01)
    return f"I have noted: {text}"


async def main() -> None:
    """Say things that are nobody's business."""
    await Lumina.init(
        endpoint=os.getenv("LUMINA_ENDPOINT", "http://127.0.0.1:4600"),
        write_key=os.getenv("LUMINA_WRITE_KEY", "gi_dev"),
        capture_transcript=CaptureTranscript.MASKED,
        mask_fn=mask,
    )
    session = await Lumina.session.start()
    text = "I am C-104729, mail ada@example.com or call +1 415 555 0132; my order is 2024-1042."
    async with session.turn() as turn:
        reply = await turn.wrap_llm(assistant(text), model="scripted-1", prompt_id="notes_v1")
        await turn.set_messages([{"role": "user", "content": text}, {"role": "assistant", "content": reply}])
    print(reply)
    print("stored:", await Lumina.flush())


asyncio.run(main())
