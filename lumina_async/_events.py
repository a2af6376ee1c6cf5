"""The facts that leave this process, and the names they have on the wire (SPEC sections 5 and 7).

Facts are frozen, but for the three that are made for every turn: freezing them would cost the caller two microseconds.
Those with contents have no repr, which would print what people said.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any

import attrs
import orjson

from lumina_async._said import Heard, Said

WIRE_VERSION = 1
"""The `v` of every event. Within one version fields are only ever added."""

SOURCE = "lumina-async"
"""The `source` of every event that this SDK sends."""


class EventName(StrEnum):
    """The `name` of an event."""

    TURN = "turn"
    SESSION_STARTED = "session_started"
    IDENTIFY = "identify"
    FEEDBACK = "feedback"
    CHAT_INPUT_STARTED = "chat_input_started"
    CHAT_MESSAGE_SUBMITTED = "chat_message_submitted"
    CHAT_INPUT_ABANDONED = "chat_input_abandoned"
    SDK_REPORT = "sdk_report"


class Status(StrEnum):
    """How a turn or a call ended."""

    OK = "ok"
    """It returned."""
    ERROR = "error"
    """An exception left it."""
    CANCELLED = "cancelled"
    """It was stopped from outside: a cancelled task, a closed generator, a client that left."""


class Outcome(StrEnum):
    """How a stream ended; what a plain status cannot tell apart."""

    COMPLETED = "completed"
    """Read to its end."""
    STOPPED = "stopped"
    """Closed by the application before its end."""
    CLIENT_GONE = "client_gone"
    """The person it was for left."""
    CANCELLED = "cancelled"
    """The task that read it was cancelled."""
    TIMED_OUT = "timed_out"
    """A deadline passed."""
    PROVIDER_ERROR = "provider_error"
    """The provider broke it off."""
    ABANDONED = "abandoned"
    """Dropped unread, or held open for longer than a turn waits."""


@attrs.define(kw_only=True)
class Origin:
    """Who and which session an event belongs to."""

    distinct_id: str
    anonymous: bool
    session_id: str | None = None
    trace_id: str | None = None


@attrs.frozen(kw_only=True, eq=False)
class ErrorInfo:
    """An exception, as far as it may leave the process: no locals, no source lines, no folders."""

    type: str
    message: str | None
    stack: tuple[str, ...]
    at_ns: int


@attrs.define(eq=False, repr=False)
class Call:
    """One call of a model or a tool: written to while it runs, and a fact once it has ended.

    Times are monotonic nanoseconds but for `started_ns`, which is of the wall clock.

    Attributes:
        opener: The task in which a framework began it, or went on: it does not tell when a cancelled call has ended.
        cancelled_by: The `id` of the cancellation that ended it; 0 of any other ending.
        closed: When its stream was closed by a framework, which does not tell why: the turn will see.
    """

    span_id: str
    started_ns: int
    began: int
    ended: int | None = None
    status: Status = Status.OK
    error: ErrorInfo | None = None
    opener: asyncio.Task[Any] | None = None
    cancelled_by: int = 0
    closed: int | None = None
    input: orjson.Fragment | None = None
    output: orjson.Fragment | None = None
    meta: orjson.Fragment | None = None

    def end(self, now: int, status: Status, error: ErrorInfo | None = None) -> None:
        """End it, once; what comes later does not change how it ended."""
        if self.ended is None:
            self.ended, self.status, self.error = now, status, error


@attrs.define(eq=False, kw_only=True, repr=False)
class Answer:
    """What a response says of itself, beside its text; `failure` is the code and the message of an error in it."""

    response_model: str | None = None
    response_id: str | None = None
    usage: Mapping[str, int] | None = None
    finish_reason: str | None = None
    tool_calls: orjson.Fragment | None = None
    failure: tuple[str, str] | None = None


@attrs.define(eq=False, repr=False)
class LlmCall:
    """What a call of a model has beside its times; a stream when it is read in chunks.

    Attributes:
        answer: What the response said, or the user in its place, as it may leave.
        takes_content: Whether the text of the response, and the arguments of the tools it asks for, are recorded.
        said: What the response said so far, until the call has ended.
        heard: What instrumented clients were told inside this call, until it has ended.
        was_closed: Tells whether the response behind the stream of a client was closed, whose helpers do not say so.
    """

    call: Call
    model: str | None = None
    prompt_id: str | None = None
    provider: str | None = None
    streaming: bool = False
    outcome: Outcome | None = None
    chunks: int = 0
    first: int | None = None
    last: int | None = None
    longest_gap: int = -1
    answer: Answer | None = None
    takes_content: bool = True
    said: Said | None = None
    heard: Heard | None = None
    was_closed: Callable[[], bool] | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing is inside it any more."""
        return self.call.ended is not None or self.call.closed is not None

    @property
    def tokens_per_s(self) -> float | None:
        """The tokens that came out, over the time from the start of the call to the last chunk of its stream."""
        tokens = self.answer.usage.get("output_tokens") if self.answer is not None and self.answer.usage else None
        if not tokens or self.last is None or self.last <= self.call.began:
            return None
        return round(tokens * 1e9 / (self.last - self.call.began), 2)


@attrs.define(eq=False, repr=False)
class ToolRun:
    """What a call of a tool has beside its times."""

    call: Call
    name: str
    type: str | None = None
    target: str | None = None
    version: str | None = None


@attrs.frozen(kw_only=True)
class Ui:
    """What the person was looking at, in the words of the UI provider."""

    session_id: str | None = None
    window_id: str | None = None
    replay_url: str | None = None


@attrs.define(kw_only=True, eq=False, repr=False)
class TurnEvent:
    """One exchange: a user's message and the assistant's reply."""

    event_id: str
    origin: Origin
    turn_id: str
    parent_id: str | None
    seq: int
    status: Status
    started_ns: int
    latency_ns: int
    capture: str
    llm: Sequence[LlmCall] = ()
    tools: Sequence[ToolRun] = ()
    retrievals: Sequence[orjson.Fragment] = ()
    messages: orjson.Fragment | None = None
    annotations: Mapping[str, orjson.Fragment] = {}
    ui: Ui | None = None
    links: Sequence[Mapping[str, str]] = ()
    error: ErrorInfo | None = None
    notes: Sequence[str] = ()

    @property
    def is_plain(self) -> bool:
        """Whether it has none of what most turns do not have: look-ups, a screen, links, an error, notes."""
        return not (self.retrievals or self.ui or self.links or self.error or self.notes)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class PlainEvent:
    """An event of one moment: every kind but a turn and a report.

    Attributes:
        fields: What the kind adds (SPEC section 7), under its names on the wire; None is left out.
    """

    event_id: str
    name: EventName
    origin: Origin
    at_ns: int
    fields: Mapping[str, Any]


@attrs.frozen(kw_only=True, eq=False, repr=False)
class SdkReport:
    """The ledger of a process that lost events, so that the page can show what is missing."""

    event_id: str
    client_id: str
    at_ns: int
    ledger: Mapping[str, int]
    lost: Mapping[str, int]


Event = TurnEvent | PlainEvent | SdkReport
