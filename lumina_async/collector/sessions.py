"""How events add up to the summary of their session. Pure, so that every engine adds up alike."""

from collections.abc import Mapping
from typing import Any

import attrs
import orjson

from lumina_async._events import EventName, Status
from lumina_async.collector.costs import TurnCost, usd_of
from lumina_async.collector.store import Row, SessionSummary

_POINTERS_BYTES = 64 * 1024
_MAX_SUM = 2**62


@attrs.frozen(kw_only=True)
class SessionState:
    """A summary and what is needed to go on from it."""

    summary: SessionSummary
    preview_at: str = ""
    """The `started_at` of the turn that the preview is from: a late arrival does not replace a later message."""
    nano_usd: int | None = None
    """The cost that the summary has in dollars."""


def add_event(state: SessionState | None, row: Row, session_id: str, received_at: str) -> SessionState:
    """Return the state of a session after one more of its events; None is a session not seen before."""
    if state is None:
        first = SessionSummary(session_id=session_id, started_at=row.started_at or received_at, last_at=received_at)
        state = SessionState(summary=first)
    old = state.summary
    distinct_id, anonymous = _user(old, row)
    is_newer = row.preview is not None and row.started_at >= state.preview_at
    nano_usd = _sum(state.nano_usd, row.cost)
    summary = attrs.evolve(
        old,
        trace_id=old.trace_id or row.trace_id,
        distinct_id=distinct_id,
        anonymous=anonymous,
        started_at=min(old.started_at, row.started_at or old.started_at),
        last_at=received_at,
        turns=old.turns + (row.name == EventName.TURN),
        errors=old.errors + (row.status == Status.ERROR),
        cancelled=old.cancelled + (row.status == Status.CANCELLED),
        pointers=_merged(old.pointers, row.pointers),
        preview=row.preview if is_newer else old.preview,
        cost_usd=usd_of(nano_usd),
        unpriced=old.unpriced + (0 if row.cost is None else row.cost.unpriced),
    )
    preview_at = row.started_at if is_newer else state.preview_at
    return SessionState(summary=summary, preview_at=preview_at, nano_usd=nano_usd)


def add_feedback(state: SessionState, count: int, received_at: str) -> SessionState:
    """Return the state of a session after something was said of it or of one of its turns."""
    summary = state.summary
    return attrs.evolve(state, summary=attrs.evolve(summary, feedback=summary.feedback + count, last_at=received_at))


def _sum(nano_usd: int | None, cost: TurnCost | None) -> int | None:
    if cost is None or cost.nano_usd is None:
        return nano_usd
    return min((nano_usd or 0) + cost.nano_usd, _MAX_SUM)


def _user(old: SessionSummary, row: Row) -> tuple[str | None, bool | None]:
    # An anonymous event that arrives late does not take a session from the user it became known for.
    if row.distinct_id is None or (old.anonymous is False and row.anonymous is True):
        return old.distinct_id, old.anonymous
    # A visitor who logs in keeps the id that the session came with: it leads to the user when it is read.
    if row.alias is not None and row.alias == old.distinct_id:
        return old.distinct_id, old.anonymous
    return row.distinct_id, row.anonymous


def _merged(old: Mapping[str, Any], new: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if new is None:
        return old
    both = {**old, **new}
    # Keys that are never the same would let one session grow without end; then the latest pointers stand alone.
    return both if len(orjson.dumps(both)) <= _POINTERS_BYTES else new
