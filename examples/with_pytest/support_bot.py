"""An app, small enough to see how it is tested; see test_support_bot.py beside it.

A script stands for the model, as it would in tests of a larger app.
"""

import asyncio

from lumina_async import Lumina


class ModelError(Exception):
    """The model could not answer."""


async def assistant(text: str) -> str:
    """Stand for a model."""
    await asyncio.sleep(0)
    if not text:
        raise ModelError("nothing was asked")
    return f"You said: {text}"


async def look_up_customer(user: str) -> str:
    """Stand for a database."""
    await asyncio.sleep(0)
    return "pro" if user == "ada" else "free"


async def answer(user: str, chat: str, text: str) -> str:
    """Answer a message; what the tests look at is what is recorded here."""
    async with Lumina.scope(user_id=user, session_id=chat):
        session = await Lumina.session.start()
        async with session.turn() as turn:
            plan = await turn.record_tool("look_up_customer", lambda: look_up_customer(user), type="database")
            await turn.annotate(plan=plan)
            try:
                reply = await turn.wrap_llm(assistant(text), model="scripted-1", prompt_id="support_v1")
            except ModelError:
                reply = "Sorry, I did not get that."
                await turn.annotate(fallback_used=True)
            await turn.set_messages([{"role": "user", "content": text}, {"role": "assistant", "content": reply}])
    return reply
