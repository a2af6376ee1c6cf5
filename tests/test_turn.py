"""Turns: what is recorded, how they end, and that the app gets back exactly what its own code gives."""

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest
from support import MemoryTransport, recording, until

from lumina_async import Message, Turn, current_turn
from lumina_async.testing import FakeClock


class Boom(Exception):
    pass


async def fail() -> None:
    raise Boom("it broke")


async def test_a_block_becomes_one_event_with_its_call_and_transcript() -> None:
    """A turn is stored once, with latency, model, prompt id, metadata, messages and annotations."""
    clock = FakeClock()

    async def model() -> str:
        await clock.advance(0.002)
        return "Hi"

    async with recording(clock=clock, capture_transcript="full") as (client, transport):
        session = await client.session.start()
        async with session.turn() as t:
            reply = await t.wrap_llm(model, model="m", prompt_id="p", temperature=0.5)
            await t.set_messages([{"role": "user", "content": "Hello"}, Message("assistant", reply)])
            await t.annotate({"a": 1, "b": 2}, b=3)
            await clock.advance(0.001)
    [turn] = transport.turns
    [call] = turn["llm"]
    assert turn["status"] == call["status"] == "ok"
    assert turn["turn_id"] == t.turn_id
    assert turn["session_id"] == turn["trace_id"] == session.session_id
    assert turn["messages"] == [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]
    assert turn["annotations"] == {"a": 1, "b": 3}
    assert (call["model"], call["prompt_id"], call["meta"]) == ("m", "p", {"temperature": 0.5})
    assert (turn["latency_ms"], call["latency_ms"]) == (3, 2)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Boom("x"), "error"),
        (ExceptionGroup("g", [Boom("x")]), "error"),
        (SystemExit(3), "error"),
        (asyncio.CancelledError(), "cancelled"),
        (GeneratorExit(), "cancelled"),
        (KeyboardInterrupt(), "cancelled"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else value,
)
async def test_an_exception_that_leaves_the_block_gives_the_status(error: BaseException, status: str) -> None:
    """The exception goes on unchanged, and the turn is stored once with its status (FAULTS V10)."""
    async with recording() as (client, transport):
        session = await client.session.start()
        with pytest.raises(type(error)) as caught:
            async with session.turn():
                raise error
        assert caught.value is error
    assert [turn["status"] for turn in transport.turns] == [status]


async def test_an_error_is_told_without_source_locals_or_folders() -> None:
    """An error holds type, message, and a stack of module:function:line (FAULTS V14)."""
    async with recording() as (client, transport):
        with pytest.raises(Boom):
            async with (await client.session.start()).turn() as t:
                await t.wrap_llm(fail)
    error = transport.turns[0]["error"]
    assert error["type"] == "test_turn.Boom"
    assert error["message"] == "it broke"
    assert error["stack"][-1].startswith("test_turn:fail:")
    assert not any("/" in frame for frame in error["stack"])


async def test_an_error_that_the_app_caught_does_not_count() -> None:
    """The call is an error, the turn is not."""
    async with recording() as (client, transport):
        async with (await client.session.start()).turn() as t:
            with pytest.raises(Boom):
                await t.wrap_llm(fail)
            await t.wrap_llm(lambda: 1)
    [turn] = transport.turns
    assert turn["status"] == "ok"
    assert [call["status"] for call in turn["llm"]] == ["error", "ok"]


async def test_by_hand_the_last_call_gives_the_status() -> None:
    """A turn by hand has the status of its last call, or that of the error given to finish."""
    async with recording() as (client, transport):
        session = await client.session.start()
        by_call, by_error = session.turn(), session.turn()
        with pytest.raises(Boom):
            await by_call.wrap_llm(fail)
        await by_call.finish()
        await by_error.finish(error=Boom("told"))
    assert [turn["status"] for turn in transport.turns] == ["error", "error"]
    assert transport.turns[1]["error"]["message"] == "told"


