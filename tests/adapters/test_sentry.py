"""The real Sentry SDK with a transport in memory: transactions of turns, and turns on errors."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import sentry_sdk
import sentry_sdk.traces
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport
from support import recording, until

from lumina_async import CaptureTranscript, LuminaClient, Turn
from lumina_async.providers.sentry import sentry_provider


class Sent(Transport):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        super().__init__({"dsn": "http://key@127.0.0.1/1"})
        self.events: list[dict[str, Any]] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.events += [dict(item.payload.json or {}) for item in envelope.items]

    def of_type(self, kind: str | None) -> list[dict[str, Any]]:
        return [event for event in self.events if event.get("type") == kind and "event_id" in event]

    @property
    def turns(self) -> list[dict[str, Any]]:
        return [event for event in self.of_type("transaction") if event["transaction"] == "invoke_agent"]

    @property
    def streamed(self) -> list[dict[str, Any]]:
        """The spans that are no part of a transaction, with the plain values of their attributes."""
        sentry_sdk.get_client().flush(timeout=2)
        spans = [span for event in self.events if "event_id" not in event for span in event.get("items", ())]
        for span in spans:
            span["told"] = {name: one["value"] for name, one in span["attributes"].items()}
        return spans


@contextmanager
def sentry(**options: Any) -> Iterator[Sent]:
    """An app's Sentry, whose events stay in memory."""
    transport = Sent()
    plain: dict[str, Any] = {"auto_enabling_integrations": False, "default_integrations": False}
    plain |= {"auto_session_tracking": False, "traces_sample_rate": 1.0}
    with sentry_sdk.isolation_scope():
        sentry_sdk.init("http://key@127.0.0.1/1", transport=transport, **(plain | options))
        yield transport
        sentry_sdk.get_global_scope().clear()
        sentry_sdk.get_client().close(timeout=0)
        sentry_sdk.get_global_scope().set_client(None)


@pytest.fixture
def sent() -> Iterator[Sent]:
    with sentry(stream_gen_ai_spans=False) as transport:
        yield transport


@pytest.mark.parametrize("mode", list(CaptureTranscript))
async def test_a_turn_is_a_transaction_with_its_calls(sent: Sent, mode: CaptureTranscript) -> None:
    """As Sentry names GenAI; contents as the capture mode lets them out; in the trace of the request."""
    async with recording(system_analytics=sentry_provider(), capture_transcript=mode) as (lumina, transport):
        session = await lumina.session.start(session_id="chat_42", user_id="ada")
        with sentry_sdk.start_transaction(name="request") as request:
            async with session.turn() as turn:
                await turn.add_retrieval(source="docs", query="q", results=[])
                await turn.record_tool("look_up", lambda: 1)
                with suppress(LookupError):
                    await turn.wrap_llm(lambda: {}["ada@example.com"], model="m-1", provider="openai")
                await turn.set_messages([{"role": "user", "content": "I am ada@example.com"}])
        await until(lambda: len(sent.of_type("transaction")) == 2)
        await lumina.flush()
    [told] = sent.turns
    trace = told["contexts"]["trace"]
    assert (trace["trace_id"], trace["parent_span_id"]) == (request.trace_id, request.span_id)
    assert (trace["op"], trace["data"]["gen_ai.conversation.id"], trace["status"]) == (
        "gen_ai.invoke_agent",
        "chat_42",
        "ok",
    )
    assert told["contexts"]["lumina"]["turn_id"] == turn.turn_id
    spans = {span["op"]: span for span in told["spans"]}
    assert list(spans) == ["gen_ai.chat", "gen_ai.execute_tool", "gen_ai.retrieval"]
    call = spans["gen_ai.chat"]
    assert (call["description"], call["status"], call["data"]["gen_ai.request.model"]) == (
        "chat m-1",
        "internal_error",
        "m-1",
    )
    assert told["start_timestamp"][:23] == transport.turns[0]["started_at"][:23]
    assert ("ada@example.com" in repr(told)) == (mode is CaptureTranscript.FULL)


async def exchange(lumina: LuminaClient) -> Turn:
    """A turn with a call, a tool that fails and a look-up."""
    async with (await lumina.session.start(session_id="chat_42", user_id="ada")).turn() as turn:
        await turn.add_retrieval(source="docs", query="q", results=[])
        await turn.wrap_llm(lambda: 1, model="m-1")
        with suppress(ZeroDivisionError):
            await turn.record_tool("divide", lambda: 1 / 0)
    return turn


async def test_as_sentry_is_set_up_by_default_the_spans_of_models_come_beside_the_transaction() -> None:
    """It takes what begins with `gen_ai` out of a transaction (`stream_gen_ai_spans`): still its children."""
    with sentry() as sent:
        async with recording(system_analytics=sentry_provider()) as (lumina, _):
            await exchange(lumina)
            await until(lambda: sent.turns)
        [told], spans = sent.turns, sent.streamed
        trace = told["contexts"]["trace"]
    assert sorted(span["name"] for span in spans) == ["chat m-1", "execute_tool divide", "retrieval docs"]
    assert {(span["trace_id"], span["parent_span_id"]) for span in spans} == {(trace["trace_id"], trace["span_id"])}


