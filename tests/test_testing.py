"""The kit we ship: what is asserted is what would be on the wire, faults are real ones, time stands still."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from lumina_async import Lumina, LuminaClient, LuminaConfig, Session, testing
from lumina_async.testing import (
    Cut,
    FakeClock,
    FaultyIngest,
    MemoryTransport,
    RecordedTurn,
    Reply,
    assert_ledger_closed,
    memory_config,
    recording,
    recording_process,
    until,
)
from lumina_async.testing.recorded import read

GOLDEN = Path(__file__).parent / "golden"


async def converse(client: LuminaClient, count: int = 1) -> None:
    session = await client.session.start()
    for number in range(count):
        async with session.turn() as t:
            await t.annotate(number=number)


async def refuse(session: Session) -> None:
    """A turn with everything in it, which an error ends."""

    async def fail() -> None:
        raise ValueError("no answer")

    async with session.turn() as t:
        await t.set_messages([{"role": "user", "content": "Hello?"}])
        await t.annotate(plan="pro")
        await t.wrap_llm(fail, model="m", prompt_id="p")


# 1. Recording.


async def test_what_is_recorded_is_read_by_the_names_of_the_wire() -> None:
    """A turn, its calls, its error, its transcript: attributes, with the event itself in `raw`."""
    async with recording(capture_transcript="full") as lumina:
        session = await lumina.session.start(pointers={"ticket": "T-1"})
        with pytest.raises(ValueError, match="no answer"):
            await refuse(session)
        [turn] = (await lumina.settled()).turns
    assert (turn.status, turn.session_id, turn.seq) == ("error", session.session_id, 1)
    assert (turn.llm[0].model, turn.llm[0].prompt_id, turn.llm[0].status) == ("m", "p", "error")
    assert turn.error is not None
    assert (turn.error.type, turn.error.message) == ("ValueError", "no answer")
    assert turn.messages == [{"role": "user", "content": "Hello?"}]
    assert turn.annotations == {"plan": "pro"}
    assert turn.raw["annotations"] == turn.annotations
    assert lumina.sessions[0].pointers == {"ticket": "T-1"}
    assert [event.name for event in lumina.events] == ["session_started", "turn"]
    assert lumina.named("turn")[0].raw == turn.raw


async def test_users_tools_retrievals_and_feedback_are_typed_too() -> None:
    """Who became known, what was looked up and done, and what was thought of it."""
    async with recording(capture_transcript="full") as lumina, lumina.client.scope():
        anonymous_id = await lumina.client.get_distinct_id()
        await lumina.client.identify("user_1", {"plan": "pro"})
        async with (await lumina.session.start()).turn() as t:
            await t.record_tool("search", lambda: 7, target="docs")
            await t.add_retrieval(source="kb", query="Hello?", results=[{"id": "1", "score": 0.5}])
        await lumina.client.feedback(t.turn_id, score=1, comment="Fine")
        await lumina.settled()
    [identified], [turn], [feedback] = lumina.identified, lumina.turns, lumina.feedback
    assert (identified.distinct_id, identified.previous_id) == ("user_1", anonymous_id)
    assert identified.properties == {"plan": "pro"}
    assert (turn.tools[0].name, turn.tools[0].target, turn.tools[0].status) == ("search", "docs", "ok")
    assert (turn.retrievals[0].source, turn.retrievals[0].results) == ("kb", [{"id": "1", "score": 0.5}])
    assert (feedback.turn_id, feedback.score, feedback.comment) == (t.turn_id, 1, "Fine")


async def test_it_went_the_whole_way() -> None:
    """It was masked, compressed and counted, as on the way to a server."""
    async with recording() as lumina:
        async with (await lumina.session.start()).turn() as t:
            await t.set_messages([{"role": "user", "content": "ada@example.com"}])
        await lumina.settled()
        assert_ledger_closed(await lumina.client.stats())
    assert lumina.turns[0].messages[0]["content"] == "[EMAIL]"
    assert lumina.transport.payloads[0].encoding == "gzip"


async def test_reading_too_early_is_an_error_and_no_empty_list() -> None:
    """What is still on its way is never silently missing; after the block everything can be read."""
    async with recording() as lumina:
        assert lumina.turns == []
        await converse(lumina.client)
        with pytest.raises(RuntimeError, match=r"2 events are on their way: `await lumina.settled\(\)`"):
            _ = lumina.turns
    assert len(lumina.turns) == 1


async def test_settled_says_so_when_nothing_can_be_sent() -> None:
    """With a transport that does not answer, or refuses everything, it raises instead of waiting for ever."""
    transport = MemoryTransport(hang=asyncio.Event())
    async with recording(transport) as lumina:
        await converse(lumina.client)
        with pytest.raises(TimeoutError, match="not everything"):
            await lumina.settled(timeout=0.01)
        assert transport.hang is not None
        transport.hang.set()


async def test_a_script_answers_and_stores_only_what_it_accepts() -> None:
    """Answers that refuse are obeyed; lines that an answer rejects by name are not stored."""
    body = b'{"rejected":[{"line":1,"code":"bad_id"}]}'
    script = [testing.Answer(status=503), testing.Answer(status=200, body=body)]
    transport = MemoryTransport(script=[*script])
    async with recording(transport, retry_delays_ms=(0,)) as lumina:
        await converse(lumina.client)
        await lumina.settled()
        assert dict((await lumina.client.stats()).lost) == {"rejected": 1}
    # The loss is told with the next batch, and there was none.
    assert [event.name for event in lumina.events] == ["turn"]
    assert (transport.opened, transport.closed) == (1, 1)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.ndjson")), ids=lambda path: path.stem)
def test_every_golden_line_can_be_read(path: Path) -> None:
    """Every kind of event of the wire, also those the kit has no class for, as an object with all of it in `raw`."""
    raw = orjson.loads(path.read_bytes())
    lumina = testing.Recording(LuminaClient(), MemoryTransport())
    lumina.transport.stored.append(raw)
    assert lumina.events[0].raw == raw
    assert lumina.named(raw["name"])[0].event_id == raw["event_id"]
    for typed in (*lumina.turns, *lumina.sessions, *lumina.identified, *lumina.feedback):
        assert typed.raw == raw
        assert typed.event_id == raw["event_id"]


def test_a_turn_knows_every_field_of_the_golden_turn() -> None:
    """No field of the wire is reachable through `raw` alone but those that all events have."""
    common = {"v", "name", "source", "sdk_version", "environment", "release"}
    raw = orjson.loads((GOLDEN / "turn.ndjson").read_bytes())
    turn = read(RecordedTurn, raw)
    pairs: list[tuple[Any, dict[str, Any]]] = [(turn, raw)]
    pairs += [*zip(turn.llm, raw["llm"], strict=True), *zip(turn.tools, raw.get("tools", ()), strict=True)]
    for typed, fields in pairs:
        assert [name for name in fields if name not in common and not hasattr(typed, name)] == []


def test_fields_of_the_future_do_no_harm() -> None:
    """What a later version adds is in `raw`."""
    raw = orjson.loads((GOLDEN / "turn.ndjson").read_bytes())
    raw["llm"][0]["mood"] = raw["mood"] = "sunny"
    turn = read(RecordedTurn, raw)
    assert turn.raw["mood"] == turn.llm[0].raw["mood"] == "sunny"


def test_the_process_wide_client_records_and_is_new_afterwards() -> None:
    """Without a loop, and on any: what one test recorded, announced or counted the next does not see."""
    for _ in range(2):
        with recording_process(memory_config(scope="process")) as lumina:
            assert lumina.client is Lumina
            asyncio.run(talk("chat_42"))
            asyncio.run(talk("chat_42"))
            turns = asyncio.run(lumina.settled()).turns
            assert [turn.seq for turn in turns] == [1, 2]
            assert len(lumina.sessions) == 1
        assert not Lumina.is_initialized
        assert asyncio.run(Lumina.stats()).captured == 0


async def talk(session_id: str) -> None:
    async with (await Lumina.session.start(session_id=session_id)).turn():
        pass


def test_what_waits_at_the_end_is_sent_and_can_be_read() -> None:
    """A test that never settles loses nothing: leaving the block does."""
    with recording_process(memory_config()) as lumina:
        asyncio.run(talk("chat_42"))
    assert len(lumina.turns) == 1


async def test_an_app_may_init_and_shut_down_the_process_wide_client() -> None:
    """With None the app's own `Lumina.init` gives the options; its events go into memory, however often it starts."""
    with recording_process(None) as lumina:
        for _ in range(2):
            await Lumina.init(endpoint="https://ingest.example.com", write_key="gi_real", environment="app")
            await talk("chat_42")
            await Lumina.shutdown()
        assert [turn.raw["environment"] for turn in lumina.turns] == ["app", "app"]


