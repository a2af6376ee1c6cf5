"""OpenTelemetry: each turn a span, with the calls of models and tools and the look-ups in it as its children.

    await Lumina.init(..., system_analytics=opentelemetry_provider())

It needs OpenTelemetry's API only (`lumina-async[otel]`); the SDK, its sampler and its exporters are the app's. Export
with a `BatchSpanProcessor`: one that exports as a span ends would block the event loop.

The ids are OpenTelemetry's, since its API lets nobody choose them. The turn's own trace id and span id, those that
`Turn.traceparent` sends to other services, are a link of its span.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any
from weakref import WeakValueDictionary

import attrs

try:
    from opentelemetry import context as otel_context, trace
    from opentelemetry.trace import Span, SpanKind, Status, StatusCode
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(f"{error}: pip install 'lumina-async[otel]'", name=error.name) from None

from lumina_async import Turn, __version__, current_turn
from lumina_async.providers import SpanContext, TurnContext
from lumina_async.providers.facts import Facts, list_of, moment, part_of, present
from lumina_async.providers.gen_ai import (
    Attributes,
    call_attributes,
    retrieval_attributes,
    tool_attributes,
    turn_attributes,
)

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def opentelemetry_provider(tracer_provider: trace.TracerProvider | None = None) -> "OpenTelemetryProvider":
    """Return the provider that makes spans of turns.

    Args:
        tracer_provider: Whose tracer makes them; the global one by default, which may be set later.
    """
    return OpenTelemetryProvider(trace.get_tracer("lumina_async", __version__, tracer_provider))


@attrs.define(eq=False)
class TurnSpan:
    """The span of an open turn, and, once that has ended, its event."""

    span: Span
    common: Attributes
    started_ns: int
    facts: Facts | None = None

    def found(self, span_id: str) -> Facts | None:
        """Return what the event says of one of its calls."""
        facts = self.facts or {}
        calls = (*list_of(facts, "llm"), *list_of(facts, "tools"))
        return next((call for call in calls if call["span_id"] == span_id), None)


@attrs.frozen(eq=False)
class CallSpan:
    """The span of a call of a model or a tool, and what the event says of it."""

    span: Span
    facts: Facts | None


class OpenTelemetryProvider:
    """A `SystemAnalyticsProvider` for OpenTelemetry; `opentelemetry_provider` makes it.

    A turn's span begins with the turn and is current in its block. Everything else is told when the turn has ended,
    with the times at which it happened.
    """

    def __init__(self, tracer: trace.Tracer) -> None:
        self.name = "opentelemetry"
        self._tracer = tracer
        # The hooks hold them. A turn that never ends leaves nothing here.
        self._open: WeakValueDictionary[str, TurnSpan] = WeakValueDictionary()

    async def start_turn(self, context: TurnContext) -> TurnSpan:
        """Begin the span of a turn, and make it current where the turn is."""
        common = _common(context)
        span = self._tracer.start_span(
            "invoke_agent",
            _parent(context),
            SpanKind.INTERNAL,
            {**common, "gen_ai.operation.name": "invoke_agent", "lumina.turn_id": context.turn_id}
            | {"lumina.turn_seq": context.seq},
            _links(context),
            context.started_ns,
        )
        turn = current_turn()
        # One by hand is current nowhere: nobody would know where it ends to be.
        if turn is not None and turn.turn_id == context.turn_id:
            otel_context.attach(trace.set_span_in_context(CurrentSpan(turn, span, _open(trace.get_current_span()))))
        ref = self._open[context.turn_id] = TurnSpan(span, common, context.started_ns)
        return ref

    async def turn_ended(self, context: TurnContext, facts: Facts) -> None:
        """Keep what the turn's spans will tell."""
        turn = self._open.get(context.turn_id)
        if turn is not None:
            turn.facts = facts

    async def start_span(self, context: SpanContext) -> CallSpan | None:
        """Make the span of a call; of a turn whose event went nowhere it tells name and times."""
        turn: TurnSpan | None = context.turn_ref
        if turn is None:
            return None
        facts = turn.found(context.span_id)
        told = facts or {"name": context.name, "model": context.name}
        if context.kind == "llm":
            model, kind, more = told.get("model"), SpanKind.CLIENT, call_attributes(told, turn.facts or {})
            name = f"chat {model}" if model else "chat"
        else:
            name, kind, more = f"execute_tool {context.name}", SpanKind.INTERNAL, tool_attributes(told)
        return CallSpan(self._child(turn, name, kind, more, context.started_ns), facts)

    async def end_span(self, ref: CallSpan | None, status: str, meta: Mapping[str, Any]) -> None:
        """End the span of a call when that ended."""
        if ref is not None:
            _end(ref.span, status, ref.facts, meta)

    async def end_turn(self, ref: TurnSpan | None, status: str, meta: Mapping[str, Any]) -> None:
        """End the span of a turn when that ended."""
        if ref is None:
            return
        try:
            if ref.facts is not None:
                self._tell(ref, ref.facts)
        # Whatever a processor of the app's makes of the rest: a span that never ends is told to nobody.
        finally:
            _end(ref.span, status, ref.facts, meta)

    async def shutdown(self) -> None:
        """Do nothing: the SDK is the app's, and so is flushing it."""

    def _tell(self, turn: TurnSpan, facts: Facts) -> None:
        turn.span.set_attributes(turn_attributes(facts))
        # A look-up has no time of its own: it is told as of the beginning of its turn.
        for look_up in list_of(facts, "retrievals"):
            name = f"retrieval {look_up['source']}" if look_up.get("source") else "retrieval"
            more = retrieval_attributes(look_up)
            self._child(turn, name, SpanKind.CLIENT, more, turn.started_ns).end(turn.started_ns)

    def _child(self, turn: TurnSpan, name: str, kind: SpanKind, more: Attributes, started_ns: int) -> Span:
        # In an empty context: what is current here is not what was current there.
        context = trace.set_span_in_context(turn.span, otel_context.Context())
        return self._tracer.start_span(name, context, kind, {**turn.common, **more}, (), started_ns)


