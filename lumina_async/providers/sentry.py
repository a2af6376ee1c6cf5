"""Sentry: each turn a transaction with its calls, tools and look-ups, and the turn on every error captured in it.

    sentry_sdk.init(dsn=..., traces_sample_rate=1.0)
    await Lumina.init(..., system_analytics=sentry_provider())

The SDK, its sampling and its transport, which sends from a thread of its own, are the app's (`lumina-async[sentry]`).
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import attrs
import sentry_sdk

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

STATUS = {"ok": "ok", "error": "internal_error", "cancelled": "cancelled"}


def sentry_provider() -> "SentryProvider":
    """Return the provider for the Sentry that the app has initialised, or will."""
    return SentryProvider()


@attrs.frozen(eq=False)
class _Trace:
    """Where a turn began: in which trace of Sentry, and who it is with."""

    headers: Mapping[str, str]
    context: TurnContext


class SentryProvider:
    """A `SystemAnalyticsProvider` for Sentry; `sentry_provider` makes it.

    A turn is a transaction of its own, in the trace that was current where it began: the transaction of the request may
    be over before the turn is told, and Sentry drops what comes after.
    """

    def __init__(self) -> None:
        self.name = "sentry"
        self._is_open = True
        self._told: dict[str, Facts] = {}
        sentry_sdk.get_global_scope().add_event_processor(self._name_turn)

    async def start_turn(self, context: TurnContext) -> _Trace:
        """Remember the trace that is current."""
        given = {"sentry-trace": sentry_sdk.get_traceparent(), "baggage": sentry_sdk.get_baggage()}
        return _Trace({name: value for name, value in given.items() if value}, context)

    async def turn_ended(self, context: TurnContext, facts: Facts) -> None:
        """Send the turn to Sentry's queue."""
        self._told = {context.turn_id: facts}

    async def start_span(self, context: SpanContext) -> None:
        """Do nothing: calls are in the event of the turn."""

    async def end_span(self, ref: Any, status: str, meta: Mapping[str, Any]) -> None:
        """Do nothing."""

    async def end_turn(self, ref: _Trace | None, status: str, meta: Mapping[str, Any]) -> None:
        """Make a transaction of the turn; of one whose event went nowhere there is none."""
        facts = None if ref is None else self._told.pop(ref.context.turn_id, None)
        if ref is None or facts is None:
            return
        began = moment(facts["started_at"])
        # In a scope of its own: what is current here is of whoever happened to run this.
        with sentry_sdk.new_scope() as scope:
            scope.set_user({"id": ref.context.distinct_id})
            turn = sentry_sdk.continue_trace(
                dict(ref.headers), op="gen_ai.invoke_agent", name="invoke_agent", origin="auto.ai.lumina"
            )
            turn.start_timestamp = began
            transaction = sentry_sdk.start_transaction(turn)
            transaction.set_context("lumina", _turn_context(facts["turn_id"], facts["seq"], facts.get("session_id")))
            self._tell_children(transaction, facts, began)
            _end(transaction, _common(facts) | turn_attributes(facts), facts, began)

    async def shutdown(self) -> None:
        """Name no turns any more; Sentry is the app's, and flushes itself at exit."""
        self._is_open = False

    def _tell_children(self, transaction: Any, facts: Facts, began: dt.datetime) -> None:
        common = _common(facts)
        for call in list_of(facts, "llm"):
            name = f"chat {call['model']}" if call.get("model") else "chat"
            child = _child(transaction, "gen_ai.chat", name, moment(call["started_at"]))
            _end(child, common | call_attributes(call, facts), call, moment(call["started_at"]))
        for tool in list_of(facts, "tools"):
            child = _child(
                transaction, "gen_ai.execute_tool", f"execute_tool {tool['name']}", moment(tool["started_at"])
            )
            _end(child, common | tool_attributes(tool), tool, moment(tool["started_at"]))
        for look_up in list_of(facts, "retrievals"):
            name = f"retrieval {look_up['source']}" if look_up.get("source") else "retrieval"
            child = _child(transaction, "gen_ai.retrieval", name, began)
            # It has no time of its own: it is told as of the beginning of its turn.
            _end(child, common | retrieval_attributes(look_up), {"status": "ok", "latency_ms": 0}, began)

    def _name_turn(self, event: Any, hint: Any) -> Any:
        """Put the turn that is open where an event is captured on it; Sentry calls this there."""
        turn = current_turn() if self._is_open and event.get("type") != "transaction" else None
        if turn is not None:
            event.setdefault("contexts", {})["lumina"] = _turn_context(turn.turn_id, turn.seq, turn.session_id)
        return event


def _turn_context(turn_id: str, seq: int, session_id: str | None) -> dict[str, Any]:
    return {"turn_id": turn_id, "turn_seq": seq, "session_id": session_id}


def _common(facts: Facts) -> Attributes:
    session = facts.get("session_id")
    return {"user.id": facts["distinct_id"]} | ({"gen_ai.conversation.id": session} if session else {})


def _child(transaction: Any, op: str, name: str, began: dt.datetime) -> Any:
    return transaction.start_child(op=op, name=name, start_timestamp=began, origin="auto.ai.lumina")


def _end(span: Any, attributes: Attributes, facts: Facts, began: dt.datetime) -> None:
    for name, value in attributes.items():
        span.set_data(name, value)
    if message := part_of(facts, "error").get("message"):
        span.set_data("error.message", message)
    span.set_status(STATUS.get(facts["status"], "unknown_error"))
    span.finish(end_timestamp=began + dt.timedelta(milliseconds=facts["latency_ms"]))
