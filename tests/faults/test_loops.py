"""Event loops that come and go: what waits moves along, and nothing is left behind."""

import asyncio
import gc
import logging
import random
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import KEY, STORED, MemoryTransport, assert_closed, config, recording, until

from faults.forms import form
from lumina_async import LuminaClient, Turn
from lumina_async._tasks import start_task
from lumina_async.testing import FaultyIngest, assert_ledger_closed


def run(code: str, *options: str) -> "subprocess.CompletedProcess[str]":
    """Run a script as a user would, with every warning an error unless told otherwise."""
    options = options or ("-X", "dev", "-W", "error")
    return subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, check=False)


async def record(client: LuminaClient, count: int = 1) -> None:
    session = await client.session.start()
    for _ in range(count):
        async with session.turn():
            pass


# A loop that is closed while its tasks are pending: asyncio.run never does that, older code does.
CLOSED_UNDER_US = f"""
import asyncio
from lumina_async import Lumina

async def main():
    await Lumina.init(endpoint="http://127.0.0.1:9", write_key={KEY!r})
    async with (await Lumina.session.start()).turn():
        pass
    await asyncio.sleep(0.01)

loop = asyncio.new_event_loop()
loop.set_debug(False)
loop.run_until_complete(main())
loop.close()
"""


def test_a_loop_that_is_closed_without_shutdown_leaves_one_line() -> None:
    """A loop closed under the client: no traceback, no destroyed task, no warning, and the number lost (FAULTS Q19)."""
    result = run(CLOSED_UNDER_US)
    assert result.stderr.startswith("2 events were never sent")
    assert (result.stderr.count("\n"), result.returncode) == (1, 0)


