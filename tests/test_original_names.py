"""A test for each row of the table of names in SPEC 2, named after the row: what the original offers, here."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from support import MemoryTransport, config, recording
from test_hooks import Screen, Tracer

import lumina_async
from lumina_async import (
    CaptureTranscript,
    ChatInputTracker,
    ConfigError,
    LuminaClient,
    NullUIProvider,
    SystemAnalyticsProvider,
    UIAnalyticsProvider,
)


async def test_lumina_init() -> None:
    """`await Lumina.init(...)` returns the client; the same again is a no-op; another one names its fields."""
    client = LuminaClient(transport=lambda _: MemoryTransport())
    given = {"endpoint": "http://127.0.0.1:9", "write_key": "gi_test_key_000", "mask_fn": str.upper}
    assert await client.init(**given) is client
    await client.init(**given)
    with pytest.raises(ConfigError, match="another capture_transcript, mask_fn;"):
        await client.init(**(given | {"mask_fn": str.lower, "capture_transcript": CaptureTranscript.NONE}))
    await client.shutdown()
    await client.init(**(given | {"mask_fn": str.lower}))
    await client.shutdown()


def test_at_import_time_several_clients_tests() -> None:
    """LuminaClient may be built without a loop; `async with`, or its first use inside a loop, starts it."""
    one, two = MemoryTransport(), MemoryTransport()
    clients = LuminaClient(config(), transport=lambda _: one), LuminaClient(config(), transport=lambda _: two)

    async def main() -> None:
        async with clients[0], clients[1]:
            for client in clients:
                async with (await client.session.start()).turn():
                    pass

    asyncio.run(main())
    assert len(one.turns) == len(two.turns) == 1


async def test_lumina_is_initialized() -> None:
    """`Lumina.is_initialized` is an attribute."""
    client = LuminaClient(transport=lambda _: MemoryTransport())
    assert client.is_initialized is False
    await client.init(config())
    assert client.is_initialized is True
    await client.shutdown()
    assert client.is_initialized is False


async def test_session_start() -> None:
    """`start(pointers=None, session_id=None, user_id=None, new=False)` gives a Session."""
    async with recording() as (client, transport):
        session = await client.session.start({"ticket": 7}, "chat_42", "user_1", True)
        assert isinstance(session, lumina_async.Session)
    [event] = transport.stored
    assert (event["pointers"], event["session_id"], event["distinct_id"]) == ({"ticket": 7}, "chat_42", "user_1")


async def test_session_session_id() -> None:
    """`session_id`, `trace_id`, `traceparent`, `headers` are attributes; `resume(headers)` goes on elsewhere."""
    async with recording() as (client, _):
        session = await client.session.start()
        assert session.session_id == session.trace_id
        assert session.headers["traceparent"] == session.traceparent
        async with client.scope():
            assert (await client.session.resume(session.headers)).trace_id == session.trace_id


async def test_session_turn() -> None:
    """`session.turn()` by `async with`, or by hand with `await t.finish()`."""
    async with recording() as (client, transport):
        session = await client.session.start()
        async with session.turn():
            pass
        by_hand = session.turn()
        await by_hand.finish()
    assert len(transport.turns) == 2


async def test_turn_wrap_llm() -> None:
    """`await t.wrap_llm(fn, meta=None, /, **meta)`: keywords win over the mapping."""
    async with recording() as (client, transport):
        async with (await client.session.start()).turn() as t:
            assert (
                await t.wrap_llm(lambda: "x", {"model": "a", "prompt_id": "p", "k": 1}, model="b", provider="q") == "x"
            )
    [call] = transport.turns[0]["llm"]
    assert (call["model"], call["prompt_id"], call["provider"], call["meta"]) == ("b", "p", "q", {"k": 1})


async def test_turn_record_tool() -> None:
    """`await t.record_tool(name, fn, meta=None, /, **meta)`: type, target, version, input, output, and more."""
    async with recording() as (client, transport):
        async with (await client.session.start()).turn() as t:
            given = {"type": "db", "target": "pg", "version": "1", "input": 1, "output": 2}
            assert await t.record_tool("search", lambda: "x", given, top=3) == "x"
    [tool] = transport.turns[0]["tools"]
    assert {key: tool[key] for key in given} == given
    assert (tool["name"], tool["meta"]) == ("search", {"top": 3})


async def test_turn_add_retrieval() -> None:
    """`await t.add_retrieval(info=None, /, *, source=, query=, results=[...])`."""
    async with recording() as (client, transport):
        async with (await client.session.start()).turn() as t:
            await t.add_retrieval({"source": "docs", "query": "a", "results": []})
            await t.add_retrieval(source="docs", query="b", results=[{"id": "1", "score": 0.5}])
    assert [found["query"] for found in transport.turns[0]["retrievals"]] == ["a", "b"]


async def test_turn_set_messages() -> None:
    """`await t.set_messages(messages)` replaces."""
    async with recording() as (client, transport):
        async with (await client.session.start()).turn() as t:
            await t.set_messages([{"role": "user", "content": "one"}])
            await t.set_messages([{"role": "user", "content": "two"}])
    assert transport.turns[0]["messages"] == [{"role": "user", "content": "two"}]


async def test_turn_annotate() -> None:
    """`await t.annotate(data=None, /, **data)` merges, the last wins per key."""
    async with recording() as (client, transport):
        async with (await client.session.start()).turn() as t:
            await t.annotate({"a": 1, "b": 1}, b=2)
            await t.annotate(c=3, a=4)
    assert transport.turns[0]["annotations"] == {"a": 4, "b": 2, "c": 3}


async def test_turn_finish() -> None:
    """`await t.finish(error=None)` is idempotent and never waits for the network."""
    transport = MemoryTransport(hang=asyncio.Event())
    async with recording(transport) as (client, _):
        turn = (await client.session.start()).turn()
        await turn.finish(error=ValueError("told"))
        await turn.finish()
        assert transport.hang is not None
        transport.hang.set()
    assert [turn["status"] for turn in transport.turns] == ["error"]


async def test_turn_ids() -> None:
    """`t.turn_id` (16 hex digits), `t.seq`, `t.traceparent`."""
    async with recording() as (client, transport):
        session = await client.session.start()
        async with session.turn() as t:
            assert (len(t.turn_id), int(t.turn_id, 16) > 0, t.seq) == (16, True, 1)
            assert t.traceparent == f"00-{session.trace_id}-{t.turn_id}-01"
    assert transport.turns[0]["turn_id"] == t.turn_id


async def test_feedback() -> None:
    """`await Lumina.feedback(turn_id, score=None, label=None, comment=None, source="user", kind="feedback")`."""
    async with recording() as (client, transport):
        await client.feedback("00f067aa0ba902b7", 1, "up", "fine", "user", "feedback")
    assert transport.stored[0]["name"] == "feedback"
    assert transport.stored[0]["comment"] == "fine"


async def test_identify() -> None:
    """`await Lumina.identify(user_id, properties=None, new_session=None)`."""
    async with recording() as (client, transport):
        await client.identify("user_1", {"plan": "pro"}, True)
    assert transport.stored[0]["properties"] == {"plan": "pro"}


async def test_reset_get_distinct_id_is_anonymous() -> None:
    """`await Lumina.reset()`, `get_distinct_id()`, `is_anonymous()`."""
    async with recording() as (client, _):
        await client.identify("user_1")
        assert (await client.get_distinct_id(), await client.is_anonymous()) == ("user_1", False)
        await client.reset()
        assert (await client.get_distinct_id()).startswith("anon_")
        assert await client.is_anonymous()


async def test_lumina_flush() -> None:
    """`await Lumina.flush(timeout=10.0) -> bool`."""
    async with recording(flush_interval_ms=3_600_000) as (client, transport):
        async with (await client.session.start()).turn():
            pass
        assert await client.flush(10.0) is True
        assert len(transport.turns) == 1


async def test_shutdown() -> None:
    """`await Lumina.shutdown(timeout=5.0)` sends what waits; a second call does nothing."""
    transport = MemoryTransport()
    client = LuminaClient(transport=lambda _: transport)
    await client.init(config(flush_interval_ms=3_600_000))
    async with (await client.session.start()).turn():
        pass
    await client.shutdown(5.0)
    await client.shutdown()
    assert len(transport.turns) == 1


async def test_chat_input_tracker() -> None:
    """`ChatInputTracker(ui_provider, session_id, client=Lumina)` with its three coroutines."""
    async with recording() as (client, transport):
        tracker = ChatInputTracker(NullUIProvider(), "chat_42", client=client)
        await tracker.on_input_start()
        await tracker.on_message_submit("m1", "text")
        await tracker.on_input_start()
        await tracker.on_input_abandoned("text")
    assert [event["name"] for event in transport.stored] == [
        "chat_input_started",
        "chat_message_submitted",
        "chat_input_started",
        "chat_input_abandoned",
    ]


async def test_dummy_provider() -> None:
    """`NullUIProvider()` is named "none", gives empty strings, and is the default."""
    provider = NullUIProvider()
    assert (provider.name, await provider.get_session_id(), await provider.get_replay_url()) == ("none", "", "")
    assert config().ui_analytics == provider


UI_HOOKS = "init get_session_id get_replay_url tag_turn untag_turn start_replay stop_replay capture_event shutdown"


@pytest.mark.parametrize("hook", UI_HOOKS.split())
def test_ui_analytics_provider(hook: str) -> None:
    """`name` and these coroutines."""
    provider: UIAnalyticsProvider = Screen()
    assert asyncio.iscoroutinefunction(getattr(provider, hook))
    assert asyncio.iscoroutinefunction(getattr(UIAnalyticsProvider, hook))


@pytest.mark.parametrize("hook", ["start_turn", "end_turn", "start_span", "end_span", "shutdown"])
def test_system_analytics_provider(hook: str) -> None:
    """`name` and these coroutines; `start_*` return an opaque ref."""
    provider: SystemAnalyticsProvider = Tracer()
    assert asyncio.iscoroutinefunction(getattr(provider, hook))
    assert asyncio.iscoroutinefunction(getattr(SystemAnalyticsProvider, hook))


def test_under_trio_the_error_is_clear() -> None:
    """Asyncio only: on another event loop `init` is a ConfigError that says so (SPEC 1)."""
    code = """
import lumina_async
coroutine = lumina_async.Lumina.init(endpoint="http://127.0.0.1:9", write_key="gi_x")
try:
    coroutine.send(None)
except lumina_async.ConfigError as error:
    print(error)
"""
    told: Any = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "runs on asyncio" in told.stdout
