"""Several turns in one session, and two ways to keep what the person thought of them.

    lumina dev                      # in a terminal of its own: it shows what is recorded
    python examples/feedback.py

A turn that only holds annotations is a turn: a thumb up in the flow of the conversation. `Lumina.feedback` speaks of an
earlier turn by its id, also days later and from another process. A script stands for the model.
"""

import asyncio
import os

from lumina_async import Lumina, Session


async def assistant(text: str) -> str:
    """Stand for a model."""
    await asyncio.sleep(0.02)
    return "You can pause it for three months." if "pause" in text else "With a subscription you pay a tenth less."


async def exchange(session: Session, text: str) -> str:
    """Answer, and return the id of the turn: the page that shows the answer keeps it for its thumbs."""
    async with session.turn() as turn:
        reply = await turn.wrap_llm(assistant(text), model="scripted-1", prompt_id="shop_v2")
        await turn.set_messages([{"role": "user", "content": text}, {"role": "assistant", "content": reply}])
    return turn.turn_id


async def main() -> None:
    """Ask twice, then judge."""
    await Lumina.init(
        endpoint=os.getenv("LUMINA_ENDPOINT", "http://127.0.0.1:4600"),
        write_key=os.getenv("LUMINA_WRITE_KEY", "gi_dev"),
    )
    # The pointers are sent once, with the session: where this conversation can be seen from elsewhere.
    session = await Lumina.session.start(user_id="ada", pointers={"ticket": "T-17", "page": "/subscriptions"})
    first = await exchange(session, "What is a subscription good for?")
    await exchange(session, "Can I pause it?")

    # 1. As a turn of its own, with no model in it.
    async with session.turn() as turn:
        await turn.annotate(feedback="thumbs_up", feedback_score=5, helpful=True, tags=["billing"])

    # 2. About an earlier turn.
    await Lumina.feedback(first, score=4, label="helpful", comment="Clear, but which tenth?")
    print("stored:", await Lumina.flush())


asyncio.run(main())
