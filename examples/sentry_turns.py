"""Turns in Sentry, and the turn on what goes wrong in it.

    lumina dev                      # in a terminal of its own: it shows what is recorded
    pip install 'lumina-async[sentry]'
    python examples/sentry_turns.py

What would be sent is printed; an app leaves `transport` out and names its own `dsn`. A script stands for the model.
"""

import asyncio
import os

import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from lumina_async import Lumina
from lumina_async.providers.sentry import sentry_provider


class Printing(Transport):
    """Prints what would be sent."""

    def capture_envelope(self, envelope: Envelope) -> None:
        """Print an event or a transaction: whose turn it is, and the operations in it."""
        for event in (item.payload.json or {} for item in envelope.items):
            if "event_id" in event:
                turn = event.get("contexts", {}).get("lumina", {})
                operations = [span["op"] for span in event.get("spans", ())]
                print(event.get("message") or event.get("transaction"), turn.get("session_id"), *operations)


async def assistant(text: str) -> str:
    """Stand for a model."""
    await asyncio.sleep(0.05)
    return f"You said: {text}"


async def main() -> None:
    """Record a turn in which something is reported."""
    sentry_sdk.init("http://key@127.0.0.1/1", transport=Printing, traces_sample_rate=1.0, stream_gen_ai_spans=False)
    await Lumina.init(
        endpoint=os.getenv("LUMINA_ENDPOINT", "http://127.0.0.1:4600"),
        write_key=os.getenv("LUMINA_WRITE_KEY", "gi_dev"),
        system_analytics=sentry_provider(),
    )
    session = await Lumina.session.start(session_id="watched", user_id="ada")
    async with session.turn() as turn:
        await turn.wrap_llm(assistant("Hello?"), model="scripted-1", provider="script")
        sentry_sdk.capture_message("a strange answer")
    print("stored:", await Lumina.flush())
    await Lumina.shutdown()


asyncio.run(main())
