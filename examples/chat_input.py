"""Signals from the input field: how long somebody types, and what is never sent.

    lumina dev                      # in a terminal of its own: it shows what is recorded
    python examples/chat_input.py

In an app these calls come from the browser over a WebSocket: focus, submit, blur. Where there is none, the middleware
serves a script that reports the same; examples/identity_page.html includes it. The text of a message that was not
sent never leaves the process: only its length and a keyed hash do. A script stands for the person.
"""

import asyncio
import os

from lumina_async import ChatInputTracker, Lumina, NullUIProvider


async def main() -> None:
    """Type a message and send it; type another and think better of it."""
    await Lumina.init(
        endpoint=os.getenv("LUMINA_ENDPOINT", "http://127.0.0.1:4600"),
        write_key=os.getenv("LUMINA_WRITE_KEY", "gi_dev"),
    )
    session = await Lumina.session.start(user_id="ada")
    tracker = ChatInputTracker(NullUIProvider(), session.session_id)

    await tracker.on_input_start()
    await asyncio.sleep(0.05)
    await tracker.on_message_submit("message_1", "Where is my parcel?")

    await tracker.on_input_start()
    await asyncio.sleep(0.02)
    await tracker.on_input_abandoned("I want my money b")
    print("stored:", await Lumina.flush())


asyncio.run(main())
