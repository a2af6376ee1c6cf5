"""When events do not arrive: what to look at, from inside the app.

    lumina dev                      # in a terminal of its own: it shows what is recorded
    python examples/troubleshooting.py

From outside, `lumina doctor` does the same and more. `debug=True` shows every operation on the logger `lumina_async`.
Run it while `lumina dev` is not running to see what an outage looks like.
"""

import asyncio
import os

from lumina_async import Lumina


async def main() -> None:
    """Record one turn, send it, and tell where it is."""
    await Lumina.init(
        endpoint=os.getenv("LUMINA_ENDPOINT", "http://127.0.0.1:4600"),
        write_key=os.getenv("LUMINA_WRITE_KEY", "gi_dev"),
        debug=True,
    )
    print("initialised:", Lumina.is_initialized)
    session = await Lumina.session.start()
    async with session.turn() as turn:
        await turn.annotate(check="does this arrive?")

    # Without this the events leave after `flush_interval_ms`; a program that ends before sends nothing.
    print("stored:", await Lumina.flush(timeout=5))

    stats = await Lumina.stats()
    print("captured:", stats.captured)  # 0: nothing was recorded; was `init` awaited, is `enabled` true?
    print("waiting:", stats.queued + stats.in_flight)  # the server does not answer; it is tried again
    print("paused:", stats.paused)  # the server refuses: a wrong key, address or path; see the one line in the log
    print("lost:", stats.lost_total, {reason: count for reason, count in stats.lost.items() if count})


asyncio.run(main())