async def test_finish_is_idempotent_from_many_tasks() -> None:
    """However often and from however many tasks a turn is finished, one event is stored (FAULTS Q4)."""
    async with recording() as (client, transport):
        turn = (await client.session.start()).turn()
        await asyncio.gather(*(turn.finish() for _ in range(100)))
        turn.finish_nowait()
    assert len(transport.turns) == 1


async def test_after_the_end_calls_run_and_nothing_is_recorded() -> None:
    """wrap_llm after finish runs the function, set_messages and annotate do nothing (FAULTS Q5)."""
    async with recording() as (client, transport):
        turn = (await client.session.start()).turn()
        await turn.finish()
        assert await turn.wrap_llm(lambda: "ran") == "ran"
        await turn.set_messages([{"role": "user", "content": "late"}])
        await turn.annotate(late=True)
    assert "messages" not in transport.turns[0]
    assert "annotations" not in transport.turns[0]


async def test_wrap_llm_takes_every_kind_of_work_and_runs_it_once() -> None:
    """A coroutine function, a coroutine, a task, a function, a value: each gives its own result (FAULTS V11)."""
    runs: list[str] = []

    async def work() -> list[str]:
        runs.append("ran")
        return runs

    def plain() -> list[str]:
        runs.append("ran")
        return runs

    async with recording() as (client, _):
        async with (await client.session.start()).turn() as t:
            for given in (work, work(), asyncio.ensure_future(work()), plain, lambda: work()):
                assert await t.wrap_llm(given) is runs
            assert await t.wrap_llm(runs) is runs  # type: ignore[call-overload]
    assert len(runs) == 5


async def test_wrap_llm_re_raises_the_very_exception() -> None:
    """The same object comes out, raised where it was raised (FAULTS V9)."""
    error = Boom("this one")

    async def broken() -> None:
        raise error

    async with recording() as (client, _):
        async with (await client.session.start()).turn() as t:
            with pytest.raises(Boom) as caught:
                await t.wrap_llm(broken)
    assert caught.value is error
    assert caught.value.__cause__ is None
    assert caught.traceback[-1].name == "broken"


async def test_keywords_win_over_the_mapping() -> None:
    """Of the same key in the mapping and the keywords the keyword counts (SPEC 2)."""
    async with recording() as (client, transport):
        async with (await client.session.start()).turn() as t:
            await t.wrap_llm(lambda: 1, {"model": "a", "x": 1}, model="b", x=2)
    assert transport.turns[0]["llm"][0]["model"] == "b"
    assert transport.turns[0]["llm"][0]["meta"] == {"x": 2}


async def test_what_is_handed_over_is_read_at_the_call() -> None:
    """Changing messages or annotations later changes nothing (FAULTS V5)."""
    messages, facts = [{"role": "user", "content": "then"}], {"list": [1]}
    async with recording(capture_transcript="full") as (client, transport):
        async with (await client.session.start()).turn() as t:
            await t.set_messages(messages)
            await t.annotate(facts)
            messages[0]["content"] = "now"
            facts["list"].append(2)
    assert transport.turns[0]["messages"][0]["content"] == "then"
    assert transport.turns[0]["annotations"] == {"list": [1]}


async def test_the_current_turn_follows_blocks_and_tasks() -> None:
    """A block is current within itself and its tasks; an inner one has the outer as its parent."""
    async with recording() as (client, transport):
        session = await client.session.start()
        assert current_turn() is None
        async with session.turn() as outer:
            async with session.turn() as inner:
                assert await asyncio.create_task(_current()) is inner
            assert current_turn() is outer
        assert current_turn() is None
    assert transport.turns[0]["parent_id"] == outer.turn_id
    assert "parent_id" not in transport.turns[1]


async def _current() -> Turn | None:
    return current_turn()


