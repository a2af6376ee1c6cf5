"""Errors: one that the app gets over, one that it passes on, and turns that are ended by hand.

    lumina dev                      # in a terminal of its own: it shows what is recorded
    python examples/error_handling.py

`wrap_llm` and `record_tool` record the exception (its type, its message through the mask, a stack without code or
folders) and raise the very same one again. A script stands for the model: it fails when it is asked about prices.
"""

import asyncio
import os

from lumina_async import Lumina, Session

CACHED = "Prices start at 12 euros a bag."


class RateLimitError(Exception):
    """What a provider says to whom asks too often."""


async def assistant(text: str) -> str:
    """Stand for a model."""
    await asyncio.sleep(0.02)
    if "price" in text.lower():
        raise RateLimitError("API rate limit exceeded")
    return "Hello!"


async def recovered(session: Session, text: str) -> str:
    """Answer from a cache: the call is an error, the turn is not, for the person got an answer."""
    async with session.turn() as turn:
        try:
            reply = await turn.wrap_llm(assistant(text), model="scripted-1", prompt_id="prices_v1")
        except RateLimitError:
            reply = CACHED
            await turn.annotate(error_handled=True, error_recovery="showed_cached_response", fallback_used=True)
        await turn.set_messages([{"role": "user", "content": text}, {"role": "assistant", "content": reply}])
    return reply


async def passed_on(session: Session, text: str) -> str:
    """Let the exception leave the block: the turn is an error, with what was asked."""
    async with session.turn() as turn:
        await turn.set_messages([{"role": "user", "content": text}])
        return await turn.wrap_llm(assistant(text), model="scripted-1", prompt_id="prices_v1")


async def by_hand(session: Session, text: str) -> str:
    """Where no block fits: `finish` in a `finally`. The turn ends as its last call did, unless `finish` is told."""
    turn = session.turn()
    try:
        reply = await turn.wrap_llm(assistant(text), model="scripted-1", prompt_id="prices_v1")
        await turn.set_messages([{"role": "user", "content": text}, {"role": "assistant", "content": reply}])
        return reply
    finally:
        # Once more would do nothing; and it never waits for the network.
        await turn.finish()


async def refused(session: Session, text: str) -> None:
    """Tell `finish` of an error that no call has seen."""
    turn = session.turn()
    await turn.set_messages([{"role": "user", "content": text}])
    await turn.finish(error=ValueError("the question is empty"))


async def main() -> None:
    """Go wrong in every way."""
    await Lumina.init(
        endpoint=os.getenv("LUMINA_ENDPOINT", "http://127.0.0.1:4600"),
        write_key=os.getenv("LUMINA_WRITE_KEY", "gi_dev"),
    )
    session = await Lumina.session.start()
    print(await recovered(session, "What is the price?"))
    for way in (passed_on, by_hand):
        try:
            print(await way(session, "And the price of two?"))
        except RateLimitError as error:
            print(f"{way.__name__}: {error}")
    print(await by_hand(session, "Hello?"))
    await refused(session, "")
    print("stored:", await Lumina.flush())


asyncio.run(main())
