"""A bot without a web framework: a scope by hand around each message.

    lumina dev                      # in a terminal of its own: it shows what is recorded
    python examples/bot.py

Two people write at once. The scope says who and which chat, so nobody's words land in another's conversation; with the
chat's own id the session goes on with every message, in every worker. A script stands for the platform and the model.
"""

import asyncio
import os
from dataclasses import dataclass

from lumina_async import Lumina


@dataclass(frozen=True)
class Update:
    """What a chat platform delivers."""

    chat: str
    sender: str
    text: str


UPDATES = (
    Update("chat_1", "ada", "Hello!"),
    Update("chat_2", "ben", "Good morning!"),
    Update("chat_1", "ada", "What can you do?"),
    Update("chat_2", "ben", "And what can I do?"),
)


async def assistant(text: str) -> str:
    """Stand for a model."""
    await asyncio.sleep(0.02)
    return "I answer questions." if text.endswith("?") else text


async def on_message(update: Update) -> None:
    """Answer one message."""
    async with Lumina.scope(user_id=update.sender, session_id=update.chat):
        session = await Lumina.session.start()
        async with session.turn() as turn:
            reply = await turn.wrap_llm(assistant(update.text), model="scripted-1", prompt_id="bot_v1")
            await turn.set_messages([{"role": "user", "content": update.text}, {"role": "assistant", "content": reply}])


async def serve(chat: str) -> None:
    """Answer the messages of one chat, one after the other."""
    for update in UPDATES:
        if update.chat == chat:
            await on_message(update)


async def main() -> None:
    """Serve the chats at once."""
    await Lumina.init(
        endpoint=os.getenv("LUMINA_ENDPOINT", "http://127.0.0.1:4600"),
        write_key=os.getenv("LUMINA_WRITE_KEY", "gi_dev"),
    )
    async with asyncio.TaskGroup() as chats:
        for chat in ("chat_1", "chat_2"):
            chats.create_task(serve(chat))
    print("stored:", await Lumina.flush())
    # A bot runs on; where it stops, `await Lumina.shutdown()` sends the rest within its deadline.
    await Lumina.shutdown()


asyncio.run(main())
