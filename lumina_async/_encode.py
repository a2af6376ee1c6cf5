"""An event becomes one line of NDJSON, once, as it happens; everything below this module knows only bytes."""

import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import attrs
import orjson

from lumina_async._events import (
    SOURCE,
    WIRE_VERSION,
    Call,
    ErrorInfo,
    Event,
    EventName,
    LlmCall,
    Origin,
    PlainEvent,
    SdkReport,
    ToolRun,
    TurnEvent,
    Ui,
)
from lumina_async._shrink import shrink
from lumina_async._version import __version__

_MILLISECONDS = [f"{number:03d}Z" for number in range(1_000)]


@lru_cache(maxsize=256)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(seconds))


def rfc3339(ns: int) -> str:
    """Return a moment (nanoseconds since the epoch) as RFC 3339 in UTC with milliseconds."""
    ms = ns // 1_000_000
    return _second(ms // 1000) + _MILLISECONDS[ms % 1000]


def _ms(ns: int) -> float:
    return ns // 1_000 / 1_000


def _present(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is absent, as the wire wants it."""
    return {key: value for key, value in fields.items() if value is not None}


@attrs.frozen(eq=False, repr=False)
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
                fields = self._common(event.event_id, EventName.TURN, ended_ns, event.origin)
                _turn(fields, event)
                return fields
            case PlainEvent():
                return self._common(event.event_id, event.name, event.at_ns, event.origin) | _present(event.fields)
            case SdkReport():
                common = self._common(event.event_id, EventName.SDK_REPORT, event.at_ns, None)
                return common | {"client_id": event.client_id, **event.ledger, "lost": dict(event.lost)}

    def _common(self, event_id: str, name: EventName, ts_ns: int, origin: Origin | None) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "v": WIRE_VERSION,
            "event_id": event_id,
            "name": name._value_,
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


# The functions below run for every turn. They add what is there instead of leaving out what is not: that costs half.


def _turn(fields: dict[str, Any], event: TurnEvent) -> None:
    fields["turn_id"] = event.turn_id
    fields["seq"] = event.seq
    fields["status"] = event.status._value_
    fields["started_at"] = rfc3339(event.started_ns)
    fields["ended_at"] = fields["ts"]
    fields["latency_ms"] = _ms(event.latency_ns)
    fields["capture"] = event.capture
    if event.parent_id is not None:
        fields["parent_id"] = event.parent_id
    if event.llm:
        fields["llm"] = [_llm(llm) for llm in event.llm]
    if event.tools:
        fields["tools"] = [_tool(tool) for tool in event.tools]
    if event.messages is not None:
        fields["messages"] = event.messages
    if event.annotations:
        fields["annotations"] = event.annotations
    if not event.is_plain:
        fields |= _rare(event)


def _rare(event: TurnEvent) -> dict[str, Any]:
    return _present(
        {
            "retrievals": event.retrievals or None,
            "ui": event.ui and _ui(event.ui),
            "links": event.links or None,
            "error": event.error and _error(event.error),
            "notes": event.notes or None,
        }
    )


def _ui(ui: Ui) -> dict[str, Any] | None:
    seen = {"session_id": ui.session_id, "window_id": ui.window_id, "replay_url": ui.replay_url}
    return {name: value for name, value in seen.items() if value} or None


def _llm(llm: LlmCall) -> dict[str, Any]:
    call = llm.call
    fields = _call(call)
    if llm.model is not None:
        fields["model"] = llm.model
    if llm.prompt_id is not None:
        fields["prompt_id"] = llm.prompt_id
    if llm.provider is not None:
        fields["provider"] = llm.provider
    if llm.answer is not None:
        fields |= _present(
            {
                "response_model": llm.answer.response_model,
                "response_id": llm.answer.response_id,
                "usage": llm.answer.usage or None,
                "finish_reason": llm.answer.finish_reason,
                "tool_calls": llm.answer.tool_calls,
            }
        )
    if llm.streaming:
        _stream(fields, llm)
    return fields


def _stream(fields: dict[str, Any], llm: LlmCall) -> None:
    fields["streaming"] = True
    fields["chunks"] = llm.chunks
    if llm.outcome is not None:
        fields["outcome"] = llm.outcome.value
    if llm.first is not None:
        fields["ttft_ms"] = _ms(llm.first - llm.call.began)
    if llm.longest_gap >= 0:
        fields["longest_gap_ms"] = _ms(llm.longest_gap)
    if (rate := llm.tokens_per_s) is not None:
        fields["tokens_per_s"] = rate


def _tool(tool: ToolRun) -> dict[str, Any]:
    fields = _call(tool.call)
    fields["name"] = tool.name
    if tool.type is not None:
        fields["type"] = tool.type
    if tool.target is not None:
        fields["target"] = tool.target
    if tool.version is not None:
        fields["version"] = tool.version
    return fields


def _call(call: Call) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "span_id": call.span_id,
        "started_at": rfc3339(call.started_ns),
        "latency_ms": _ms((call.ended or call.began) - call.began),
        "status": call.status._value_,
    }
    if call.input is not None:
        fields["input"] = call.input
    if call.output is not None:
        fields["output"] = call.output
    if call.meta is not None:
        fields["meta"] = call.meta
    if call.error is not None:
        fields["error"] = _error(call.error)
    return fields


def _error(error: ErrorInfo) -> dict[str, Any]:
    at = rfc3339(error.at_ns)
    return _present({"type": error.type, "message": error.message, "stack": error.stack or None, "at": at})