async def test_a_coroutine_that_forgets_to_shut_down_is_told() -> None:
    """It cannot wait for a loop within a loop; the client is new afterwards all the same."""
    with pytest.raises(RuntimeError, match=r"await Lumina.shutdown\(\)"), recording_process(memory_config()):
        await talk("chat_42")
    assert not Lumina.is_initialized


async def test_a_client_that_the_app_uses_is_not_taken() -> None:
    """What an initialised client holds is not thrown away."""
    await Lumina.init(enabled=False)
    with pytest.raises(RuntimeError, match="Lumina is initialised"), recording_process(memory_config()):
        pass
    assert Lumina.is_initialized
    await Lumina.shutdown()


# 2. The server that fails on purpose.


@asynccontextmanager
async def sending(ingest: FaultyIngest, **options: Any) -> AsyncIterator[LuminaClient]:
    """A client over HTTP that waits for nothing; at the end its ledger is closed against the server's."""
    prompt: dict[str, Any] = {"flush_interval_ms": 1, "retry_delays_ms": (1, 1, 1)}
    client = LuminaClient(LuminaConfig(endpoint=ingest.url, write_key="gi_test", **(prompt | options)))
    async with client:
        yield client
        await client.flush()
    assert_ledger_closed(await client.stats(), ingest)


