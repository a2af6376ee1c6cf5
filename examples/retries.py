"""Several attempts, one turn: retries with a growing wait, then a fallback to another model.

    lumina dev                      # in a terminal of its own: it shows what is recorded
    python examples/retries.py

Every attempt is a call of the one turn, with its own latency and error. An error that the app got over does not make
the turn an error; one that leaves the block does. A script stands for the models: the large one is always overloaded.
"""

import asyncio
import os

from lumina_async import Lumina, Session

ATTEMPTS = ("scripted-large", "scripted-large", "scripted-small")


class OverloadedError(Exception):
    """What a provider says when it has too much to do."""


async def assistant(model: str, text: str) -> str:
    """Stand for two models, of which the large one fails, and the small one too when asked for a poem."""
    await asyncio.sleep(0.02)
    if model == "scripted-large" or "poem" in text:
        raise OverloadedError(f"429: {model} is overloaded")
    return "Your parcel is on its way."


async def answer(session: Session, text: str) -> str:
    """Try until one answers.

    Raises:
        OverloadedError: None did.
    """
    async with session.turn() as turn:
        await turn.set_messages([{"role": "user", "content": text}])
        attempt = 0
        while True:
            model = ATTEMPTS[attempt]
            attempt += 1
            await turn.annotate(attempts=attempt, fallback_used=model != ATTEMPTS[0])
            try:
                reply = await turn.wrap_llm(
                    assistant(model, text), model=model, prompt_id="support_v1", attempt=attempt
                )
                break
            except OverloadedError:
                if attempt == len(ATTEMPTS):
                    raise
                await asyncio.sleep(0.02 * 2**attempt)
        await turn.set_messages([{"role": "user", "content": text}, {"role": "assistant", "content": reply}])
    return reply


async def main() -> None:
    """Ask something that the small model knows, and something that nobody does."""
    await Lumina.init(
        endpoint=os.getenv("LUMINA_ENDPOINT", "http://127.0.0.1:4600"),
        write_key=os.getenv("LUMINA_WRITE_KEY", "gi_dev"),
    )
    session = await Lumina.session.start()
    print(await answer(session, "Where is my parcel?"))
    try:
        print(await answer(session, "Write me a poem."))
    except OverloadedError:
        print("Sorry, I cannot answer just now.")
    print("stored:", await Lumina.flush())


asyncio.run(main())
