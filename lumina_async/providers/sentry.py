"""Sentry: each turn a transaction with its calls, tools and look-ups, and the turn on every error captured in it.

    sentry_sdk.init(dsn=..., traces_sample_rate=1.0)
    await Lumina.init(..., system_analytics=sentry_provider())

The SDK, its sampling and its transport, which sends from a thread of its own, are the app's (`lumina-async[sentry]`).
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any

import attrs

try:
    import sentry_sdk
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(f"{error}: pip install 'lumina-async[sentry]'", name=error.name) from None

from lumina_async import current_turn
from lumina_async.providers import SpanContext, TurnContext
from lumina_async.providers.facts import Facts, list_of, moment, part_of
from lumina_async.providers.gen_ai import (
    Attributes,
    call_attributes,
    retrieval_attributes,
    tool_attributes,
    turn_attributes,
)

ORIGIN = "auto.ai.lumina"
STATUS = {"ok": "ok", "error": "internal_error", "cancelled": "cancelled"}


def sentry_provider() -> "SentryProvider":
    """Return the provider for the Sentry that the app has initialised, or will."""
    return SentryProvider()


@attrs.frozen(eq=False)
class _Trace:
    """Where a turn began: in which trace of Sentry, if in any, and who it is with."""

    headers: Mapping[str, str]
    turn_id: str
    distinct_id: str


@attrs.frozen(kw_only=True)
class _Part:
    """A call, a tool or a look-up of a turn, or the turn itself."""

    op: str
    name: str
    attributes: Attributes
    facts: Facts
    began: dt.datetime

    @property
    def ended(self) -> dt.datetime:
        return self.began + dt.timedelta(milliseconds=self.facts["latency_ms"])


class SentryProvider:
    """A `SystemAnalyticsProvider` for Sentry; `sentry_provider` makes it.

    A turn is a transaction of its own, in the trace that was current where it began: the transaction of the request may
    be over before the turn is told, and Sentry drops what comes after. Where the app streams its spans
    (`trace_lifecycle="stream"`) it is a segment.
    """

    def __init__(self) -> None:
        self.name = "sentry"
        self._is_open = True
        self._told: dict[str, Facts] = {}
        sentry_sdk.get_global_scope().add_event_processor(self._name_turn)

    async def start_turn(self, context: TurnContext) -> _Trace:
        """Remember the trace that is current."""
        return _Trace(_current_trace(), context.turn_id, context.distinct_id)

    async def turn_ended(self, context: TurnContext, facts: Facts) -> None:
        """Send the turn to Sentry's queue."""
        self._told = {context.turn_id: facts}

    async def start_span(self, context: SpanContext) -> None:
        """Do nothing: calls are in the event of the turn."""

    async def end_span(self, ref: Any, status: str, meta: Mapping[str, Any]) -> None:
        """Do nothing."""

    async def end_turn(self, ref: _Trace | None, status: str, meta: Mapping[str, Any]) -> None:
        """Make a transaction of the turn; of one whose event went nowhere there is none."""
        facts = None if ref is None else self._told.pop(ref.turn_id, None)
        if ref is None or facts is None:
            return
        # In scopes of its own: what is current here is of whoever happened to run this.
        with sentry_sdk.isolation_scope() as scope:
            scope.set_user({"id": ref.distinct_id})
            # Else the turns of a process that traces nothing else would all be in its one trace.
            scope.set_new_propagation_context()
            if (traces := _streams()) is None:
                _tell_transaction(ref, _whole(facts), _parts(facts))
            else:
                _tell_segment(traces, ref, _whole(facts), _parts(facts))

    async def shutdown(self) -> None:
        """Name no turns any more; Sentry is the app's, and flushes itself at exit."""
        self._is_open = False

    def _name_turn(self, event: Any, hint: Any) -> Any:
        """Put the turn that is open where an event is captured on it; Sentry calls this there."""
        turn = current_turn() if self._is_open and event.get("type") != "transaction" else None
        if turn is not None:
            event.setdefault("contexts", {})["lumina"] = _turn_context(turn.turn_id, turn.seq, turn.session_id)
        return event


def _current_trace() -> Mapping[str, str]:
    """Return the headers of the trace that is current: of a span, or of the request that came; else none."""
    scope = sentry_sdk.get_current_scope()
    # A streamed one is another attribute; an old Sentry has none.
    span = scope.span or getattr(scope, "streamed_span", None)
    if span is None and scope.get_active_propagation_context().parent_span_id is None:
        return {}
    given = {"sentry-trace": sentry_sdk.get_traceparent(), "baggage": sentry_sdk.get_baggage()}
    return {name: value for name, value in given.items() if value}