async def test_ingest_stores_and_tells_what_came() -> None:
    """Requests with their time, headers and events; events by their ids, unpacked."""
    async with FaultyIngest() as ingest:
        async with sending(ingest) as client:
            await converse(client, 3)
        [request] = ingest.requests
    assert (request.status, request.headers["x-api-key"], request.headers["X-Lumina-Count"]) == (200, "gi_test", "4")
    assert [event["name"] for event in request.events] == ["session_started", "turn", "turn", "turn"]
    assert request.body_bytes > 500
    assert request.at > 0
    assert list(ingest.stored) == [event["event_id"] for event in request.events]
    assert ingest.duplicates == 0


@pytest.mark.parametrize(
    ("cut", "events", "duplicates"),
    [(Cut.BEFORE_BODY, [0, 2], 0), (Cut.AFTER_BODY, [2, 2], 0), (Cut.AFTER_STORE, [2, 2], 2)],
    ids=str,
)
async def test_a_reset_comes_where_it_is_wanted(cut: Cut, events: list[int], duplicates: int) -> None:
    """Before the body, after it, or after storing: the sender tries again, and duplicates are counted."""
    async with FaultyIngest(script=[Reply(cut=cut)]) as ingest:
        async with sending(ingest) as client:
            await converse(client)
            assert await client.flush()
    assert [len(request.events) for request in ingest.requests] == events
    assert [request.status for request in ingest.requests] == [None, 200]
    assert (len(ingest.stored), ingest.duplicates) == (2, duplicates)


async def test_a_reset_is_a_reset() -> None:
    """The peer sees RST, not an orderly end."""
    async with FaultyIngest(always=Reply(cut=Cut.BEFORE_BODY)) as ingest:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(ingest.url.rpartition(":")[2]))
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


