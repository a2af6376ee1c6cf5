"""Tuning for many users: batches, their delay, samples, and the bound of what waits.

    lumina dev                      # in a terminal of its own: it shows what is recorded
    python examples/tuning.py

The defaults fit most apps. Larger batches mean fewer requests; a shorter interval shows events sooner; samples save
storage: of sessions as a whole, of the signals from the input field, of what a tracer gets. No request waits for any of
it: leaving a turn never does. A script stands for the model.
"""

import asyncio
import os

from lumina_async import Lumina, LuminaConfig, Sampling

CONFIG = LuminaConfig(
    endpoint=os.getenv("LUMINA_ENDPOINT", "http://127.0.0.1:4600"),
    write_key=os.getenv("LUMINA_WRITE_KEY", "gi_dev"),
    max_batch_bytes=500_000,
    flush_interval_ms=2_000,
    max_queue_bytes=256_000_000,
    max_in_flight=4,
    sampling=Sampling(turn=1.0, ui_event=0.1, span=0.5),
)


async def assistant(text: str) -> str:
    """Stand for a model."""
    await asyncio.sleep(0.01)
    return f"You are {text}."


async def converse(user: str) -> None:
    """Have one short conversation."""
    async with Lumina.scope(user_id=user):
        session = await Lumina.session.start()
        async with session.turn() as turn:
            reply = await turn.wrap_llm(assistant(user), model="scripted-1", prompt_id="who_v1")
            await turn.set_messages([{"role": "user", "content": "Who am I?"}, {"role": "assistant", "content": reply}])


async def main() -> None:
    """Serve a hundred people at once, then look where their events are."""
    await Lumina.init(CONFIG)
    await asyncio.gather(*(converse(f"user_{number}") for number in range(100)))
    print("stored:", await Lumina.flush())
    stats = await Lumina.stats()
    print(f"{stats.captured} captured, {stats.stored} stored, {stats.lost_total} lost")


asyncio.run(main())
