"""Cancelled at every await: the turn counted once, the cancellation never swallowed, nothing left running (V12, G9)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import attrs
import pytest
from support import STORED, MemoryTransport, assert_closed, config, until

from faults.steps import KINDS, Kind, at_every_step, cancelled_at
from lumina_async import LuminaClient, Session, Turn
from lumina_async._outcome import Answer
from lumina_async._transport import Payload


async def pause() -> None:
    await asyncio.sleep(0)


async def mask(text: str) -> str:
    await pause()
    return text.upper()


@attrs.define(eq=False)
class SlowTransport(MemoryTransport):
    """Suspends where a real one does, and refuses the first payload so that there is a retry to be cancelled in."""

    async def post(self, payload: Payload, sent_at: str) -> Answer:
        await pause()
        answer = await super().post(payload, sent_at)
        await pause()
        return answer


class SlowUI:
    """A provider each of whose hooks suspends."""

    name = "slow"

    async def init(self) -> None:
        await pause()

    async def get_session_id(self) -> str:
        await pause()
        return "ui_1"

    async def get_replay_url(self) -> str:
        await pause()
        return "https://replay.example/1"

    async def tag_turn(self, context: Any) -> None:
        await pause()

    async def untag_turn(self, context: Any) -> None:
        await pause()

    async def start_replay(self) -> None:
        await pause()

    async def stop_replay(self) -> None:
        await pause()

    async def capture_event(self, name: str, properties: Any) -> None:
        await pause()

    async def shutdown(self) -> None:
        await pause()


class SlowSystem:
    name = "slow_system"

    async def start_turn(self, context: Any) -> str:
        await pause()
        return "ref"

    async def end_turn(self, ref: Any, status: str, meta: Any) -> None:
        await pause()

    async def start_span(self, context: Any) -> str:
        await pause()
        return "span"

    async def end_span(self, ref: Any, status: str, meta: Any) -> None:
        await pause()

    async def shutdown(self) -> None:
        await pause()


async def call() -> str:
    await pause()
    await pause()
    return "said"


async def words() -> AsyncIterator[str]:
    for word in ("one", "two"):
        await pause()
        yield word


def slow_client(transport: MemoryTransport) -> LuminaClient:
    options = config(mask_fn=mask, ui_analytics=SlowUI(), system_analytics=SlowSystem())
    return LuminaClient(options, transport=lambda _: transport)


async def nothing_left() -> None:
    """Wait until no task but this one is left."""
    await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})
    # What is done when a task has ended comes after it.
    await pause()


# What an app does with a turn, each with every await that it has.


async def a_block(session: Session) -> None:
    async with session.turn() as t:
        await t.set_messages([{"role": "user", "content": "hello"}])
        await t.annotate(note="text", more="text")
        await t.add_retrieval(source="docs", query="hello", results=[{"id": "1", "content": "text"}])


async def a_call(session: Session) -> None:
    async with session.turn() as t:
        assert await t.wrap_llm(call, model="m", input="hello", output=str, note="text") == "said"


async def a_tool(session: Session) -> None:
    async with session.turn() as t:
        assert await t.record_tool("search", call, input="hello", output=str, note="text") == "said"


async def a_call_by_hand(session: Session) -> None:
    await _by_hand(session, lambda t: t.wrap_llm(call, input="hello", output=str))


async def a_tool_by_hand(session: Session) -> None:
    await _by_hand(session, lambda t: t.record_tool("search", call, input="hello", output=str))


async def _by_hand(session: Session, work: Callable[[Turn], Awaitable[Any]]) -> None:
    t = session.turn()
    try:
        await work(t)
    finally:
        # In a cancelled anyio scope each await raises again; finish has none.
        await t.finish()


async def a_stream(session: Session) -> None:
    async with session.turn() as t:
        assert [word async for word in await t.wrap_llm(words, input="hello")] == ["one", "two"]


async def a_stream_by_hand(session: Session) -> None:
    async def read(t: Turn) -> None:
        async for _ in await t.wrap_llm(words, input="hello"):
            await pause()

    await _by_hand(session, read)


USES = (a_block, a_call, a_tool, a_call_by_hand, a_tool_by_hand, a_stream, a_stream_by_hand)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__)
async def test_a_turn_cancelled_at_any_await_is_stored_once_as_cancelled(
    use: Callable[[Session], Any], kind: Kind
) -> None:
    """Wherever a turn is cancelled: one event, status cancelled, no task, and the ledger closes (FAULTS V12, G9)."""

    async def trial(number: int) -> bool:
        transport = SlowTransport()
        async with slow_client(transport) as client:
            session = await client.session.start()
            is_cancelled = await cancelled_at(number, kind, lambda: use(session))
            assert await client.flush()
            stats = await client.stats()
            assert (stats.open_turns, stats.lost_total) == (0, 0)
        assert_closed(await client.stats())
        [turn] = transport.turns
        assert turn["status"] == ("cancelled" if is_cancelled else "ok"), number
        await nothing_left()
        return is_cancelled

    assert await at_every_step(kind, trial) >= 3


@pytest.mark.parametrize("kind", KINDS)
async def test_finish_and_leaving_a_block_never_suspend(kind: Kind) -> None:
    """There is no await in finish, nor on the way out of a block, where a cancellation could strike (FAULTS V12)."""
    async with slow_client(SlowTransport()) as client:
        session = await client.session.start()
        by_hand, block = session.turn(), await session.turn().__aenter__()
        assert not await cancelled_at(0, kind, by_hand.finish)
        assert not await cancelled_at(0, kind, lambda: block.__aexit__(None, None, None))
        assert await client.flush()
    assert_closed(await client.stats())


@pytest.mark.parametrize("kind", KINDS)
async def test_a_flush_cancelled_at_any_await_leaves_everything_to_the_next(kind: Kind) -> None:
    """A cancelled flush stops waiting and nothing else: the next one finds all of it stored (FAULTS Q17, G9)."""

    async def trial(number: int) -> bool:
        transport = SlowTransport(script=[Answer(status=503)])
        async with slow_client(transport) as client:
            await a_call(await client.session.start())
            is_cancelled = await cancelled_at(number, kind, client.flush)
            assert await client.flush()
        assert_closed(await client.stats())
        assert len(transport.turns) == 1
        await nothing_left()
        return is_cancelled

    assert await at_every_step(kind, trial) >= 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("answer", [STORED, Answer(status=503)], ids=["server_up", "server_down"])
async def test_a_shutdown_cancelled_at_any_await_ends_and_counts(answer: Answer, kind: Kind) -> None:
    """Cancelled anywhere, shutdown lets go of everything: all stored or counted, no task left (FAULTS Q18, G9)."""

    async def trial(number: int) -> bool:
        transport = SlowTransport(always=lambda _: answer)
        client = await slow_client(transport).__aenter__()
        await a_call(await client.session.start())
        is_cancelled = await cancelled_at(number, kind, lambda: client.shutdown(0.05))
        await nothing_left()
        assert not client.is_initialized
        stats = await client.stats()
        assert_closed(stats)
        assert stats.captured == 2
        assert transport.opened == transport.closed
        await client.shutdown()
        return is_cancelled

    assert await at_every_step(kind, trial) >= 2


@pytest.mark.parametrize("kind", KINDS)
async def test_an_init_cancelled_at_any_await_can_be_repeated(kind: Kind) -> None:
    """After a cancelled init the same init goes on where it was, and events are sent (FAULTS Q8, G9)."""

    async def trial(number: int) -> bool:
        transport = SlowTransport()
        client = slow_client(transport)
        is_cancelled = await cancelled_at(number, kind, client.__aenter__)
        async with client:
            await a_call(await client.session.start())
            assert await client.flush()
        assert_closed(await client.stats())
        assert len(transport.turns) == 1
        await nothing_left()
        return is_cancelled

    assert await at_every_step(kind, trial) >= 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_session_start_cancelled_at_any_await_can_be_repeated(kind: Kind) -> None:
    """After a cancelled start the session is the same one, announced once with its pointers (FAULTS G9)."""

    async def trial(number: int) -> bool:
        transport = SlowTransport()
        async with slow_client(transport) as client:

            async def request() -> None:
                await client.session.start({"ticket": "text", "page": "text"}, session_id="chat_1")

            is_cancelled = await cancelled_at(number, kind, request)
            await request()
            assert await client.flush()
        assert [event["pointers"] for event in transport.stored] == [{"ticket": "TEXT", "page": "TEXT"}]
        assert_closed(await client.stats())
        await nothing_left()
        return is_cancelled

    assert await at_every_step(kind, trial) >= 2
