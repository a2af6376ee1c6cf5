"""Record one exchange. Run `lumina dev` in one terminal and `python examples/quickstart.py` in another."""

import asyncio
import os

from lumina_async import Lumina


async def main() -> None:
    """Begin a conversation with Ada and record a turn of it."""
    endpoint, key = os.getenv("LUMINA_ENDPOINT", "http://127.0.0.1:4600"), os.getenv("LUMINA_WRITE_KEY", "gi_dev")
    await Lumina.init(endpoint=endpoint, write_key=key)
    session = await Lumina.session.start(user_id="ada")
    async with session.turn() as turn:
        reply = await turn.wrap_llm(lambda: asyncio.sleep(0.2, "Hello Ada!"), model="my-model", prompt_id="greeting")
        await turn.set_messages([{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": reply}])
    print("stored:", await Lumina.flush())


asyncio.run(main())
