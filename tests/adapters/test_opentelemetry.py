"""OpenTelemetry's SDK beside the provider: which spans there are, what they say, and where they hang."""

import asyncio
import copy
import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from support import recording, until

from lumina_async import CaptureTranscript, LuminaClient, Sampling
from lumina_async.frameworks.asgi import LuminaMiddleware
from lumina_async.providers.opentelemetry import opentelemetry_provider
from lumina_async.testing import FakeClock

GOLDEN = Path(__file__).parent.parent / "golden"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Spans:
    """An app's OpenTelemetry, whose spans stay in memory."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("app")
        self.analytics = opentelemetry_provider(self.provider)

    @property
    def all(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.all if span.name == name]

    async def turns(self, count: int = 1) -> list[ReadableSpan]:
        await until(lambda: len(self.named("invoke_agent")) == count)
        return self.named("invoke_agent")


@pytest.fixture
def spans() -> Iterator[Spans]:
    spans = Spans()
    yield spans
    spans.provider.shutdown()


def span_id(span: ReadableSpan) -> int:
    return span.get_span_context().span_id


def parent_id(span: ReadableSpan) -> int | None:
    return span.parent and span.parent.span_id


async def exchange(lumina: LuminaClient, clock: FakeClock) -> None:
    """A turn with a stream, a call that fails, a tool and a look-up."""
    session = await lumina.session.start(session_id="chat_42")

    async def stream() -> Any:
        await clock.advance(0.25)
        yield "Par"
        await clock.advance(0.5)
        yield "is"

    async def broken() -> None:
        await clock.advance(0.125)
        raise LookupError("no row for ada@example.com")

    async with session.turn() as turn:
        await turn.add_retrieval(source="docs", query="mail ada@example.com", results=[{"id": "d1", "score": 0.5}])
        await turn.record_tool("look_up", lambda: [1], type="db", target="pg", input={"who": "ada@example.com"})
        with suppress(LookupError):
            await turn.wrap_llm(broken, model="m-1", provider="gemini", prompt_id="p1", temperature=0.5)
        asked = [{"role": "user", "content": "I am ada@example.com. Capital?"}]
        async for _ in await turn.wrap_llm(stream, model="m-2", input=asked, output="Paris"):
            pass
        await turn.set_messages([*asked, {"role": "assistant", "content": "Paris"}])


def golden(spans: tuple[ReadableSpan, ...], turn: ReadableSpan) -> list[dict[str, Any]]:
    """The spans without what differs from run to run."""

    def told(span: ReadableSpan) -> dict[str, Any]:
        assert parent_id(span) == (None if span is turn else span_id(turn))
        return {
            "name": span.name,
            "kind": span.kind.name,
            "status": [span.status.status_code.name, span.status.description],
            "began_ms": ((span.start_time or 0) - (turn.start_time or 0)) / 1e6,
            "ended_ms": ((span.end_time or 0) - (turn.start_time or 0)) / 1e6,
            "attributes": dict(span.attributes or {}),
            "events": [[event.name, dict(event.attributes or {})] for event in span.events],
        }

    text = json.dumps([told(span) for span in spans])
    text = re.sub(r'("lumina.turn_id": ")[0-9a-f]{16}"', r'\1<turn>"', text)
    return json.loads(re.sub(r'("exception.stacktrace": ")[^"]*', r"\1<stack>", text))


@pytest.mark.parametrize("mode", list(CaptureTranscript))
async def test_a_turn_is_told_by_the_conventions(spans: Spans, mode: CaptureTranscript) -> None:
    """Golden record: spans, real times, kinds, errors; contents as the capture mode lets them out."""
    clock = FakeClock()
    options = {"clock": clock, "system_analytics": spans.analytics, "capture_transcript": mode}
    async with recording(**options) as (lumina, _):
        async with lumina.scope(user_id="user_1"):
            await exchange(lumina, clock)
        [turn] = await spans.turns()
    path = GOLDEN / f"opentelemetry.{mode.value}.json"
    sent = golden(spans.all, turn)
    if os.environ.get("LUMINA_GOLDEN") == "write":
        path.write_text(json.dumps(sent, indent=2) + "\n")
    assert sent == json.loads(path.read_text())
    told = "".join(span.to_json() for span in spans.all)
    assert ("ada@example.com" in told) == (mode is CaptureTranscript.FULL)


async def test_what_the_app_traces_in_the_block_is_a_child_of_the_turn(spans: Spans) -> None:
    """In the block, in its calls and in tasks from it; after it, also in such tasks, the span before is current."""
    over = asyncio.Event()

    async def late() -> None:
        await over.wait()
        spans.tracer.start_span("late").end()

    async def call() -> None:
        spans.tracer.start_span("http").end()

    async with recording(system_analytics=spans.analytics) as (lumina, _):
        session = await lumina.session.start()
        with spans.tracer.start_as_current_span("request") as request:
            async with session.turn() as turn:
                trace.get_current_span().set_attribute("mine", 1)
                task = asyncio.create_task(late())
                await asyncio.create_task(turn.wrap_llm(call))
            spans.tracer.start_span("after").end()
            over.set()
            await task
        [turned] = await spans.turns()
    assert parent_id(turned) == request.get_span_context().span_id
    assert parent_id(spans.named("http")[0]) == span_id(turned)
    assert (turned.attributes or {})["mine"] == 1
    assert [parent_id(*spans.named(name)) for name in ("after", "late")] == [request.get_span_context().span_id] * 2


async def test_turns_of_one_task_are_no_children_of_each_other_unless_one_is_around_the_other(spans: Spans) -> None:
    """Each begins a trace of its own; a thousand of them leave one span behind in the context, and no chain."""
    async with recording(system_analytics=spans.analytics) as (lumina, _):
        session = await lumina.session.start()
        for _ in range(100):
            async with session.turn():
                pass
        async with session.turn(), session.turn():
            current: Any = trace.get_current_span()
            assert current.before.before is trace.INVALID_SPAN
        turns = await spans.turns(102)
        assert not trace.get_current_span().get_span_context().is_valid
    assert [parent_id(turn) for turn in turns[:100]] == [None] * 100
    inner, outer = turns[100:]
    assert (parent_id(inner), parent_id(outer)) == (span_id(outer), None)


async def test_a_turn_by_hand_is_current_nowhere_and_has_its_span(spans: Spans) -> None:
    """Nobody would know where it ends to be current."""
    async with recording(system_analytics=spans.analytics) as (lumina, _):
        turn = (await lumina.session.start()).turn()
        await turn.wrap_llm(lambda: spans.tracer.start_span("http").end(), model="m")
        await turn.finish()
        [turned] = await spans.turns()
    assert parent_id(spans.named("http")[0]) is None
    assert parent_id(spans.named("chat m")[0]) == span_id(turned)


async def test_the_span_links_to_the_ids_that_other_services_get(spans: Spans) -> None:
    """The link is what `Turn.traceparent` says."""
    async with recording(system_analytics=spans.analytics) as (lumina, _):
        async with (await lumina.session.start()).turn() as turn:
            pass
        [turned] = await spans.turns()
    [link] = turned.links
    assert turn.traceparent == f"00-{link.context.trace_id:032x}-{link.context.span_id:016x}-01"


@pytest.mark.parametrize("is_traced", [True, False], ids=["instrumented", "bare"])
async def test_a_traceparent_of_the_request_is_the_parent_where_nothing_is_current(
    spans: Spans, is_traced: bool
) -> None:
    """Lumina's own session never joins it (FAULTS I6); where the app is instrumented, that decides."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async with (await lumina.session.start()).turn() as turn:
            assert TRACE not in turn.traceparent

    async def unused(*_: Any) -> Any: ...

    async with recording(system_analytics=spans.analytics) as (lumina, _):
        served = LuminaMiddleware(app, client=lumina)
        headers = [(b"traceparent", f"00-{TRACE}-{SPAN}-00".encode())]
        request = {"type": "http", "path": "/", "scheme": "http", "headers": headers, "client": None}
        if is_traced:
            with spans.tracer.start_as_current_span("request"):
                await served(request, unused, unused)
        else:
            await served(request, unused, unused)
        [turned] = await spans.turns()
    assert (parent_id(turned) == int(SPAN, 16)) == (not is_traced)


