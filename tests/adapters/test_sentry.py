"""The real Sentry SDK with a transport in memory: transactions of turns, and turns on errors."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport
from support import recording, until

from lumina_async import CaptureTranscript
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


@pytest.fixture
def sent() -> Iterator[Sent]:
    transport = Sent()
    options: dict[str, Any] = {"auto_enabling_integrations": False, "default_integrations": False}
    options |= {"stream_gen_ai_spans": False, "auto_session_tracking": False}
    with sentry_sdk.isolation_scope():
        sentry_sdk.init("http://key@127.0.0.1/1", transport=transport, traces_sample_rate=1.0, **options)
        yield transport
        sentry_sdk.get_global_scope().clear()
        sentry_sdk.get_client().close(timeout=0)
        sentry_sdk.get_global_scope().set_client(None)


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
    [told] = [event for event in sent.of_type("transaction") if event["transaction"] == "invoke_agent"]
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
