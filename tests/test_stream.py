"""Streams: the proxy passes for the stream, and every way to end one has its outcome."""

import asyncio
import copy
import gc
import inspect
import pickle
import sys
import threading
import types
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import pytest
from support import recording, until

from lumina_async import llm
from lumina_async.testing import FakeClock


class Broken(Exception):
    pass


async def words(*, error: BaseException | None = None) -> AsyncIterator[str]:
    for word in ("one ", "two ", "three"):
        await asyncio.sleep(0)
        yield word
    if error is not None:
        raise error


async def slow() -> AsyncIterator[str]:
    yield "one"
    await asyncio.sleep(60)


def letters() -> Iterator[str]:
    yield from "abc"


class ClientStream:
    """As the streams of the providers' clients are: an async iterator and a context manager with a closing method."""

    def __init__(self) -> None:
        self.source = words()
        self.closed = False
        self.response = "attribute"

    def __aiter__(self) -> "ClientStream":
        return self

    async def __anext__(self) -> str:
        return await self.source.__anext__()

    async def __aenter__(self) -> "ClientStream":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        self.closed = True


async def test_a_stream_read_to_its_end_is_completed_with_its_times() -> None:
    """A complete stream has its chunks, the time to the first, and the longest gap."""
    clock = FakeClock()

    async def paced() -> AsyncIterator[str]:
        for word, pause_s in (("one ", 0.002), ("two ", 0.005), ("three", 0.001)):
            await clock.advance(pause_s)
            yield word

    async with recording(clock=clock) as (client, transport):
        async with (await client.session.start()).turn() as t:
            stream = await t.wrap_llm(paced, model="m")
            assert [word async for word in stream] == ["one ", "two ", "three"]
    [call] = transport.turns[0]["llm"]
    assert (call["streaming"], call["outcome"], call["status"], call["chunks"]) == (True, "completed", "ok", 3)
    assert (call["ttft_ms"], call["longest_gap_ms"], call["latency_ms"]) == (2, 5, 8)


async def test_a_plain_iterator_works_alike() -> None:
    """A sync iterator comes back as a sync one."""
    async with recording() as (client, transport):
        async with (await client.session.start()).turn() as t:
            stream = await t.wrap_llm(letters)
            assert isinstance(stream, types.GeneratorType)
            assert not hasattr(type(stream), "__aiter__")
            assert list(stream) == ["a", "b", "c"]
    assert transport.turns[0]["llm"][0]["chunks"] == 3


async def test_the_proxy_passes_for_the_stream() -> None:
    """Class, attributes, `async with` and `close` are those of the stream itself."""
    stream = ClientStream()
    async with recording() as (client, _):
        async with (await client.session.start()).turn() as t:
            proxy = await t.wrap_llm(stream)
            assert isinstance(proxy, ClientStream)
            assert proxy.response == "attribute"
            async with proxy as entered:
                assert entered is proxy
                assert [word async for word in entered] == ["one ", "two ", "three"]
    assert stream.closed


async def test_an_async_generator_stays_one_for_inspect() -> None:
    """Frameworks that ask for an async generator find one."""
    async with recording() as (client, _):
        async with (await client.session.start()).turn() as t:
            proxy = await t.wrap_llm(words())
            assert inspect.isasyncgen(proxy)
            await proxy.aclose()


@pytest.mark.parametrize(
    ("error", "outcome", "status"),
    [
        (Broken("cut"), "provider_error", "error"),
        (TimeoutError(), "timed_out", "error"),
        (asyncio.CancelledError(), "cancelled", "cancelled"),
    ],
    ids=["provider", "deadline", "cancelled"],
)
async def test_a_stream_that_breaks_off_tells_why(error: BaseException, outcome: str, status: str) -> None:
    """The exception reaches the app as it is; the call has its outcome and the chunks that came (FAULTS V11)."""
    async with recording() as (client, transport):
        async with (await client.session.start()).turn() as t:
            stream = await t.wrap_llm(words(error=error))
            with pytest.raises(type(error)) as caught:
                _ = [word async for word in stream]
            assert caught.value is error
    [call] = transport.turns[0]["llm"]
    assert (call["outcome"], call["status"], call["chunks"]) == (outcome, status, 3)


async def test_a_stream_that_the_app_closes_is_stopped() -> None:
    """Closing before the end is the app's choice and no error."""
    async with recording() as (client, transport):
        async with (await client.session.start()).turn() as t:
            stream = await t.wrap_llm(words())
            await anext(stream)
            await stream.aclose()
    [call] = transport.turns[0]["llm"]
    assert (call["outcome"], call["status"], call["chunks"]) == ("stopped", "ok", 1)