def _streams() -> Any:
    """Return Sentry's module of streamed spans where the app has chosen these; None otherwise."""
    options: dict[str, Any] = sentry_sdk.get_client().options
    experiments: dict[str, Any] = options.get("_experiments") or {}
    chosen = options.get("trace_lifecycle") or experiments.get("trace_lifecycle")
    with suppress(ImportError):
        return import_module("sentry_sdk.traces") if chosen == "stream" else None
    return None


def _turn_context(turn_id: str, seq: int, session_id: str | None) -> dict[str, Any]:
    return {"turn_id": turn_id, "turn_seq": seq, "session_id": session_id}


def _common(facts: Facts) -> Attributes:
    session = facts.get("session_id")
    return {"user.id": facts["distinct_id"]} | ({"gen_ai.conversation.id": session} if session else {})


def _whole(facts: Facts) -> _Part:
    return _Part(
        op="gen_ai.invoke_agent",
        name="invoke_agent",
        attributes=_common(facts) | turn_attributes(facts),
        facts=facts,
        began=moment(facts["started_at"]),
    )


def _parts(facts: Facts) -> Iterator[_Part]:
    for call in list_of(facts, "llm"):
        name = f"chat {call['model']}" if call.get("model") else "chat"
        yield _part("gen_ai.chat", name, call_attributes(call, facts), call, facts)
    for tool in list_of(facts, "tools"):
        yield _part("gen_ai.execute_tool", f"execute_tool {tool['name']}", tool_attributes(tool), tool, facts)
    for look_up in list_of(facts, "retrievals"):
        name = f"retrieval {look_up['source']}" if look_up.get("source") else "retrieval"
        # It has no time of its own: it is told as of the beginning of its turn.
        told = {"status": "ok", "latency_ms": 0, "started_at": facts["started_at"]}
        yield _part("gen_ai.retrieval", name, retrieval_attributes(look_up), told, facts)


def _part(op: str, name: str, attributes: Attributes, facts: Facts, turn: Facts) -> _Part:
    began = moment(facts["started_at"])
    return _Part(op=op, name=name, attributes=_common(turn) | attributes, facts=facts, began=began)


def _told(part: _Part) -> Attributes:
    message = part_of(part.facts, "error").get("message")
    return part.attributes | ({"error.message": message} if message else {})


def _tell_transaction(trace: _Trace, turn: _Part, parts: Iterator[_Part]) -> None:
    made = sentry_sdk.continue_trace(dict(trace.headers), op=turn.op, name=turn.name, origin=ORIGIN)
    made.start_timestamp = turn.began
    transaction: Any = sentry_sdk.start_transaction(made)
    facts = turn.facts
    transaction.set_context("lumina", _turn_context(facts["turn_id"], facts["seq"], facts.get("session_id")))
    try:
        for part in parts:
            _end_span(
                transaction.start_child(op=part.op, name=part.name, start_timestamp=part.began, origin=ORIGIN), part
            )
    finally:
        _end_span(transaction, turn)


def _end_span(span: Any, part: _Part) -> None:
    for name, value in _told(part).items():
        span.set_data(name, value)
    span.set_status(STATUS.get(part.facts["status"], "unknown_error"))
    span.finish(end_timestamp=part.ended)


def _tell_segment(traces: Any, trace: _Trace, turn: _Part, parts: Iterator[_Part]) -> None:
    traces.continue_trace(dict(trace.headers))
    facts = turn.facts
    ids = {"lumina.turn_id": facts["turn_id"], "lumina.turn_seq": facts["seq"]}
    segment = _begin(traces, turn, None, ids)
    try:
        # One that is not sampled has no children either.
        for part in parts if segment.sampled else ():
            _end_streamed(_begin(traces, part, segment), part)
    finally:
        _end_streamed(segment, turn)


def _begin(traces: Any, part: _Part, parent: Any, ids: Attributes | None = None) -> Any:
    # Before it is sampled: the app's `traces_sampler` decides by these.
    first = {"sentry.op": part.op, "sentry.origin": ORIGIN, **(ids or {})}
    span = traces.start_span(part.name, first, parent, active=False)
    # There is no public way to begin one in the past; without this its time would be wrong, and the rest right.
    with suppress(AttributeError):
        span._start_timestamp = part.began
    return span


def _end_streamed(span: Any, part: _Part) -> None:
    span.set_attributes(_told(part))
    span.status = "error" if part.facts["status"] == "error" else "ok"
    span.end(part.ended)