STREAMS: dict[str, dict[str, Any]] = {
    "option": {"trace_lifecycle": "stream"},
    "experiment": {"_experiments": {"trace_lifecycle": "stream"}},
}


@pytest.mark.parametrize("options", STREAMS.values(), ids=STREAMS)
async def test_where_spans_are_streamed_a_turn_is_a_segment(options: dict[str, Any]) -> None:
    """In the trace of the request, at its real times, with its ids, its calls as children, and who it is with."""
    with sentry(**options) as sent:
        async with recording(system_analytics=sentry_provider()) as (lumina, transport):
            with sentry_sdk.traces.start_span("request") as request:
                turn = await exchange(lumina)
            await until(lambda: len(sent.streamed) >= 5)
            await lumina.flush()
        spans = {span["name"]: span for span in sent.streamed}
    segment, line = spans["invoke_agent"], transport.turns[0]
    assert (segment["trace_id"], segment["parent_span_id"]) == (request.trace_id, request.span_id)
    assert (segment["is_segment"], segment["told"]["lumina.turn_id"]) == (True, turn.turn_id)
    assert (segment["told"]["user.id"], segment["told"]["sentry.op"]) == ("ada", "gen_ai.invoke_agent")
    began_s = dt.datetime.fromisoformat(line["started_at"]).timestamp()
    assert segment["start_timestamp"] == pytest.approx(began_s)
    assert segment["end_timestamp"] - segment["start_timestamp"] == pytest.approx(line["latency_ms"] / 1_000, abs=1e-5)
    children = ("chat m-1", "execute_tool divide", "retrieval docs")
    assert {spans[name]["parent_span_id"] for name in children} == {segment["span_id"]}
    assert [spans[name]["status"] for name in ("invoke_agent", *children)] == ["ok", "ok", "error", "ok"]


BOTH = pytest.mark.parametrize("options", [{}, STREAMS["option"]], ids=["transactions", "streamed"])


@BOTH
async def test_turns_that_begin_where_nothing_is_traced_have_traces_of_their_own(options: dict[str, Any]) -> None:
    """And each is sampled for itself: else one decision would hold for all turns of a process."""
    with sentry(**options) as sent:
        async with recording(system_analytics=sentry_provider()) as (lumina, _):
            for _ in range(3):
                await exchange(lumina)
            await until(lambda: len(roots(sent)) == 3)
        told = roots(sent)
    assert len({root["trace_id"] for root in told}) == 3
    assert not any(root.get("parent_span_id") for root in told)


@BOTH
async def test_a_turn_is_sampled_with_the_trace_it_is_in(options: dict[str, Any]) -> None:
    """One in a request that was not sampled is not told."""
    with sentry(traces_sample_rate=None, traces_sampler=sampler, **options) as sent:
        async with recording(system_analytics=sentry_provider()) as (lumina, _):
            start = sentry_sdk.traces.start_span if options else sentry_sdk.start_transaction
            with start(name="unsampled"):
                await exchange(lumina)
            await exchange(lumina)
            await until(lambda: roots(sent))
        assert len(roots(sent)) == 1


@BOTH
async def test_the_trace_of_the_app_stays_as_it_is(options: dict[str, Any]) -> None:
    """Telling a turn changes nothing in the scopes of whoever runs then."""
    with sentry(**options) as sent:
        async with recording(system_analytics=sentry_provider()) as (lumina, _):
            before = sentry_sdk.get_traceparent()
            await exchange(lumina)
            await until(lambda: roots(sent))
            assert sentry_sdk.get_traceparent() == before


def sampler(context: dict[str, Any]) -> float:
    """Sample as the parent was; of what has none, all but what is called so."""
    told = {**context.get("transaction_context", {}), **context.get("span_context", {})}
    parent = context.get("parent_sampled", told.get("parent_sampled"))
    return float(told.get("name") != "unsampled" if parent is None else parent)


def roots(sent: Sent) -> list[dict[str, Any]]:
    """The trace contexts of transactions of turns, or the segments that stand for these."""
    segments = [span for span in sent.streamed if span["name"] == "invoke_agent"]
    return segments or [event["contexts"]["trace"] for event in sent.turns]


async def test_an_error_captured_in_a_turn_names_it(sent: Sent) -> None:
    """Found out where it is captured; not before, not after, and not once Lumina has ended."""
    async with recording(system_analytics=sentry_provider()) as (lumina, _):
        session = await lumina.session.start(session_id="chat_42")
        sentry_sdk.capture_message("before")
        async with session.turn() as turn:
            sentry_sdk.capture_message("in")
        sentry_sdk.capture_message("after")
    named = {event["message"]: event.get("contexts", {}).get("lumina") for event in sent.of_type(None)}
    assert named == {
        "before": None,
        "in": {"turn_id": turn.turn_id, "turn_seq": 1, "session_id": "chat_42"},
        "after": None,
    }


async def test_without_sentry_turns_go_on(caplog: pytest.LogCaptureFixture) -> None:
    """An app that has not initialised it has a provider that does nothing."""
    async with recording(system_analytics=sentry_provider()) as (lumina, transport):
        async with (await lumina.session.start()).turn():
            pass
        await lumina.flush()
    assert [turn["status"] for turn in transport.turns] == ["ok"]
    assert not [record for record in caplog.records if record.name == "lumina_async"]
