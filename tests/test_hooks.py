"""Providers: told of turns and spans, and never able to disturb one."""

import asyncio
import gc
import time
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar
from typing import Any
from weakref import WeakSet

import attrs
import pytest
from support import MemoryTransport, config, recording, until

from lumina_async import (
    ConfigError,
    LuminaClient,
    NullUIProvider,
    Sampling,
    SystemAnalyticsProvider,
    UIAnalyticsProvider,
    _hooks,
)
from lumina_async._protocols import SpanContext, TurnContext


@attrs.define
class Screen:
    """A UI provider that keeps what it is told."""

    name: str = "screen"
    told: list[tuple[Any, ...]] = attrs.Factory(list)

    async def init(self) -> None:
        self.told.append(("init",))

    async def get_session_id(self) -> str:
        return "ph_session"

    async def get_replay_url(self) -> str:
        return "https://example.com/replay/1"

    async def tag_turn(self, context: TurnContext) -> None:
        self.told.append(("tag", context.turn_id, context.seq))

    async def untag_turn(self, context: TurnContext) -> None:
        self.told.append(("untag", getattr(context, "turn_id", None)))

    async def start_replay(self) -> None: ...

    async def stop_replay(self) -> None: ...

    async def capture_event(self, name: str, properties: Mapping[str, Any]) -> None:
        self.told.append((name, dict(properties)))

    async def identify(self, user_id: str, properties: Mapping[str, Any]) -> None:
        self.told.append(("identify", user_id, dict(properties)))

    async def alias(self, previous_id: str, user_id: str) -> None:
        self.told.append(("alias", previous_id, user_id))

    async def reset(self) -> None:
        self.told.append(("reset",))

    async def shutdown(self) -> None:
        self.told.append(("shutdown",))


@attrs.define
class Tracer:
    """A system provider that keeps what it is told."""

    name: str = "tracer"
    told: list[tuple[Any, ...]] = attrs.Factory(list)

    async def start_turn(self, context: TurnContext) -> str:
        self.told.append(("start_turn", context.turn_id, context.distinct_id))
        return f"ref-{context.turn_id}"

    async def end_turn(self, ref: Any, status: str, meta: Mapping[str, Any]) -> None:
        self.told.append(("end_turn", ref, status, meta["error"]))

    async def start_span(self, context: SpanContext) -> tuple[str, str]:
        assert context.turn_ref == f"ref-{context.turn.turn_id}"
        return (context.kind, context.name)

    async def end_span(self, ref: Any, status: str, meta: Mapping[str, Any]) -> None:
        self.told.append(("span", ref, status, meta["error"]))

    async def shutdown(self) -> None:
        self.told.append(("shutdown",))


def test_the_providers_here_are_what_the_protocols_ask_for() -> None:
    """Type checkers and people read the same protocols."""
    screen: UIAnalyticsProvider = Screen()
    tracer: SystemAnalyticsProvider = Tracer()
    assert (screen.name, tracer.name, NullUIProvider().name) == ("screen", "tracer", "none")


async def test_a_turn_gets_the_session_and_the_replay_of_the_screen_by_itself() -> None:
    """ui.session_id and ui.replay_url come from the UI provider; it is tagged and untagged (SPEC 5)."""
    screen = Screen()
    async with recording(ui_analytics=screen) as (client, transport):
        async with (await client.session.start()).turn() as t:
            assert ("tag", t.turn_id, 1) in screen.told
        by_hand = (await client.session.start()).turn()
        await by_hand.wrap_llm(lambda: 1)
        await by_hand.finish()
    assert [turn["ui"] for turn in transport.turns] == [
        {"session_id": "ph_session", "replay_url": "https://example.com/replay/1"}
    ] * 2
    assert screen.told[0] == ("init",)
    assert screen.told[-1] == ("shutdown",)
    assert [told[1] for told in screen.told if told[0] == "untag"] == [t.turn_id, by_hand.turn_id]


async def test_the_screen_is_told_who_it_is() -> None:
    """identify and reset reach the UI provider; one without these hooks is left alone."""
    screen = Screen()
    async with recording(ui_analytics=screen) as (client, _):
        visitor = await client.get_distinct_id()
        await client.identify("user_1", {"plan": "pro"})
        await client.identify("user_2")
        await client.reset()
        await until(lambda: ("reset",) in screen.told)
    who = [told for told in screen.told if told[0] in {"alias", "identify"}]
    assert who == [("alias", visitor, "user_1"), ("identify", "user_1", {"plan": "pro"}), ("identify", "user_2", {})]