@pytest.mark.parametrize("is_closed", [True, False], ids=["closed", "idle"])
async def test_a_client_that_moves_off_a_loop_leaves_no_task_there(
    is_closed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The task on a former loop, closed or merely idle, ends; asyncio tells of nothing destroyed (FAULTS Q12)."""
    caplog.set_level(logging.DEBUG, "asyncio")
    async with FaultyIngest() as ingest:
        client = LuminaClient(config(endpoint=ingest.url, flush_interval_ms=60_000))

        def on_a_loop_of_its_own() -> asyncio.AbstractEventLoop:
            loop = asyncio.new_event_loop()
            loop.run_until_complete(record(client))
            if is_closed:
                loop.close()
            return loop

        former = await asyncio.to_thread(on_a_loop_of_its_own)
        assert await client.flush()
        if not is_closed:
            [task] = [task for task in asyncio.all_tasks(former) if task.get_name() == "lumina-flusher"]
            await asyncio.to_thread(former.run_until_complete, asyncio.wait({task}))
            assert task.cancelled()
            former.close()
        await client.shutdown()
        assert_ledger_closed(await client.stats(), ingest)
    gc.collect()
    assert "destroyed" not in caplog.text
    assert "Unclosed" not in caplog.text


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_an_eager_task_factory_changes_nothing() -> None:
    """Where tasks run their first step at once, events are sent all the same."""
    transport = MemoryTransport()
    client = LuminaClient(config(), transport=lambda _: transport)

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
        async with client:
            await record(client)
            assert await client.flush()

    asyncio.run(main())
    assert transport.opened == transport.closed == 1


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts the descriptors in /proc")
@pytest.mark.parametrize("sends", [True, False], ids=["flushed_each_time", "flushed_once"])
def test_a_thousand_loops_in_one_process_lose_and_leak_nothing(sends: bool) -> None:
    """1,000 times asyncio.run: every event stored, no task, descriptor or memory left behind (FAULTS Q12, G19)."""
    loops = form(300, 1_000) if sends else 1_000

    with serving() as ingest:
        client = LuminaClient(config(endpoint=ingest.url, flush_interval_ms=60_000))

        async def once() -> int:
            await record(client)
            assert await client.flush() if sends else True
            return len(asyncio.all_tasks())

        def grown(times: int) -> tuple[int, int]:
            assert all(asyncio.run(once()) <= 3 for _ in range(times))
            gc.collect()
            return descriptors(), len(gc.get_objects())

        (files, objects), (more_files, more_objects) = grown(50), grown(loops - 50)
        assert asyncio.run(client.flush())
        asyncio.run(client.shutdown())
        assert more_files <= files
        # What a session is remembered by, and what waits where nothing is flushed; no loop, task or connection.
        assert (more_objects - objects) / (loops - 50) < 12
        assert_ledger_closed(asyncio.run(client.stats()), ingest)
        assert len(ingest.events) == 2 * loops


@contextmanager
def serving() -> Iterator[FaultyIngest]:
    """An ingest server on a loop and a thread of its own."""
    ingest, loop = FaultyIngest(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(ingest.__aenter__(), loop).result()
        yield ingest
        asyncio.run_coroutine_threadsafe(ingest.__aexit__(None, None, None), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_two_loops_and_eight_threads_share_one_client() -> None:
    """Turns of 2 loops and 8 threads at once are each stored once, by one owner (FAULTS Q13, Q14, G19)."""
    turns = form(200, 2_000)
    transport = MemoryTransport()
    client = LuminaClient(config(max_batch_bytes=20_000), transport=lambda _: transport)

    async def on_a_loop() -> None:
        session = await client.session.start()
        for number in range(turns):
            async with session.turn():
                await asyncio.sleep(0 if number % 10 else 0.001)
        assert await client.flush()

    def in_a_thread() -> None:
        session = asyncio.run(client.session.start())
        for _ in range(turns):
            session.turn().finish_nowait()

    async def main() -> None:
        async with client:
            work = [asyncio.to_thread(in_a_thread) for _ in range(8)]
            await asyncio.gather(on_a_loop(), asyncio.to_thread(lambda: asyncio.run(on_a_loop())), *work)
            assert await client.flush()
        assert_closed(await client.stats())

    asyncio.run(main())
    assert len(transport.turns) == 10 * turns
    assert transport.opened == transport.closed == 1


def test_a_thread_wakes_the_loop_that_sleeps() -> None:
    """What a thread without a loop hands over is taken in at once, not when the loop next wakes (FAULTS Q14)."""
    transport = MemoryTransport()

    async def main() -> None:
        async with LuminaClient(config(), transport=lambda _: transport) as client:
            turn = (await client.session.start()).turn()
            await client.flush()
            threading.Timer(0.05, turn.finish_nowait).start()
            # Nothing else would wake this loop.
            arrived = asyncio.get_running_loop().create_future()
            transport.always = lambda _: (arrived.set_result(None), STORED)[1]
            await asyncio.wait_for(arrived, 5)

    asyncio.run(main())
    assert len(transport.turns) == 1


async def test_tasks_cancelled_at_random_moments_lose_nothing() -> None:
    """Whatever task of the process is cancelled, again and again: every turn is stored once (FAULTS Q15)."""
    dice = random.Random(15)
    mine = asyncio.current_task()
    transport = MemoryTransport()
    async with recording(transport, max_batch_bytes=1_000) as (client, _):
        session = await client.session.start()
        for _ in range(form(300, 3_000)):
            async with session.turn():
                pass
            for _ in range(dice.randrange(4)):
                await asyncio.sleep(0)
            for task in asyncio.all_tasks() - {mine}:
                if dice.random() < 0.5:
                    task.cancel()
        assert await client.flush()
    assert len({turn["event_id"] for turn in transport.turns}) == form(300, 3_000)


async def test_a_flush_survives_a_sweep_over_all_tasks() -> None:
    """The flusher is cancelled while a flush waits: another takes over, and the flush ends well (FAULTS Q15, Q17)."""
    transport = MemoryTransport(hang=asyncio.Event())
    mine = asyncio.current_task()
    async with recording(transport) as (client, _):
        await record(client)
        await until(lambda: transport.payloads)
        for task in asyncio.all_tasks() - {mine}:
            task.cancel()
        transport.hang = None
        assert await client.flush(5)
    assert len(transport.turns) == 1


FINALIZING = f"""
import asyncio
import os
import sys
from lumina_async import LuminaClient, LuminaConfig

client = LuminaClient(LuminaConfig(endpoint="http://127.0.0.1:9", write_key={KEY!r}))

class Late:
    def __init__(self, turns):
        self.turns = turns
    def __del__(self, write=os.write, is_finalizing=sys.is_finalizing, stats=client.recorder.ledger.stats):
        self.turns.pop().finish_nowait()
        write(1, b"finalizing %r waiting %d" % (is_finalizing(), stats().waiting))

async def main():
    session = await client.session.start()
    return [session.turn(), session.turn()]

late = Late(asyncio.run(main()))
"""


def test_a_turn_that_ends_while_the_interpreter_does_is_only_counted() -> None:
    """In a finalising interpreter no task and no thread begins; the events count as waiting (FAULTS Q24)."""
    result = run(FINALIZING)
    # The session's beginning waited already, and was told of at exit; the turn came after that.
    assert result.stdout == "finalizing True waiting 2"
    assert result.stderr.startswith("1 events were never sent")
    assert (result.stderr.count("\n"), result.returncode) == (1, 0)


async def test_ten_thousand_open_turns_have_no_task_each() -> None:
    """10,000 turns open at once need memory in proportion, and no task (FAULTS Q27)."""
    async with recording() as (client, transport):
        session = await client.session.start()

        def open_turns(count: int) -> tuple[list[Turn], float]:
            tracemalloc.start()
            turns = [session.turn() for _ in range(count)]
            size = tracemalloc.get_traced_memory()[0] / count
            tracemalloc.stop()
            return turns, size

        tasks = len(asyncio.all_tasks())
        (few, size_of_few), (many, size_of_many) = open_turns(1_000), open_turns(9_000)
        assert len(asyncio.all_tasks()) == tasks
        assert size_of_many < 1.5 * size_of_few
        for turn in [*few, *many]:
            turn.finish_nowait()
        assert await client.flush()
        assert len(transport.turns) == 10_000


@pytest.mark.parametrize("method", ["flush", "shutdown"])
def test_a_flush_from_another_thread_survives_the_end_of_the_loop_that_sends(method: str) -> None:
    """When the loop that sends stops before it comes to a flush of another thread, that thread sends (FAULTS Q13)."""
    transport = MemoryTransport()
    client = LuminaClient(config(flush_interval_ms=60_000), transport=lambda _: transport)
    home = asyncio.new_event_loop()
    home.run_until_complete(record(client))
    is_busy, goes_on = threading.Event(), threading.Event()

    def end() -> None:
        is_busy.set()
        goes_on.wait()
        home.stop()

    async def in_another_thread() -> None:
        waiting = asyncio.create_task(getattr(client, method)())
        await asyncio.sleep(0.05)
        goes_on.set()
        await asyncio.wait_for(waiting, 10)

    home.call_soon(end)
    thread = threading.Thread(target=home.run_forever)
    thread.start()
    is_busy.wait()
    asyncio.run(in_another_thread())
    thread.join()
    home.close()
    asyncio.run(client.shutdown())
    stats = asyncio.run(client.stats())
    assert_closed(stats)
    assert stats.stored == 2


def test_work_that_is_collected_before_its_first_step_is_silent() -> None:
    """A loop that is closed before it runs our task once leaves no warning of a coroutine behind (FAULTS Q19)."""
    begun: list[str] = []

    async def work() -> None:
        begun.append("work")

    loop = asyncio.new_event_loop()
    loop.call_soon(start_task, work, "lumina-test")
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    gc.collect()
    assert begun == []