class CurrentSpan(Span):
    """What is current in the block of a turn: its span while the turn is open, and then what was current before.

    No hook runs where a turn ends, so nothing could be detached there. Instead this finds out whenever it is asked, as
    `current_turn()` does: also in tasks that the block started, and that outlive it.
    """

    def __init__(self, turn: Turn, span: Span, before: Span) -> None:
        self.turn, self.span, self.before = turn, span, before

    def __getattr__(self, name: str) -> Any:
        """Give what the span in force has beyond the API."""
        # `copy` and `pickle` ask for their own names before there are any attributes, and would never stop.
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(_now(self), name)

    def get_span_context(self) -> trace.SpanContext:
        """Return the ids of the span in force."""
        return _now(self).get_span_context()

    def is_recording(self) -> bool:
        """Return whether the span in force is recorded."""
        return _now(self).is_recording()

    def end(self, end_time: int | None = None) -> None:
        """Do nothing: a turn ends its span itself."""

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Set attributes of the span in force."""
        _now(self).set_attributes(attributes)

    def set_attribute(self, key: str, value: Any) -> None:
        """Set an attribute of the span in force."""
        _now(self).set_attribute(key, value)

    def add_event(self, name: str, attributes: Any = None, timestamp: int | None = None) -> None:
        """Add an event to the span in force."""
        _now(self).add_event(name, attributes, timestamp)

    def add_link(self, context: trace.SpanContext, attributes: Any = None) -> None:
        """Add a link to the span in force."""
        _now(self).add_link(context, attributes)

    def update_name(self, name: str) -> None:
        """Rename the span in force."""
        _now(self).update_name(name)

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the status of the span in force."""
        _now(self).set_status(status, description)

    def record_exception(
        self, exception: BaseException, attributes: Any = None, timestamp: int | None = None, escaped: bool = False
    ) -> None:
        """Record an exception in the span in force."""
        _now(self).record_exception(exception, attributes, timestamp, escaped)


def _now(span: Span) -> Span:
    """Return the span that this one stands for at this moment."""
    while isinstance(span, CurrentSpan):
        span = span.before if span.turn.is_finished else span.span
    return span


def _open(span: Span) -> Span:
    """Leave out turns that have ended: else one task that sees a million turns would hold them all."""
    while isinstance(span, CurrentSpan) and span.turn.is_finished:
        span = span.before
    return span


def _parent(context: TurnContext) -> otel_context.Context:
    """Return the context that a turn's span begins in.

    1. In the current span: of the turn around it, or of the app's instrumentation.
    2. Where nothing is current, under the `traceparent` that came with the request.
    3. Else it begins a trace.
    """
    here = otel_context.get_current()
    if trace.get_current_span().get_span_context().is_valid or not context.links:
        return here
    link = context.links[0]
    return trace.set_span_in_context(trace.NonRecordingSpan(_remote(link["trace_id"], link["span_id"])), here)


def _links(context: TurnContext) -> list[trace.Link]:
    return [] if context.trace_id is None else [trace.Link(_remote(context.trace_id, context.turn_id))]


def _remote(trace_id: str, span_id: str) -> trace.SpanContext:
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED)
    return trace.SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=flags)


def _common(context: TurnContext) -> Attributes:
    """Return what every span of a turn says: whose it is, and in which conversation."""
    session = context.session_id
    of_session = {} if session is None else {"session.id": session, "gen_ai.conversation.id": session}
    return {"user.id": context.distinct_id, **of_session}


def _end(span: Span, status: str, facts: Facts | None, meta: Mapping[str, Any]) -> None:
    """End a span as its call or turn ended. A cancelled one has no status: nothing went wrong."""
    error: Facts = {"type": meta.get("error"), **part_of(facts or {}, "error")}
    if error["type"]:
        told = {
            "exception.type": error["type"],
            "exception.message": error.get("message"),
            "exception.stacktrace": "\n".join(error.get("stack", ())) or None,
        }
        span.add_event("exception", present(told), _nanoseconds(error.get("at")) or meta["ended_ns"])
    if status == "error":
        span.set_status(StatusCode.ERROR, error.get("message") or error["type"])
    span.end(meta["ended_ns"])


def _nanoseconds(text: str | None) -> int:
    return 0 if text is None else (moment(text) - _EPOCH) // dt.timedelta(microseconds=1) * 1_000
