"""The seams of the package: what a user chooses or replaces, and the clock everything reads."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from enum import StrEnum
from typing import Any, Literal, Protocol

import anyio
import attrs

from lumina_async._tasks import end_task, start_task

MaskFn = Callable[[str], str | Awaitable[str]]
"""A mask: text in, masked text out, plain or async. See `LuminaConfig.mask_fn` for what happens when it fails."""


class CaptureTranscript(StrEnum):
    """How much of what people and models say leaves the process. See SPEC section 6 for the fields."""

    FULL = "full"
    """Content as given."""
    MASKED = "masked"
    """Content and the strings of metadata through the mask."""
    NONE = "none"
    """No content at all; metadata as given."""


@attrs.frozen(kw_only=True)
class TurnContext:
    """What a provider is told when a turn begins.

    Attributes:
        turn_id: 16 hex digits, the W3C span id of the turn.
        seq: Its number within the session.
        session_id: The session.
        trace_id: 32 hex digits, the W3C trace id of the session.
        parent_id: The turn around it, or None.
        distinct_id: Who.
        anonymous: Whether nobody has said who that is.
        started_ns: When, in nanoseconds since the epoch.
        links: The `traceparent` that came with the request, as `{"trace_id", "span_id"}`: anybody may have sent it.
    """

    turn_id: str
    seq: int
    session_id: str | None
    trace_id: str | None
    parent_id: str | None
    distinct_id: str
    anonymous: bool
    started_ns: int
    links: Sequence[Mapping[str, str]] = ()


@attrs.frozen(kw_only=True)
class SpanContext:
    """What a system provider is told of a call of a model or a tool, when the turn is over.

    Attributes:
        turn: The turn it belongs to.
        turn_ref: What `start_turn` returned for it.
        span_id: 16 hex digits.
        kind: `"llm"` or `"tool"`.
        name: The model or the tool.
        started_ns: When it began, in nanoseconds since the epoch.
    """

    turn: TurnContext
    turn_ref: Any
    span_id: str
    kind: Literal["llm", "tool"]
    name: str
    started_ns: int


class UIAnalyticsProvider(Protocol):
    """What records what the person does on screen, like PostHog: written by a provider, called by the SDK.

    Hooks never disturb a turn: each has a second, and one that raises or hangs five times in a row is called no more.
    A provider may also have these coroutines:

    - `get_window_id()`: the tab, asked with the session.
    - `alias(previous_id, user_id)` before `identify(user_id, properties)`: the visitor of that id is this user.
    - `reset()`: the user has left.
    - `turn_ended(context, facts)`: the turn as it goes out, under the names of the wire (SPEC section 7) and with what
      the capture mode lets out of its contents. Not called for a turn that sampling leaves out or that is lost. A
      `SystemAnalyticsProvider` may have this one too.
    """

    @property
    def name(self) -> str:
        """What the provider is called in logs."""
        ...

    async def init(self) -> None:
        """Make ready; awaited by `Lumina.init`."""

    async def get_session_id(self) -> str:
        """Return the provider's session of the person in this request, or an empty string."""
        ...

    async def get_replay_url(self) -> str:
        """Return where this moment can be watched, or an empty string."""
        ...

    async def tag_turn(self, context: TurnContext) -> None:
        """Mark what the provider captures from here on with the turn; awaited where the turn begins."""

    async def untag_turn(self, context: TurnContext) -> None:
        """Stop marking. Runs on a task of its own: read `current_turn()` at capture time where that matters."""

    async def start_replay(self) -> None:
        """Begin to record the screen, where the provider can be told to."""

    async def stop_replay(self) -> None:
        """Stop recording the screen."""

    async def capture_event(self, name: str, properties: Mapping[str, Any]) -> None:
        """Capture an event of the person, like the submission of a message.

        `properties` holds the facts of the event, and whose it is: `distinct_id`, `anonymous`, `lumina_session_id`.
        """

    async def shutdown(self) -> None:
        """Let go of everything; awaited by `Lumina.shutdown` within its deadline."""


class SystemAnalyticsProvider(Protocol):
    """What records what the system does, like a tracer. Hooks are treated as those of a `UIAnalyticsProvider` are."""

    @property
    def name(self) -> str:
        """What the provider is called in logs."""
        ...

    async def start_turn(self, context: TurnContext) -> Any:
        """Begin a turn, where it begins; return a reference that the other hooks are given."""

    async def end_turn(self, ref: Any, status: str, meta: Mapping[str, Any]) -> None:
        """End it. `meta` holds `ended_ns` and what the turn's event holds of facts: `latency_ms`, `error`."""

    async def start_span(self, context: SpanContext) -> Any:
        """Begin a call of a model or a tool; called, with its time, when the turn is over."""

    async def end_span(self, ref: Any, status: str, meta: Mapping[str, Any]) -> None:
        """End it. `meta` holds `ended_ns`; of a model also `prompt_id`, `provider`, `outcome`; of a tool `type`."""

    async def shutdown(self) -> None:
        """Let go of everything; awaited by `Lumina.shutdown` within its deadline."""


@attrs.frozen
class NullUIProvider:
    """The UI provider that is none: the default."""

    name: str = "none"

    async def init(self) -> None:
        """Do nothing."""

    async def get_session_id(self) -> str:
        """Return an empty string."""
        return ""

    async def get_replay_url(self) -> str:
        """Return an empty string."""
        return ""

    async def tag_turn(self, context: TurnContext) -> None:
        """Do nothing."""

    async def untag_turn(self, context: TurnContext) -> None:
        """Do nothing."""

    async def start_replay(self) -> None:
        """Do nothing."""

    async def stop_replay(self) -> None:
        """Do nothing."""

    async def capture_event(self, name: str, properties: Mapping[str, Any]) -> None:
        """Do nothing."""

    async def shutdown(self) -> None:
        """Do nothing."""


@attrs.frozen
class Clock:
    """Where time comes from. Pass another one to `LuminaClient` to test without waiting.

    Attributes:
        wall_ns: Nanoseconds since the epoch, for the moments that events tell.
        monotonic_ns: Nanoseconds that never go back, for latencies and deadlines.
        sleep: Waits that many seconds, for the delays between attempts.
    """

    wall_ns: Callable[[], int] = time.time_ns
    monotonic_ns: Callable[[], int] = time.monotonic_ns
    sleep: Callable[[float], Coroutine[Any, Any, None]] = anyio.sleep

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Wait until the event is set; after so many seconds it is set here."""
        if seconds == math.inf:
            await event.wait()
            return
        alarm = start_task(lambda: self.sleep(seconds), "lumina-alarm")

        def ring(_: object) -> None:
            event.set()

        alarm.add_done_callback(ring)
        try:
            await event.wait()
        finally:
            # Else the next wait for the event would end at once, and so would every one after it.
            alarm.remove_done_callback(ring)
            end_task(alarm)