async def test_a_closed_generator_means_that_the_client_is_gone() -> None:
    """A generator that streams to a client and is closed half-way leaves a cancelled turn, stored once (FAULTS V12)."""
    async with recording() as (client, transport):
        session = await client.session.start()

        async def body() -> AsyncIterator[str]:
            async with session.turn() as t:
                async for word in await t.wrap_llm(words):
                    yield word

        response = body()
        await anext(response)
        await response.aclose()
    [turn] = transport.turns
    assert (turn["status"], turn["llm"][0]["outcome"]) == ("cancelled", "client_gone")


async def test_a_turn_whose_stream_is_open_waits_for_it() -> None:
    """A turn around `return StreamingResponse(...)` is offered when the stream ends, with what was set meanwhile."""
    async with recording(capture_transcript="full") as (client, transport):
        async with (await client.session.start()).turn() as t:
            stream = await t.wrap_llm(words)
        assert (await client.stats()).open_turns == 1
        await anext(stream)
        await t.set_messages([{"role": "assistant", "content": "one"}])
        assert [word async for word in stream] == ["two ", "three"]
        assert (await client.stats()).open_turns == 0
    [turn] = transport.turns
    assert (turn["status"], turn["llm"][0]["outcome"]) == ("ok", "completed")
    assert turn["messages"][0]["content"] == "one"


async def test_a_held_turn_ends_as_its_stream_does() -> None:
    """A stream that breaks after the block is no success."""
    async with recording() as (client, transport):
        async with (await client.session.start()).turn() as t:
            stream = await t.wrap_llm(words(error=Broken("late")))
        with pytest.raises(Broken):
            _ = [word async for word in stream]
    assert transport.turns[0]["status"] == "error"
    assert transport.turns[0]["error"]["message"] == "late"


async def test_a_stream_that_is_dropped_is_abandoned() -> None:
    """A stream nobody reads ends its held turn when it is collected (FAULTS V11)."""
    async with recording() as (client, transport):
        async with (await client.session.start()).turn() as t:
            stream: Any = await t.wrap_llm(words())
        del stream
        gc.collect()
        await until(lambda: transport.turns)
    [turn] = transport.turns
    assert (turn["status"], turn["llm"][0]["outcome"]) == ("cancelled", "abandoned")


async def test_shutdown_offers_the_turns_that_wait() -> None:
    """A turn whose stream never ends is stored at shutdown, as abandoned."""
    async with recording() as (client, transport):
        async with (await client.session.start()).turn() as t:
            stream = await t.wrap_llm(words())
    assert transport.turns[0]["llm"][0]["outcome"] == "abandoned"
    await stream.aclose()


async def test_a_held_turn_waits_a_minute_at_most() -> None:
    """After sixty seconds on the loop's clock a held turn is offered although its stream is open."""
    loop = asyncio.get_running_loop()
    async with recording() as (client, transport):
        async with (await client.session.start()).turn() as t:
            stream = await t.wrap_llm(words())
        [timer] = [held for held in client.recorder._held.values() if held is not None]
        # A thousandth for the rounding of floats: uvloop counts its timers in whole milliseconds.
        assert 59 < timer.when() - loop.time() <= 60.001
        t.draft.release()
        await client.flush()
        assert transport.turns[0]["llm"][0]["outcome"] == "abandoned"
        assert timer.cancelled()
        await stream.aclose()


async def test_a_call_that_outlives_its_block_is_waited_for() -> None:
    """A background task's call that is still running when the block ends is recorded when it returns."""
    release = asyncio.Event()
    async with recording() as (client, transport):
        async with (await client.session.start()).turn() as t:
            task = asyncio.create_task(t.wrap_llm(release.wait))
            await asyncio.sleep(0)
        assert (await client.stats()).open_turns == 1
        release.set()
        await task
    assert [call["status"] for call in transport.turns[0]["llm"]] == ["ok"]


async def test_an_error_of_the_app_stops_the_stream_it_was_reading() -> None:
    """What the provider raises comes out of the stream itself; what the app raises in between is not the provider's."""
    async with recording() as (client, transport):
        session = await client.session.start()
        with suppress(Broken):
            async with session.turn() as t:
                async for _ in await t.wrap_llm(words):
                    raise Broken("the app's")
        async with session.turn() as t:
            with suppress(Broken):
                async with await t.wrap_llm(ClientStream()) as stream:
                    async for _ in stream:
                        raise Broken("the app's")
    left, caught = transport.turns
    assert [turn["llm"][0]["outcome"] for turn in (left, caught)] == ["stopped", "stopped"]
    assert all("error" not in turn["llm"][0] for turn in (left, caught))
    assert (left["status"], left["error"]["message"], caught["status"]) == ("error", "the app's", "ok")


