"""Identity: a visitor nobody knows yet, the login, the logout.

    lumina dev                      # in a terminal of its own: it shows what is recorded
    python examples/login_logout.py

`identify` tells the server that the visitor and the user are one, so what was said before the login counts as the
user's. `reset` begins with a new visitor and a new session. `scope="process"` because this is a program for one person,
like a desktop tool or a notebook; a server opens a scope for each request (examples/bot.py). A script stands for the
model.
"""

import asyncio
import os

from lumina_async import Lumina


async def assistant(text: str) -> str:
    """Stand for a model."""
    await asyncio.sleep(0.01)
    return f"Heard: {text}"


async def say(text: str) -> None:
    """Have one exchange, as whoever is there now."""
    session = await Lumina.session.start()
    async with session.turn() as turn:
        reply = await turn.wrap_llm(assistant(text), model="scripted-1", prompt_id="echo_v1")
        await turn.set_messages([{"role": "user", "content": text}, {"role": "assistant", "content": reply}])
    kind = "anonymous" if await Lumina.is_anonymous() else await Lumina.get_distinct_id()
    print(f"{kind}: {text}")


async def main() -> None:
    """Come, log in, log out."""
    await Lumina.init(
        endpoint=os.getenv("LUMINA_ENDPOINT", "http://127.0.0.1:4600"),
        write_key=os.getenv("LUMINA_WRITE_KEY", "gi_dev"),
        scope="process",
    )
    await say("before the login")
    # It never raises into the login; the same call again costs nothing.
    await Lumina.identify("user_123", {"email": "ada@example.com", "name": "Ada"})
    await say("after the login")
    await Lumina.reset()
    await say("after the logout")
    print("stored:", await Lumina.flush())


asyncio.run(main())
