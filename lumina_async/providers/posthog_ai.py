"""What PostHog's LLM analytics is told of a turn: `$ai_trace`, `$ai_generation` and `$ai_span`, from its line.

Whatever the capture mode kept out of the line is not here either.
"""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import attrs

from lumina_async.providers.facts import (
    Conversation,
    Facts,
    conversation,
    conversation_of_call,
    list_of,
    moment,
    part_of,
    present,
    seconds,
)

USAGE = {
    "input_tokens": "$ai_input_tokens",
    "output_tokens": "$ai_output_tokens",
    "cached_input_tokens": "$ai_cache_read_input_tokens",
    "cache_creation_input_tokens": "$ai_cache_creation_input_tokens",
    "cache_creation_1h_input_tokens": "$ai_cache_creation_1h_input_tokens",
    "output_image_tokens": "$ai_image_output_tokens",
    "reasoning_tokens": "$ai_reasoning_tokens",
}
"""The `usage` of a call of a model, and what PostHog calls its parts."""


@attrs.frozen(kw_only=True)
class Capture:
    """One event for PostHog.

    Attributes:
        event: Its name.
        properties: What it says.
        at: When what it tells of was over.
        uuid: The id of the turn's own event for the trace, so that the two are found by one id; None for a new one.
    """

    event: str
    properties: dict[str, Any]
    at: dt.datetime
    uuid: str | None = None


def ai_events(turn: Facts) -> Iterator[Capture]:
    """Return the events of a turn, given its event as it is on the wire (SPEC section 7)."""
    common = _common(turn)
    for call in list_of(turn, "llm"):
        yield _generation(call, common, conversation_of_call(call, turn))
    for tool in list_of(turn, "tools"):
        yield _tool(tool, common)
    for number, look_up in enumerate(list_of(turn, "retrievals"), 1):
        yield _retrieval(look_up, number, turn, common)
    yield _trace(turn, common, conversation(turn))


def turn_properties(turn_id: str, seq: int, session_id: str | None, start_ms: int) -> dict[str, Any]:
    """Return the properties by which an event of PostHog is found to belong to a turn."""
    return {
        "lumina_session_id": session_id,
        "lumina_turn_id": turn_id,
        "lumina_turn_seq": seq,
        "lumina_turn_start_ts": start_ms,
    }


def _common(turn: Facts) -> dict[str, Any]:
    ui, session_id = part_of(turn, "ui"), turn.get("session_id")
    start_ms = round(moment(turn["started_at"]).timestamp() * 1_000)
    return present(
        {
            "$ai_trace_id": turn["turn_id"],
            "$ai_session_id": session_id,
            "$session_id": ui.get("session_id"),
            "$window_id": ui.get("window_id"),
            "$ai_lib": turn["source"],
            "$ai_lib_version": turn["sdk_version"],
            # As posthog-js does it: who is not known yet gets no person profile, until the alias makes one.
            "$process_person_profile": False if turn["anonymous"] else None,
        }
        | turn_properties(turn["turn_id"], turn["seq"], session_id, start_ms)
    )


def _trace(turn: Facts, common: Facts, said: Conversation) -> Capture:
    facts = {
        "$ai_span_name": "turn",
        "$ai_input_state": said[0] or None,
        "$ai_output_state": said[1] or None,
        "lumina_status": turn["status"],
    }
    properties = {**common, **present(facts), **_ending(turn)}
    return Capture(event="$ai_trace", properties=properties, at=moment(turn["ts"]), uuid=turn["event_id"])


def _generation(call: Facts, common: Facts, said: Conversation) -> Capture:
    model = call.get("response_model") or call.get("model")
    facts = {
        "$ai_span_name": call.get("prompt_id") or call.get("model") or "model",
        "$ai_model": model,
        "$ai_provider": call.get("provider"),
        "$ai_input": said[0] or None,
        "$ai_output_choices": said[1] or None,
        "$ai_stream": call.get("streaming"),
        "$ai_time_to_first_token": seconds(call.get("ttft_ms")),
        "$ai_stop_reason": call.get("finish_reason"),
        "lumina_prompt_id": call.get("prompt_id"),
    }
    return _child("$ai_generation", call, common, facts | _usage(part_of(call, "usage"), model))


def _usage(usage: Facts, model: str | None) -> dict[str, Any]:
    """Return the tokens as PostHog counts them, so that what it makes of them is what they cost.

    Its rules: https://posthog.com/docs/ai-observability/calculating-costs
    """
    told = {name: tokens for part, name in USAGE.items() if isinstance(tokens := usage.get(part), int)}
    if "$ai_input_tokens" in told:
        # Ours hold what a cache gave and took. Of a Claude it would take them for the rest, and count both.
        told["$ai_cache_reporting_exclusive"] = False
    # To what these made it adds their reasoning, which Google counts apart, and we do not.
    thinks_apart = (model or "").lower().startswith(("gemini-2.5-", "gemini-3"))
    if thinks_apart and told.keys() >= {"$ai_output_tokens", "$ai_reasoning_tokens"}:
        told["$ai_output_tokens"] = max(0, told["$ai_output_tokens"] - told["$ai_reasoning_tokens"])
    return told


def _tool(tool: Facts, common: Facts) -> Capture:
    facts = {
        "$ai_span_name": tool["name"],
        "$ai_span_type": "tool",
        "$ai_input_state": tool.get("input"),
        "$ai_output_state": tool.get("output"),
    }
    return _child("$ai_span", tool, common, facts)


def _retrieval(look_up: Facts, number: int, turn: Facts, common: Facts) -> Capture:
    """A look-up has no time of its own: it is told as of the beginning of its turn."""
    facts = {
        "$ai_span_id": f"{turn['turn_id']}-{number}",
        "$ai_parent_id": turn["turn_id"],
        "$ai_span_name": look_up.get("source") or "retrieval",
        "$ai_span_type": "retrieval",
        "$ai_input_state": look_up.get("query"),
        "$ai_output_state": look_up.get("results"),
        "$ai_is_error": False,
    }
    return Capture(event="$ai_span", properties={**common, **present(facts)}, at=moment(turn["started_at"]))


def _child(event: str, call: Facts, common: Facts, facts: Facts) -> Capture:
    place = {"$ai_span_id": call["span_id"], "$ai_parent_id": common["$ai_trace_id"]}
    ended = moment(call["started_at"]) + dt.timedelta(milliseconds=call["latency_ms"])
    return Capture(event=event, properties={**common, **place, **present(facts), **_ending(call)}, at=ended)


def _ending(facts: Facts) -> dict[str, Any]:
    error = part_of(facts, "error")
    told = ": ".join(error[part] for part in ("type", "message") if error.get(part)) or None
    ending = {
        "$ai_latency": seconds(facts["latency_ms"]),
        "$ai_is_error": facts["status"] == "error",
        "$ai_error": told,
    }
    return present(ending)