@pytest.mark.parametrize("error", [KeyError("primary"), TimeoutError(), asyncio.CancelledError()], ids=repr)
async def test_an_error_that_was_there_before_is_no_reason(error: BaseException) -> None:
    """A fallback that is read and closed while the failure of the first is handled ends by choice."""
    async with recording() as (client, transport):
        async with (await client.session.start()).turn() as t:
            try:
                raise error
            except BaseException:  # noqa: BLE001
                stream: Any = await t.wrap_llm(words)
                await anext(stream)
                await stream.aclose()
    assert transport.turns[0]["llm"][0]["outcome"] == "stopped"


async def test_a_deadline_that_leaves_the_turn_is_a_time_out() -> None:
    """To the stream it is a cancellation; the turn sees what it was."""
    async with recording() as (client, transport):
        with suppress(TimeoutError):
            async with (await client.session.start()).turn() as t:
                async with asyncio.timeout(0.01):
                    async for _ in await t.wrap_llm(slow):
                        pass
    [turn] = transport.turns
    [call] = turn["llm"]
    assert (turn["status"], call["outcome"], call["status"]) == ("error", "timed_out", "error")


async def test_a_proxy_is_copied_as_its_stream_is() -> None:
    """A generator refuses, and so does its proxy; none half made is left to the collector."""
    async with recording() as (client, _):
        async with (await client.session.start()).turn() as t:
            proxy: Any = await t.wrap_llm(words())
            for make in (copy.copy, copy.deepcopy, pickle.dumps):
                with pytest.raises(TypeError, match="async_generator"):
                    make(proxy)
            gc.collect()
            await proxy.aclose()


@llm
def told() -> Iterator[str]:
    yield from "abc"


async def test_a_stream_that_is_dropped_in_a_thread_ends_its_turn() -> None:
    """It was made where no loop runs; the loop of its turn, which has nothing else to do, is told."""
    async with recording() as (client, transport):
        async with (await client.session.start()).turn():
            streams = [await asyncio.to_thread(told)]
        assert (await client.stats()).open_turns == 1
        await asyncio.to_thread(streams.clear)
        await until(lambda: transport.turns)
    assert transport.turns[0]["llm"][0]["outcome"] == "abandoned"


async def test_what_was_cancelled_before_a_deadline_stays_cancelled() -> None:
    """A time out of something else, later in the turn, has no part in it."""
    async with recording() as (client, transport):
        with suppress(TimeoutError):
            async with (await client.session.start()).turn() as t:

                async def reader() -> None:
                    async for _ in await t.wrap_llm(slow):
                        pass

                task = asyncio.ensure_future(reader())
                await asyncio.sleep(0.01)
                task.cancel()
                await asyncio.wait({task})
                raise TimeoutError("the database is slow")
    assert transport.turns[0]["llm"][0]["outcome"] == "cancelled"


async def test_a_held_turn_is_offered_once_by_whichever_thread_ends_it() -> None:
    """Its last two streams end at the same moment, in two threads; and a third asks once more."""
    switching, rounds = sys.getswitchinterval(), 100
    async with recording() as (client, _), asyncio.timeout(30):
        session = await client.session.start()
        sys.setswitchinterval(1e-6)
        try:
            for _number in range(rounds):
                async with session.turn() as t:
                    streams = [await t.wrap_llm(letters), await t.wrap_llm(letters)]
                barrier = threading.Barrier(2)

                def read(stream: Any, barrier: threading.Barrier = barrier) -> None:
                    barrier.wait()
                    assert list(stream) == ["a", "b", "c"]

                await asyncio.gather(*(asyncio.to_thread(read, stream) for stream in streams))
                t.draft._offer_held()
        finally:
            sys.setswitchinterval(switching)
        assert (await client.stats()).captured == rounds + 1
        assert (await client.stats()).open_turns == 0


async def test_a_stream_that_ends_as_its_turn_is_left_holds_nothing() -> None:
    """It was dropped before, and is found out at that moment."""
    async with recording() as (client, transport):
        async with (await client.session.start()).turn():
            await asyncio.to_thread(lambda: told() and None)
        assert (await client.stats()).open_turns == 0
    assert [turn["llm"][0]["outcome"] for turn in transport.turns] == ["abandoned"]