async def test_a_turn_that_fails_is_an_error_and_one_that_is_cancelled_is_none(spans: Spans) -> None:
    """Status, error.type and the exception event."""
    async with recording(system_analytics=spans.analytics) as (lumina, _):
        session = await lumina.session.start()
        with suppress(ValueError):
            async with session.turn():
                raise ValueError("boom")
        with suppress(asyncio.CancelledError):
            async with session.turn():
                raise asyncio.CancelledError
        failed, cancelled = await spans.turns(2)
    assert (failed.status.status_code.name, failed.status.description) == ("ERROR", "boom")
    assert (failed.attributes or {})["error.type"] == "ValueError"
    assert [event.name for event in failed.events] == ["exception"]
    assert (cancelled.status.status_code.name, list(cancelled.events)) == ("UNSET", [])
    assert (cancelled.attributes or {})["lumina.status"] == "cancelled"


async def test_sampling_decides_which_turns_have_spans_and_which_spans_have_contents(spans: Spans) -> None:
    """`span` leaves a turn out; of one that `turn` leaves out there are names and times alone."""
    none = Sampling(span=0.0)
    async with recording(system_analytics=spans.analytics, sampling=none) as (lumina, _):
        async with (await lumina.session.start()).turn() as turn:
            await turn.wrap_llm(lambda: 1, model="m")
    assert spans.all == ()
    async with recording(system_analytics=spans.analytics, sampling=Sampling(turn=0.0)) as (lumina, _):
        async with (await lumina.session.start()).turn() as turn:
            await turn.wrap_llm(lambda: 1, model="m", input="secret")
        await spans.turns()
    assert [span.name for span in spans.all] == ["chat m", "invoke_agent"]
    assert "secret" not in "".join(span.to_json() for span in spans.all)