async def test_statuses_and_headers_come_as_the_script_has_them() -> None:
    """Numbers are statuses; a Reply adds headers and a body; then `always` is in force."""
    busy = Reply(status=429, headers={"Retry-After": "0"}, body=b"<p>busy</p>")
    async with FaultyIngest(script=[503, busy], always=Reply(status=202)) as ingest:
        answers: list[tuple[int, str | None, bytes]] = []
        async with aiohttp.ClientSession() as session:
            for _ in range(3):
                async with session.post(ingest.url, data=b'{"event_id":"1"}\n') as answer:
                    answers.append((answer.status, answer.headers.get("Retry-After"), await answer.read()))
    assert answers == [
        (503, None, b"{}"),
        (429, "0", b"<p>busy</p>"),
        (202, None, b'{"accepted":1,"duplicates":0,"rejected":[]}'),
    ]
    assert [request.status for request in ingest.requests] == [503, 429, 202]


async def test_refused_lines_are_named_and_not_stored() -> None:
    """A partial accept: the sender counts them as rejected and does not send them again."""
    async with FaultyIngest(script=[Reply(rejected=(1, 3))]) as ingest:
        async with sending(ingest) as client:
            await converse(client, 3)
            assert not await client.flush()
            assert dict((await client.stats()).lost) == {"rejected": 2}
    assert [event["annotations"]["number"] for event in ingest.events] == [0, 2]


async def test_poison_and_size_are_refused_as_a_whole() -> None:
    """One such event costs its body a 400, one byte too many a 413; the sender finds the culprit."""

    def is_poison(event: dict[str, Any]) -> bool:
        return bool(event.get("annotations", {}).get("number") == 2)

    async with FaultyIngest(is_poison=is_poison, max_body_bytes=2_000) as ingest:
        async with sending(ingest) as client:
            await converse(client, 8)
            await client.flush()
            assert dict((await client.stats()).lost) == {"rejected": 1}
    assert {request.status for request in ingest.requests} == {200, 400, 413}
    assert len([event for event in ingest.events if event["name"] == "turn"]) == 7


async def test_a_server_that_hangs_lets_go_when_it_is_left() -> None:
    """No answer comes while the block runs; leaving it waits for nothing."""
    async with FaultyIngest(always=Reply(hangs=True)) as ingest:
        async with sending(ingest, request_timeout_ms=600_000) as client:
            await converse(client)
            await until(lambda: ingest.requests)
            await client.shutdown(timeout=0.01)
            assert dict((await client.stats()).lost) == {"shutdown_timeout": 2}
        assert ingest.requests[0].status is None
    assert not ingest.stored


async def test_latency_goes_by_the_clock_that_is_given() -> None:
    """An answer that takes a minute takes it on a FakeClock."""
    clock = FakeClock()
    async with FaultyIngest(always=Reply(delay_ms=60_000), clock=clock) as ingest:
        async with sending(ingest) as client:
            await converse(client)
            flush = asyncio.create_task(client.flush())
            await until(lambda: clock.sleepers)
            await clock.advance(59.9)
            assert not ingest.stored
            await clock.advance(0.1)
            assert await flush
    assert [request.at for request in ingest.requests] == [0.0]


async def test_a_server_may_be_left_while_answers_are_late() -> None:
    """Nobody waits for a latency whose clock nobody moves."""
    async with FaultyIngest(always=Reply(delay_ms=60_000), clock=FakeClock()) as ingest:
        async with sending(ingest) as client:
            await converse(client)
            await until(lambda: ingest.requests)
            await client.shutdown(timeout=0.01)


# 3. The ledger.


async def test_an_open_ledger_is_told_with_its_numbers() -> None:
    """Queued events, and events that count as stored and are not there, fail the assertion."""
    async with FaultyIngest() as ingest, recording() as lumina:
        await converse(lumina.client)
        with pytest.raises(AssertionError, match=r"not closed: Stats\(captured=2.*queued=2"):
            assert_ledger_closed(await lumina.client.stats())
        await lumina.settled()
        assert_ledger_closed(await lumina.client.stats())
        with pytest.raises(AssertionError, match="holds 0 events"):
            assert_ledger_closed(await lumina.client.stats(), ingest)


# 4. The clock.


