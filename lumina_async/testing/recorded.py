"""What was recorded, as objects to assert on: the fields of the wire under their own names (SPEC section 7).

A field that is absent on the wire is None, or empty. `raw` is the event as it was sent, with every field there is.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import attrs

T = TypeVar("T")
Raw = dict[str, Any]


def read(kind: Callable[..., T], raw: Raw) -> T:
    """Return what the wire tells as an object of this class; what the class does not know is in `raw` alone."""
    known = attrs.fields_dict(kind) if isinstance(kind, type) else {}
    return kind(raw=raw, **{name: value for name, value in raw.items() if name in known})


@attrs.frozen(kw_only=True)
class RecordedError:
    """An exception, as it is told: no locals, no source lines, no folders."""

    raw: Raw = attrs.field(repr=False)
    type: str
    message: str | None = None
    stack: list[str] = attrs.Factory(list[str])
    at: str | None = None


def _error(raw: Raw | None) -> RecordedError | None:
    return None if raw is None else read(RecordedError, raw)


@attrs.frozen(kw_only=True)
class RecordedCall:
    """A call of a model: an item of `llm`."""

    raw: Raw = attrs.field(repr=False)
    span_id: str
    status: str
    started_at: str
    latency_ms: float
    model: str | None = None
    response_model: str | None = None
    response_id: str | None = None
    provider: str | None = None
    prompt_id: str | None = None
    outcome: str | None = None
    streaming: bool = False
    ttft_ms: float | None = None
    chunks: int | None = None
    longest_gap_ms: float | None = None
    tokens_per_s: float | None = None
    usage: Raw = attrs.Factory(Raw)
    finish_reason: str | None = None
    tool_calls: list[Any] = attrs.Factory(list[Any])
    input: Any = None
    output: Any = None
    cost: Any = None
    meta: Raw = attrs.Factory(Raw)
    error: RecordedError | None = attrs.field(default=None, converter=_error)


def _calls(raws: Sequence[Raw]) -> tuple[RecordedCall, ...]:
    return tuple(read(RecordedCall, raw) for raw in raws)


@attrs.frozen(kw_only=True)
class RecordedTool:
    """A call of a tool: an item of `tools`."""

    raw: Raw = attrs.field(repr=False)
    span_id: str
    name: str
    status: str
    started_at: str
    latency_ms: float
    type: str | None = None
    target: str | None = None
    version: str | None = None
    input: Any = None
    output: Any = None
    meta: Raw = attrs.Factory(Raw)
    error: RecordedError | None = attrs.field(default=None, converter=_error)


def _tools(raws: Sequence[Raw]) -> tuple[RecordedTool, ...]:
    return tuple(read(RecordedTool, raw) for raw in raws)


@attrs.frozen(kw_only=True)
class RecordedRetrieval:
    """What was looked up: an item of `retrievals`."""

    raw: Raw = attrs.field(repr=False)
    source: str | None = None
    query: str | None = None
    results: list[Raw] = attrs.Factory(list[Raw])


def _retrievals(raws: Sequence[Raw]) -> tuple[RecordedRetrieval, ...]:
    return tuple(read(RecordedRetrieval, raw) for raw in raws)


@attrs.frozen(kw_only=True)
class RecordedTurn:
    """An exchange: the event `turn`."""

    raw: Raw = attrs.field(repr=False)
    event_id: str
    ts: str
    distinct_id: str
    anonymous: bool
    session_id: str | None = None
    trace_id: str | None = None
    turn_id: str
    parent_id: str | None = None
    seq: int
    status: str
    started_at: str
    ended_at: str
    latency_ms: float
    capture: str
    llm: tuple[RecordedCall, ...] = attrs.field(default=(), converter=_calls)
    tools: tuple[RecordedTool, ...] = attrs.field(default=(), converter=_tools)
    retrievals: tuple[RecordedRetrieval, ...] = attrs.field(default=(), converter=_retrievals)
    messages: list[Raw] = attrs.Factory(list[Raw])
    annotations: Raw = attrs.Factory(Raw)
    ui: Raw = attrs.Factory(Raw)
    links: list[Any] = attrs.Factory(list[Any])
    error: RecordedError | None = attrs.field(default=None, converter=_error)
    notes: list[str] = attrs.Factory(list[str])


@attrs.frozen(kw_only=True)
class RecordedSession:
    """A conversation that began, or told more about where it takes place: the event `session_started`."""

    raw: Raw = attrs.field(repr=False)
    event_id: str
    ts: str
    distinct_id: str
    anonymous: bool
    session_id: str
    trace_id: str
    pointers: Raw = attrs.Factory(Raw)


@attrs.frozen(kw_only=True)
class RecordedIdentify:
    """A visitor who became known: the event `identify`."""

    raw: Raw = attrs.field(repr=False)
    event_id: str
    ts: str
    distinct_id: str
    anonymous: bool
    session_id: str | None = None
    trace_id: str | None = None
    previous_id: str | None = None
    properties: Raw = attrs.Factory(Raw)


@attrs.frozen(kw_only=True)
class RecordedFeedback:
    """What somebody thought of a turn: the event `feedback`."""

    raw: Raw = attrs.field(repr=False)
    event_id: str
    ts: str
    distinct_id: str | None = None
    anonymous: bool | None = None
    session_id: str | None = None
    trace_id: str | None = None
    turn_id: str | None = None
    kind: str | None = None
    score: Any = None
    label: str | None = None
    comment: str | None = None
    feedback_source: str | None = None


@attrs.frozen(kw_only=True)
class RecordedEvent:
    """Any event, by what all events have; the rest is in `raw`."""

    raw: Raw
    name: str
    event_id: str
    ts: str
    distinct_id: str | None = None
    anonymous: bool | None = None
    session_id: str | None = None
    trace_id: str | None = None