async def test_a_message_of_an_odd_form_ends_no_hook(spans: Spans, caplog: pytest.LogCaptureFixture) -> None:
    """Six turns whose messages have no role: each has its span, and its text."""
    async with recording(system_analytics=spans.analytics) as (lumina, _):
        session = await lumina.session.start()
        for _ in range(6):
            async with session.turn() as turn:
                await turn.wrap_llm(lambda: 1, model="m", input=[{"parts": [{"text": "hi"}]}])
                await turn.set_messages([{"parts": [{"text": "hi"}], "tool_calls": 5}])
        turns = await spans.turns(6)
    assert {(turn.attributes or {})["input.value"] for turn in turns} == {'[{"text":"hi"}]'}
    assert [span.name for span in spans.all] == ["chat m", "invoke_agent"] * 6
    assert not [record for record in caplog.records if record.name == "lumina_async"]


async def test_the_current_span_can_be_copied(spans: Spans) -> None:
    """As middleware that copies what it finds in the context does."""
    async with recording(system_analytics=spans.analytics) as (lumina, _):
        async with (await lumina.session.start()).turn():
            current = trace.get_current_span()
            assert copy.copy(current).get_span_context() == current.get_span_context()


class Broken(SpanProcessor):
    """A span processor of the app's that fails."""

    def on_end(self, span: ReadableSpan) -> None:
        raise OSError("exporter")


class BrokenForLookUps(SpanProcessor):
    """A span processor of the app's that fails for some spans."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        if span.name.startswith("retrieval"):
            raise OSError("processor")


async def test_the_span_of_a_turn_ends_although_a_look_up_cannot_be_told(spans: Spans) -> None:
    """With what the turn said."""
    spans.provider.add_span_processor(BrokenForLookUps())
    async with recording(system_analytics=spans.analytics) as (lumina, _):
        async with (await lumina.session.start()).turn() as turn:
            await turn.add_retrieval(source="docs", query="q", results=[])
            await turn.set_messages([{"role": "user", "content": "hi"}])
        [turned] = await spans.turns()
    assert (turned.attributes or {})["input.value"] == "hi"


async def test_a_processor_that_raises_reaches_no_turn(spans: Spans, caplog: pytest.LogCaptureFixture) -> None:
    """The hook is given up after five failures in a row; every turn is stored."""
    spans.provider.add_span_processor(Broken())
    async with recording(system_analytics=spans.analytics) as (lumina, transport):
        session = await lumina.session.start()
        for _ in range(7):
            async with session.turn():
                pass
        await lumina.flush()
        await until(lambda: "is not called any more" in caplog.text)
    assert [turn["status"] for turn in transport.turns] == ["ok"] * 7
    assert "the hook opentelemetry.end_turn raised OSError" in caplog.text