async def test_sleepers_wake_in_order_and_at_their_moment() -> None:
    """Whoever is due first runs first, sees its own moment, and may sleep again within the same advance."""
    clock, seen = FakeClock(), list[tuple[str, float]]()

    async def sleeper(name: str, *naps: float) -> None:
        for nap in naps:
            await clock.sleep(nap)
            seen.append((name, clock.now))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(sleeper("late", 2.0))
        tasks.create_task(sleeper("often", 0.3, 0.6, 0.9))
        tasks.create_task(sleeper("same", 2.0))
        await clock.advance(1.7)
        assert seen == [("often", 0.3), ("often", 0.9)]
        assert (clock.sleepers, clock.now) == (3, 1.7)
        await clock.advance(0.3)
    assert seen[2:] == [("often", 1.8), ("late", 2.0), ("same", 2.0)]
    assert clock.slept == (2.0, 0.3, 2.0, 0.6, 0.9)


async def test_a_sleeper_that_is_cancelled_is_forgotten() -> None:
    """Nobody wakes it, and time passes as if it had never been there."""
    clock = FakeClock()
    task = asyncio.create_task(clock.sleep(5))
    await clock.settle()
    assert clock.sleepers == 1
    task.cancel()
    await clock.settle()
    assert clock.sleepers == 0
    await clock.advance(10)
    assert clock.now == 10


async def test_zero_seconds_pass_at_once() -> None:
    """As with the real sleep, others get their turn and time stands still."""
    clock = FakeClock()
    await clock.sleep(0)
    assert (clock.now, clock.sleepers) == (0, 0)


async def test_the_shortest_sleep_moves_time() -> None:
    """A remainder of a float below a nanosecond passes; who waits for it is not woken again and again."""
    clock = FakeClock()
    async with clock.running():
        await clock.sleep(1e-12)
    assert clock.monotonic_ns() == 1


async def test_the_wall_may_jump_alone() -> None:
    """A turn over whose end the wall is set back keeps its latency; only its moments tell of the jump."""
    clock = FakeClock(datetime(2026, 5, 1, 12, 0, 0, 250_000, tzinfo=UTC))
    async with recording(clock=clock) as lumina:
        async with (await lumina.session.start()).turn():
            await clock.advance(1.5)
            clock.jump_wall(-3600)
    [turn] = lumina.turns
    assert (turn.started_at, turn.latency_ms) == ("2026-05-01T12:00:00.250Z", 1500)
    assert clock.now == 1.5
    assert clock.wall_ns() == 1_777_636_801_750_000_000 - 3600 * 10**9


async def test_a_batch_leaves_when_the_clock_says_so() -> None:
    """Nothing is sent before flush_interval_ms have passed, and retries wait as documented."""
    clock, transport = FakeClock(), MemoryTransport(script=[testing.Answer(status=503)])
    async with recording(transport, clock=clock) as lumina:
        await converse(lumina.client)
        await clock.advance(4.999)
        assert transport.payloads == []
        await clock.advance(0.001)
        assert (len(transport.payloads), len(transport.stored)) == (1, 0)
        await clock.advance(0.3)
        assert (len(transport.payloads), len(lumina.turns)) == (2, 1)


async def test_time_may_pass_by_itself() -> None:
    """Within `running` nobody waits in real time, and moments come in order."""
    clock = FakeClock()
    async with clock.running():
        await asyncio.gather(clock.sleep(3600), clock.sleep(60))
        assert clock.now == 3600
    stands = asyncio.create_task(clock.sleep(1))
    await clock.settle()
    assert clock.sleepers == 1
    stands.cancel()


async def test_until_gives_up() -> None:
    """A state that never comes is a TimeoutError, not a test that hangs."""
    with pytest.raises(TimeoutError):
        await until(lambda: False, timeout=0.01)


# 5. The kit itself.


def test_the_names_are_sorted_and_documented() -> None:
    """What the kit exports is a decision, and each has a docstring."""
    assert testing.__all__ == sorted(testing.__all__)
    for name in testing.__all__:
        assert getattr(testing, name).__doc__, name
