"""The facts that leave this process, frozen, and the names they have on the wire (SPEC sections 5 and 7)."""

from collections.abc import Mapping
from enum import StrEnum

import attrs
import orjson

WIRE_VERSION = 1
"""The `v` of every event. Within one version fields are only ever added."""

SOURCE = "lumina-async"
"""The `source` of every event that this SDK sends."""


class EventName(StrEnum):
    """The `name` of an event."""

    TURN = "turn"
    SESSION_STARTED = "session_started"
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


@attrs.frozen(kw_only=True)
class Origin:
    """Who and which session an event belongs to."""

    distinct_id: str
    anonymous: bool
    session_id: str | None = None
    trace_id: str | None = None


@attrs.frozen(kw_only=True)
class ErrorInfo:
    """An exception, as far as it may leave the process: no locals, no source lines, no folders."""

    type: str
    message: str | None
    stack: tuple[str, ...]
    at_ns: int


@attrs.frozen(kw_only=True)
class LlmCall:
    """One finished call of a model."""

    span_id: str
    started_ns: int
    latency_ns: int
    status: Status
    model: str | None = None
    prompt_id: str | None = None
    provider: str | None = None
    streaming: bool = False
    outcome: Outcome | None = None
    ttft_ns: int | None = None
    chunks: int | None = None
    longest_gap_ns: int | None = None
    meta: orjson.Fragment | None = None
    error: ErrorInfo | None = None


@attrs.frozen(kw_only=True)
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
    llm: tuple[LlmCall, ...] = ()
    messages: orjson.Fragment | None = None
    annotations: Mapping[str, orjson.Fragment] = {}
    error: ErrorInfo | None = None
    notes: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class SessionStarted:
    """A conversation began, or was told more about where it takes place."""

    event_id: str
    origin: Origin
    at_ns: int
    pointers: orjson.Fragment | None = None


@attrs.frozen(kw_only=True)
class SdkReport:
    """The ledger of a process that lost events, so that the page can show what is missing."""

    event_id: str
    client_id: str
    at_ns: int
    ledger: Mapping[str, int]
    lost: Mapping[str, int]


Event = TurnEvent | SessionStarted | SdkReport
