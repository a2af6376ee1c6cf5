"""Providers of your own: what they are told, written to the standard `logging`.

    lumina dev                      # in a terminal of its own: it shows what is recorded
    python examples/logging_provider.py

A provider is a class with the coroutines of a protocol; nothing is inherited. A `UIAnalyticsProvider` knows what the
person sees, like PostHog: it says which visit and which replay a turn belongs to, and marks what it captures itself. A
`SystemAnalyticsProvider` is told when turns and the calls in them begin and end, like a tracer. Hooks have a second
each, and one that fails is left out: no turn fails for it. A script stands for the model and for the browser.
"""

import asyncio
import logging
import os
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from lumina_async import Lumina, SystemAnalyticsProvider, UIAnalyticsProvider

log = logging.getLogger("example")

# Which visit this request belongs to: on a server a middleware sets it from a header that the page sends.
visit: ContextVar[str] = ContextVar("visit", default="")


class LoggingUI:
    """What the person sees. `context` is the turn: `turn_id`, `seq`, `session_id`, `trace_id`, `distinct_id`."""

    name = "logging-ui"

    async def init(self) -> None:
        """Make ready; awaited by `Lumina.init`."""
        log.info("ui: ready")

    async def get_session_id(self) -> str:
        """Say which visit this is; it is stored with the turn, as is the address of the replay."""
        return visit.get()

    async def get_replay_url(self) -> str:
        """Say where it can be watched."""
        return f"https://replay.example/{visit.get()}" if visit.get() else ""

    async def tag_turn(self, context: Any) -> None:
        """Mark what is captured from here on."""
        log.info("ui: turn %d of %s begins", context.seq, context.session_id)

    async def untag_turn(self, context: Any) -> None:
        """Stop marking."""
        log.info("ui: turn %d of %s is over", context.seq, context.session_id)

    async def start_replay(self) -> None:
        """Begin to record the screen: nothing to do here."""

    async def stop_replay(self) -> None:
        """Stop it."""

    async def capture_event(self, name: str, properties: Mapping[str, Any]) -> None:
        """Capture an event of the person, like one of `ChatInputTracker`."""
        log.info("ui: %s %s", name, sorted(properties))

    async def identify(self, user_id: str, properties: Mapping[str, Any]) -> None:
        """Learn who it is; a provider need not have this."""
        log.info("ui: it is %s, with %s", user_id, sorted(properties))

    async def shutdown(self) -> None:
        """Let go of everything."""
        log.info("ui: closed")


class LoggingSystem:
    """What the system does. What `start_turn` and `start_span` return comes back to `end_turn` and `end_span`."""

    name = "logging-system"

    async def start_turn(self, context: Any) -> str:
        """Begin a turn."""
        return f"turn {context.seq}"

    async def end_turn(self, ref: str, status: str, meta: Mapping[str, Any]) -> None:
        """End it."""
        log.info("system: %s %s, error=%s", ref, status, meta["error"])

    async def start_span(self, context: Any) -> str:
        """Begin a call of a model or a tool; told with its times when the turn is over."""
        return f"{context.turn_ref}, {context.kind} {context.name}"

    async def end_span(self, ref: str, status: str, meta: Mapping[str, Any]) -> None:
        """End it."""
        log.info("system: %s %s, error=%s", ref, status, meta["error"])

    async def shutdown(self) -> None:
        """Let go of everything."""
        log.info("system: closed")


async def plan_of(user: str) -> str:
    """Stand for a database."""
    await asyncio.sleep(0.01)
    return "pro" if user == "ada" else "free"


async def assistant(text: str) -> str:
    """Stand for a model that knows no prices."""
    await asyncio.sleep(0.01)
    if "price" in text:
        raise LookupError("no prices here")
    return "Hello!"


async def main() -> None:
    """Have a good turn and a bad one."""
    # Type checkers compare the classes with the protocols here.
    ui: UIAnalyticsProvider = LoggingUI()
    system: SystemAnalyticsProvider = LoggingSystem()
    await Lumina.init(
        endpoint=os.getenv("LUMINA_ENDPOINT", "http://127.0.0.1:4600"),
        write_key=os.getenv("LUMINA_WRITE_KEY", "gi_dev"),
        ui_analytics=ui,
        system_analytics=system,
    )
    visit.set("visit-7")
    session = await Lumina.session.start(session_id="providers")
    await Lumina.identify("ada", {"plan": "pro"})
    for text in ("Hello?", "What is the price?"):
        try:
            async with session.turn() as turn:
                await turn.record_tool("plan_of", plan_of("ada"), type="database")
                await turn.wrap_llm(assistant(text), model="scripted-1", prompt_id="hello_v1")
        except LookupError:
            log.info("sorry")
    print("stored:", await Lumina.flush())
    # Waits for the hooks too, and ends the providers.
    await Lumina.shutdown()


logging.basicConfig(format="%(message)s", level=logging.INFO)
asyncio.run(main())