async def test_a_tracer_is_told_of_the_turn_and_of_its_calls() -> None:
    """start_turn at the beginning, spans and end_turn when it is over, with names and errors."""
    tracer = Tracer()
    async with recording(system_analytics=tracer) as (client, _):
        with suppress(ZeroDivisionError):
            async with (await client.session.start()).turn() as t:
                await t.wrap_llm(lambda: 1, model="gpt")
                await t.record_tool("divide", lambda: 1 / 0)
    assert [told[0] for told in tracer.told] == ["start_turn", "span", "span", "end_turn", "shutdown"]
    assert tracer.told[1:4] == [
        ("span", ("llm", "gpt"), "ok", None),
        ("span", ("tool", "divide"), "error", "ZeroDivisionError"),
        ("end_turn", f"ref-{t.turn_id}", "error", "ZeroDivisionError"),
    ]


async def test_spans_are_sampled_by_session() -> None:
    """With sampling.span=0 the tracer hears nothing, and the turns are recorded all the same."""
    tracer = Tracer()
    async with recording(system_analytics=tracer, sampling=Sampling(span=0)) as (client, transport):
        async with (await client.session.start()).turn():
            pass
    assert tracer.told == [("shutdown",)]
    assert len(transport.turns) == 1


class Trouble(Screen):
    """A provider whose hook does what `trouble` says."""

    trouble: Any = None
    calls: int = 0

    async def tag_turn(self, context: TurnContext) -> None:
        Trouble.calls += 1
        await Trouble.trouble()


async def hang() -> None:
    await asyncio.Event().wait()


async def fail() -> None:
    raise ValueError("gi_secret in a provider")


async def wait_for_what_was_cancelled() -> None:
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


async def block() -> None:
    time.sleep(0.03)  # noqa: ASYNC251  (a provider that blocks is what this is about)