async def test_a_finished_turn_is_never_current() -> None:
    """A task that outlives the block sees no turn, and one it begins has no parent."""
    release = asyncio.Event()

    async def later() -> Turn | None:
        await release.wait()
        return current_turn()

    async with recording() as (client, _):
        async with (await client.session.start()).turn():
            task = asyncio.create_task(later())
            await asyncio.sleep(0)
        release.set()
        assert await task is None


async def test_a_turn_that_is_dropped_counts_as_unfinished() -> None:
    """A turn collected before finish is lost under its reason, and nothing is sent from the collector (FAULTS Q7)."""
    async with recording() as (client, transport):
        (await client.session.start()).turn()
        gc.collect()
        assert dict((await client.stats()).lost) == {"unfinished": 1}
    assert transport.turns == []


async def test_a_cancelled_turn_has_no_error() -> None:
    """Nothing went wrong; and what anyio and the frameworks write into a cancellation names files of the machine."""
    async with recording() as (client, transport):
        session = await client.session.start()
        with pytest.raises(asyncio.CancelledError):
            async with session.turn():
                raise asyncio.CancelledError("cancelled by <Task coro=<app() running at /srv/app/main.py:1>>")
    [turn] = transport.turns
    assert turn["status"] == "cancelled"
    assert "error" not in turn


async def test_cancelled_on_the_way_out_the_turn_is_stored_and_the_cancellation_goes_on() -> None:
    """`finally: await t.finish()` in a cancelled task stores the turn once and swallows nothing (FAULTS V12)."""
    started = asyncio.Event()

    async with recording() as (client, transport):

        async def handler() -> None:
            turn = (await client.session.start()).turn()
            try:
                started.set()
                await turn.wrap_llm(lambda: asyncio.sleep(60))
            finally:
                await turn.finish()

        task = asyncio.create_task(handler())
        await started.wait()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert [turn["status"] for turn in transport.turns] == ["cancelled"]


async def test_finish_never_waits_for_the_network() -> None:
    """With a server that never answers a turn ends at once, and its event waits."""
    transport = MemoryTransport(hang=asyncio.Event())
    async with recording(transport) as (client, _):
        session = await client.session.start()
        await until(lambda: transport.payloads)
        async with session.turn():
            pass
        stats = await client.stats()
        assert (stats.queued, stats.in_flight) == (1, 1)
        assert transport.hang is not None
        transport.hang.set()


async def test_one_turn_in_many_tasks_loses_no_annotation() -> None:
    """Fifty tasks annotate one turn, and every key is there (FAULTS Q6)."""
    async with recording() as (client, transport):
        async with (await client.session.start()).turn() as t:
            await asyncio.gather(*(t.annotate({f"k{i}": i}) for i in range(50)))
    assert transport.turns[0]["annotations"] == {f"k{i}": i for i in range(50)}


@pytest.mark.parametrize("odd", ["text", 7, [1], object()], ids=["text", "number", "list", "object"])
async def test_what_is_no_mapping_is_left_out_with_a_warning(odd: Any, caplog: pytest.LogCaptureFixture) -> None:
    """No method raises into a request for what it is given (SPEC 12)."""
    async with recording() as (client, transport):
        async with (await client.session.start(pointers=odd)).turn() as t:
            await t.annotate(odd, kept=1)
            assert await t.wrap_llm(lambda: 1, odd, model="m") == 1
            assert await t.record_tool("x", lambda: 2, odd) == 2
            await t.add_retrieval(odd, source="docs")
        await client.identify("user_1", odd)
        await client.session.resume(odd)
    [turn] = transport.turns
    assert turn["annotations"] == {"kept": 1}
    assert turn["llm"][0]["model"] == "m"
    assert caplog.text.count("where a mapping like") == 1


async def test_an_error_is_told_where_the_working_folder_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The app's exception stays what it is, and the turn is stored."""
    (gone := tmp_path / "gone").mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    async with recording() as (client, transport):
        with pytest.raises(Boom, match="it broke"):
            async with (await client.session.start()).turn():
                await fail()
    assert transport.turns[0]["error"]["message"] == "it broke"
