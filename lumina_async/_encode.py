"""An event becomes one line of NDJSON, once, as it happens; everything below this module knows only bytes."""

import time
from functools import lru_cache
from typing import Any

import attrs
import orjson

from lumina_async._events import (
    SOURCE,
    WIRE_VERSION,
    ErrorInfo,
    Event,
    EventName,
    LlmCall,
    Origin,
    SdkReport,
    SessionStarted,
    TurnEvent,
)
from lumina_async._shrink import shrink
from lumina_async._version import __version__


@lru_cache(maxsize=256)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(seconds))


def rfc3339(ns: int) -> str:
    """Return a moment (nanoseconds since the epoch) as RFC 3339 in UTC with milliseconds."""
    seconds, milliseconds = divmod(ns // 1_000_000, 1000)
    return f"{_second(seconds)}{milliseconds:03d}Z"


def _ms(ns: int | None) -> float | None:
    return None if ns is None else round(ns / 1_000_000, 3)


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is absent or empty, as the wire wants it; 0 and False stay."""
    return {key: value for key, value in fields.items() if value is not None and value != () and value != {}}


@attrs.frozen
class Encoder:
    """Writes the lines of one client.

    Attributes:
        max_event_bytes: A longer line has its longest texts cut, then its content dropped.
        environment: Stamped on each event.
        release: Stamped on each event.
    """

    max_event_bytes: int
    environment: str | None = None
    release: str | None = None

    def line(self, event: Event) -> bytes | None:
        """Return the event as JSON with a newline after it, or None where not even its metadata fits the limit."""
        data = orjson.dumps(self._fields(event), option=orjson.OPT_APPEND_NEWLINE)
        if len(data) > self.max_event_bytes:
            return shrink(data, self.max_event_bytes)
        # orjson's result pins a buffer several times its size; what waits in the queue is an exact copy.
        return bytes(memoryview(data))

    def _fields(self, event: Event) -> dict[str, Any]:
        match event:
            case TurnEvent():
                ended_ns = event.started_ns + event.latency_ns
                return self._common(event.event_id, EventName.TURN, ended_ns, event.origin) | _turn(event, ended_ns)
            case SessionStarted():
                common = self._common(event.event_id, EventName.SESSION_STARTED, event.at_ns, event.origin)
                return common | _present({"pointers": event.pointers})
            case SdkReport():
                common = self._common(event.event_id, EventName.SDK_REPORT, event.at_ns, None)
                return common | {"client_id": event.client_id, **event.ledger, "lost": dict(event.lost)}

    def _common(self, event_id: str, name: EventName, ts_ns: int, origin: Origin | None) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "v": WIRE_VERSION,
            "event_id": event_id,
            "name": name.value,
            "source": SOURCE,
            "sdk_version": __version__,
            "ts": rfc3339(ts_ns),
        }
        if origin is not None:
            fields["distinct_id"] = origin.distinct_id
            fields["anonymous"] = origin.anonymous
            if origin.session_id is not None:
                fields["session_id"] = origin.session_id
                fields["trace_id"] = origin.trace_id
        if self.environment is not None:
            fields["environment"] = self.environment
        if self.release is not None:
            fields["release"] = self.release
        return fields


def _turn(event: TurnEvent, ended_ns: int) -> dict[str, Any]:
    return _present(
        {
            "turn_id": event.turn_id,
            "parent_id": event.parent_id,
            "seq": event.seq,
            "status": event.status.value,
            "started_at": rfc3339(event.started_ns),
            "ended_at": rfc3339(ended_ns),
            "latency_ms": _ms(event.latency_ns),
            "llm": tuple(map(_llm, event.llm)),
            "messages": event.messages,
            "capture": event.capture,
            "annotations": dict(event.annotations),
            "error": event.error and _error(event.error),
            "notes": event.notes,
        }
    )


def _llm(call: LlmCall) -> dict[str, Any]:
    return _present(
        {
            "span_id": call.span_id,
            "model": call.model,
            "provider": call.provider,
            "prompt_id": call.prompt_id,
            "started_at": rfc3339(call.started_ns),
            "latency_ms": _ms(call.latency_ns),
            "status": call.status.value,
            "outcome": call.outcome and call.outcome.value,
            "streaming": call.streaming or None,
            "ttft_ms": _ms(call.ttft_ns),
            "chunks": call.chunks,
            "longest_gap_ms": _ms(call.longest_gap_ns),
            "meta": call.meta,
            "error": call.error and _error(call.error),
        }
    )


def _error(error: ErrorInfo) -> dict[str, Any]:
    fields = {"type": error.type, "message": error.message, "stack": error.stack, "at": rfc3339(error.at_ns)}
    return _present(fields)