@pytest.mark.parametrize("trouble", [hang, fail, wait_for_what_was_cancelled, block])
async def test_a_hook_that_fails_is_logged_once_and_given_up_after_five(
    trouble: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Turns go on; after five failures in a row the hook is called no more (FAULTS V13)."""
    monkeypatch.setattr(_hooks, "HOOK_SECONDS", 0.01)
    Trouble.trouble, Trouble.calls = staticmethod(trouble), 0
    async with recording(ui_analytics=Trouble()) as (client, transport):
        session = await client.session.start()
        for _ in range(8):
            async with session.turn():
                pass
    assert Trouble.calls == 5
    assert len(transport.turns) == 8
    assert all(turn["ui"]["session_id"] == "ph_session" for turn in transport.turns)
    assert caplog.text.count("turns go on without it") == 1
    assert caplog.text.count("is not called any more") == 1
    assert "gi_secret" not in caplog.text


async def test_a_hook_at_the_end_of_a_turn_that_is_cancelled_holds_up_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What a provider waits for may be cancelled by itself: the task of the hooks goes on, and so does shutdown."""

    class Cancelled(Screen):
        async def untag_turn(self, context: TurnContext) -> None:
            await super().untag_turn(context)
            await wait_for_what_was_cancelled()

    screen = Cancelled()
    async with recording(ui_analytics=screen) as (client, _):
        session = await client.session.start()
        for _ in range(2):
            async with session.turn():
                pass
    assert [told[0] for told in screen.told] == ["init", "tag", "tag", "untag", "untag", "shutdown"]
    assert "the hook screen.untag_turn raised CancelledError" in caplog.text


async def test_who_cancels_a_turn_while_a_hook_runs_is_obeyed() -> None:
    """The cancellation of the app's own task passes, and is no failure of the hook."""
    began = asyncio.Event()

    async def hang_on() -> None:
        began.set()
        await hang()

    async def turn() -> None:
        async with (await client.session.start()).turn():
            raise AssertionError("cancelled before the block")

    Trouble.trouble = staticmethod(hang_on)
    async with recording(ui_analytics=Trouble()) as (client, _):
        task = asyncio.create_task(turn())
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_junk_from_a_provider_is_left_out() -> None:
    """A session id that is no text and a URL that is none do not reach the wire (FAULTS V13)."""

    class Junk(Screen):
        async def get_session_id(self) -> Any:
            return None

        def get_replay_url(self) -> Any:
            return object()

    async with recording(ui_analytics=Junk()) as (client, transport):
        async with (await client.session.start()).turn():
            pass
    assert "ui" not in transport.turns[0]


async def test_shutdown_does_not_wait_for_a_provider_that_hangs() -> None:
    """One deadline for everything (SPEC 9)."""

    class Stuck(Screen):
        async def untag_turn(self, context: TurnContext) -> None:
            await hang()

        async def shutdown(self) -> None:
            await hang()

    transport = MemoryTransport()
    client = LuminaClient(config(ui_analytics=Stuck()), transport=lambda _: transport)
    await client.init(config(ui_analytics=client._config.ui_analytics if client._config else None))
    async with (await client.session.start()).turn():
        pass
    started = time.monotonic()
    await client.shutdown(timeout=0.2)
    assert time.monotonic() - started < 5
    assert len(transport.turns) == 1


async def test_shutdown_says_of_how_many_turns_the_providers_were_not_told(caplog: pytest.LogCaptureFixture) -> None:
    """Those that wait when its time is over, and the one in hand; told in time, there is no such line."""

    class Slow(Tracer):
        async def end_turn(self, ref: Any, status: str, meta: Mapping[str, Any]) -> None:
            await release.wait()

    release = asyncio.Event()
    for seconds in (0.05, 5.0):
        async with recording(system_analytics=Slow()) as (client, transport):
            session = await client.session.start()
            for _ in range(3):
                async with session.turn():
                    pass
            await client.shutdown(timeout=seconds)
        assert len(transport.turns) == 3
        release.set()
    assert caplog.text.count("before the providers were told") == 1
    assert "told of 3 turns" in caplog.text


async def test_a_turn_by_hand_that_is_dropped_leaves_nothing_with_the_hooks() -> None:
    """What the provider gave for it is let go with the turn, not when thousands of others have come."""

    class Ref: ...

    class Refs(Tracer):
        async def start_turn(self, context: TurnContext) -> Any:
            refs.add(ref := Ref())
            return ref

    refs: WeakSet[Ref] = WeakSet()
    async with recording(system_analytics=Refs()) as (client, _):
        session = await client.session.start()
        for _ in range(3):
            await session.turn().wrap_llm(lambda: 1)
        gc.collect()
        assert len(refs) == 0


@pytest.mark.parametrize("option", ["ui_analytics", "system_analytics"])
def test_what_is_no_provider_is_refused(option: str) -> None:
    """The error names the hooks that are missing."""
    with pytest.raises(ConfigError, match=f"{option} lacks .*turn"):
        config(**{option: object()})


@attrs.define
class Reader(Screen):
    """A UI provider that reads finished turns, and looks where it is told."""

    async def get_window_id(self) -> str:
        return "w1"

    async def turn_ended(self, context: TurnContext, facts: Mapping[str, Any]) -> None:
        self.told.append(("turn_ended", context.turn_id, facts, _here.get()))


_here: ContextVar[str] = ContextVar("here", default="nowhere")


async def test_a_provider_may_read_the_turn_as_it_went_out() -> None:
    """turn_ended gets the event under the names of the wire, and runs in the context of its own turn."""
    reader = Reader()
    async with recording(ui_analytics=reader) as (client, transport):

        async def one(place: str) -> tuple[str, str]:
            _here.set(place)
            async with client.scope(), (await client.session.start()).turn() as turn:
                await turn.set_messages([{"role": "user", "content": "ada@example.com"}])
            return turn.turn_id, place

        turns = dict(await asyncio.gather(one("here"), one("there")))
        await client.flush()
    ended = [told for told in reader.told if told[0] == "turn_ended"]
    assert {told[1]: told[3] for told in ended} == turns
    assert [told[2] for told in ended] == transport.turns
    assert ended[0][2]["messages"] == [{"role": "user", "content": "[EMAIL]"}]
    assert ended[0][2]["ui"]["window_id"] == "w1"


async def test_a_provider_that_falls_behind_does_not_fill_memory(caplog: pytest.LogCaptureFixture) -> None:
    """What ten thousand hooks wait for is told no more, with one line; the turns themselves are all stored."""
    count = _hooks.MAX_WAITING + 50
    screen = Screen()
    async with recording(ui_analytics=screen, capture_transcript="none") as (client, transport):
        for _ in range(count):
            # Without a pause: the hook task gets no turn of its own meanwhile.
            client.session.recorder.hooks.tell_ui("untag_turn", None)  # type: ignore[union-attr]
        async with (await client.session.start()).turn():
            pass
        await client.flush()
        assert len(transport.turns) == 1
    assert caplog.text.count("the providers are too slow") == 1


async def test_a_turn_that_is_sampled_out_is_told_to_no_reader() -> None:
    """What does not go out is not handed to another product either; tags and untags come all the same."""
    reader = Reader()
    async with recording(ui_analytics=reader, sampling=Sampling(turn=0.0)) as (client, _):
        async with (await client.session.start()).turn():
            pass
    assert [told[0] for told in reader.told] == ["init", "tag", "untag", "shutdown"]


async def test_a_system_provider_may_read_the_turn_too() -> None:
    """Before its spans are told and its turn ends, and only where the turn was told to it."""

    @attrs.define
    class Deep(Tracer):
        async def turn_ended(self, context: TurnContext, facts: Mapping[str, Any]) -> None:
            self.told.append(("turn_ended", context.turn_id, facts["status"]))

    deep = Deep()
    async with recording(system_analytics=deep) as (client, _):
        async with (await client.session.start()).turn() as turn:
            pass
    assert [told[0] for told in deep.told] == ["start_turn", "turn_ended", "end_turn", "shutdown"]
    assert deep.told[1] == ("turn_ended", turn.turn_id, "ok")
