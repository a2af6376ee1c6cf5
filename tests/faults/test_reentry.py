"""Code of ours that runs in the middle of other code of ours: finalizers, signal handlers, other threads."""

import asyncio
import gc
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from support import MemoryTransport, assert_closed, config, recording, until

from faults.forms import form
from lumina_async import LuminaClient
from lumina_async._batch import Line
from lumina_async._handover import Handover
from lumina_async._ledger import Ledger
from lumina_async._log import Once
from lumina_async._spool import Spool
from lumina_async._spool_writer import SpoolWriter


@contextmanager
def interrupting(function: Callable[..., Any], interruption: Callable[[], None]) -> Iterator[list[str]]:
    """Run this at the first 300 steps of a function, as a finalizer or a signal handler would."""
    interrupted: list[str] = []
    busy = False

    def profile(frame: FrameType, event: str, _: Any) -> None:
        nonlocal busy
        if busy or frame.f_code is not function.__code__ or len(interrupted) >= 300:
            return
        busy = True
        try:
            interrupted.append(event)
            interruption()
        finally:
            busy = False

    sys.setprofile(profile)
    try:
        yield interrupted
    finally:
        sys.setprofile(None)


@pytest.mark.parametrize("function", [Ledger._write_down, Handover._weigh], ids=["ledger", "handover"])
def test_a_turn_that_ends_within_the_end_of_another_dead_locks_nothing(function: Callable[..., Any]) -> None:
    """A finalizer or signal handler may end a turn while its thread ends another: both count (FAULTS Q7, Q14)."""
    transport = MemoryTransport()
    client = LuminaClient(config(flush_interval_ms=60_000), transport=lambda _: transport)

    async def open_turns() -> list[Any]:
        session = await client.session.start()
        return [session.turn() for _ in range(1_000)]

    turns = asyncio.run(open_turns())
    with interrupting(function, lambda: turns.pop().finish_nowait()) as interrupted:
        for _ in range(20):
            turns.pop().finish_nowait()
    assert {"call", "c_call"} <= set(interrupted)
    while turns:
        turns.pop().finish_nowait()
    assert asyncio.run(client.flush())
    asyncio.run(client.shutdown())
    assert len(transport.turns) == 1_000


def test_turns_that_the_collector_ends_at_any_moment_are_all_counted() -> None:
    """With a collection at every allocation and threads beside it, streams in cycles end once each (FAULTS Q7, V11)."""
    transport = MemoryTransport()
    client = LuminaClient(config(), transport=lambda _: transport)
    rounds = form(30, 300)

    async def words() -> AsyncIterator[str]:
        yield "word"

    async def drop_streams() -> None:
        session = await client.session.start()
        for _ in range(rounds):
            turn = session.turn()
            ring: list[Any] = [await turn.wrap_llm(words())]
            ring.append(ring)
            await turn.finish()

    def on_a_loop_that_ends() -> None:
        # The streams outlive their loop, or not: both ways to the collector.
        asyncio.run(drop_streams())

    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        threads = [threading.Thread(target=on_a_loop_that_ends) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        gc.set_threshold(*before)
    gc.collect()
    asyncio.run(client.shutdown())
    stats = asyncio.run(client.stats())
    assert_closed(stats)
    assert len(transport.turns) == 4 * rounds
    assert stats.open_turns == 0


class OnlyOnceEntered:
    """A stream as some clients give it: it cannot be read before `async with`."""

    def __init__(self, *, is_entered: bool = False) -> None:
        self.is_entered = is_entered

    def __aiter__(self) -> AsyncIterator[str]:
        if not self.is_entered:
            raise RuntimeError("enter me first")
        return self._words()

    async def _words(self) -> AsyncIterator[str]:
        yield "word"

    async def __aenter__(self) -> "OnlyOnceEntered":
        self.is_entered = True
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


async def test_a_stream_that_refuses_to_be_read_tells_its_reader() -> None:
    """An `__aiter__` that raises does so in the app's `async for`, and its call ends as an error (FAULTS V11)."""
    async with recording() as (client, transport):
        async with (await client.session.start()).turn() as t:
            stream = await t.wrap_llm(OnlyOnceEntered())
            with pytest.raises(RuntimeError, match="enter me first"):
                _ = [word async for word in stream]
    assert transport.turns[0]["llm"][0]["outcome"] == "provider_error"


async def test_a_stream_that_must_be_entered_first_can_be() -> None:
    """The proxy asks a stream for its iterator when the app does, not before (FAULTS V11)."""
    async with recording() as (client, transport):
        async with (await client.session.start()).turn() as t:
            async with await t.wrap_llm(OnlyOnceEntered()) as stream:
                assert [word async for word in stream] == ["word"]
    assert transport.turns[0]["llm"][0]["outcome"] == "completed"


async def test_what_threads_hand_over_to_a_busy_loop_is_bounded() -> None:
    """While the loop is busy no more than max_queue_bytes wait; the oldest go as `queue_overflow` (FAULTS Q1, Q14)."""
    transport = MemoryTransport(hang=asyncio.Event())
    async with recording(transport, max_queue_bytes=10_000, flush_interval_ms=60_000) as (client, _):
        session = await client.session.start()
        turns = [session.turn() for _ in range(400)]
        threads = [threading.Thread(target=lambda: [turns.pop().finish_nowait() for _ in range(100)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        # Busy: the loop takes nothing in while the threads run.
        for thread in threads:
            thread.join()
        assert client._flusher is not None
        assert client._flusher._handover.size <= 10_000
        stats = await client.stats()
        assert stats.lost["queue_overflow"] + stats.queued == 401
        assert transport.hang is not None
        transport.hang.set()
        await until(lambda: client._flusher is not None and client._flusher._handover.size == 0)


@contextmanager
def interrupting_each_step(function: Callable[..., Any], interruption: Callable[[], None]) -> Iterator[list[int]]:
    """Run this between any two instructions of a function, as a signal handler would."""
    interrupted: list[int] = []
    busy = False

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal busy
        if busy or frame.f_code is not function.__code__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            busy = True
            try:
                interrupted.append(frame.f_lasti)
                interruption()
            finally:
                busy = False
        return trace

    before = sys.gettrace()
    # Python 3.12 looks once, when tracing begins, whether any frame wants to be told of instructions.
    sys._getframe().f_trace_opcodes = True
    sys.settrace(trace)
    try:
        yield interrupted
    finally:
        sys.settrace(before)


@pytest.mark.parametrize("function", [SpoolWriter.keep, SpoolWriter.settled], ids=["keep", "settled"])
def test_a_turn_that_ends_within_a_write_to_the_spool_dead_locks_nothing(
    function: Callable[..., Any], tmp_path: Path
) -> None:
    """Between any two steps of a write to disk a signal handler may end another turn: both get there (FAULTS Q7)."""
    spool = Spool(tmp_path, "http://127.0.0.1:9", syncs=False, max_bytes=1 << 20, once=Once(), left={})
    lines = [Line(str(number), b'{"number":%d}\n' % number) for number in range(1_000)]
    kept: list[Line] = []

    def keep() -> None:
        kept.append(lines.pop())
        spool.writer.keep(kept[-1], spill=False)
        if function is SpoolWriter.settled:
            spool.writer.settled(lines.pop())

    with interrupting_each_step(function, keep) as interrupted:
        keep()
    assert len(interrupted) > 10
    spool.tend()
    assert all(line.segment is not None for line in kept)
    spool.abandon()
