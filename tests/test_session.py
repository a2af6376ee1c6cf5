"""Scopes and sessions: who is who, and which conversation, without a mix-up."""

import asyncio
import random
from typing import Any

import pytest
from support import recording

from lumina_async import LuminaClient


async def test_start_gives_the_same_session_until_a_new_one_is_wanted() -> None:
    """Repeated calls reuse the trace id; new=True and another id begin another session."""
    async with recording() as (client, transport):
        first = await client.session.start()
        assert await client.session.start() is first
        second = await client.session.start(new=True)
        third = await client.session.start(session_id="chat_42")
        assert await client.session.start(session_id="chat_42") is third
        assert len({first.trace_id, second.trace_id, third.trace_id}) == 3
    assert [event["name"] for event in transport.stored] == ["session_started"] * 3


async def test_a_session_id_of_the_apps_own_gives_every_worker_one_trace_id() -> None:
    """Two clients agree on the trace of `chat_42`; without an id the session id is the trace id (SPEC 4)."""
    traces: list[str] = []
    for _ in range(2):
        async with recording() as (client, _), client.scope():
            session = await client.session.start(session_id="chat_42")
            traces.append(session.trace_id)
            assert session.session_id == "chat_42"
            assert session.traceparent.startswith(f"00-{session.trace_id}-")
    assert traces[0] == traces[1] == "53a2c422ad3fe75a9ab0739c6d77c3fe"


async def test_pointers_are_sent_once_and_again_when_there_are_more() -> None:
    """Pointers of later calls are merged and sent again; a call without any sends nothing."""
    async with recording() as (client, transport):
        await client.session.start(pointers={"ticket": "T-1"})
        await client.session.start()
        await client.session.start(pointers={"replay": "https://example.com/r"})
    assert [event["pointers"] for event in transport.stored] == [
        {"ticket": "T-1"},
        {"ticket": "T-1", "replay": "https://example.com/r"},
    ]


async def test_the_same_pointers_are_told_once() -> None:
    """Requests that give the same pointers to one conversation tell them once."""
    async with recording() as (client, transport):
        for _ in range(3):
            async with client.scope():
                await client.session.start(pointers={"ticket": "T-1"}, session_id="chat_42")
    assert [event["pointers"] for event in transport.stored] == [{"ticket": "T-1"}]


async def test_a_session_is_announced_once_per_process() -> None:
    """Requests that each open a scope for one conversation send one session_started and count its turns on."""
    async with recording() as (client, transport):
        for _ in range(3):
            async with client.scope(session_id="chat_42"), (await client.session.start()).turn():
                pass
    assert [event["name"] for event in transport.stored] == ["session_started", "turn", "turn", "turn"]
    assert [turn["seq"] for turn in transport.turns] == [1, 2, 3]


async def test_a_turn_belongs_to_the_user_in_force_when_it_begins() -> None:
    """An anonymous visitor keeps one id; a known user is named from the next turn on."""
    async with recording() as (client, transport):
        async with (await client.session.start()).turn():
            await client.session.start(user_id="user_1")
        async with (await client.session.start()).turn():
            pass
    before, after = transport.turns
    assert before["anonymous"] is True
    assert before["distinct_id"].startswith("anon_")
    assert (after["anonymous"], after["distinct_id"]) == (False, "user_1")
    assert before["session_id"] == after["session_id"]


async def test_another_known_user_gets_another_session() -> None:
    """A session does not go on under a second person."""
    async with recording() as (client, _):
        one = await client.session.start(user_id="user_1")
        assert await client.session.start(user_id="user_1") is one
        assert await client.session.start(user_id="user_2") is not one


@pytest.mark.parametrize("user_id", ["", "null", "Undefined", " anonymous ", "0", "x" * 201, "a\nb", 7, None])
async def test_a_bad_user_id_is_refused_with_a_warning(user_id: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Generic, long, odd ids name nobody; the request goes on (FAULTS V16)."""
    async with recording() as (client, transport):
        async with client.scope(user_id=user_id), (await client.session.start()).turn():
            pass
    assert transport.turns[0]["anonymous"] is True
    assert ("a user id was refused" in caplog.text) is (user_id is not None)


@pytest.mark.parametrize("session_id", ["", "null", "x" * 201, "a\r\nb", 7])
async def test_a_bad_session_id_is_refused_with_a_warning(session_id: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A generic id would join strangers' conversations: the session goes by its trace id instead."""
    async with recording() as (client, _):
        session = await client.session.start(session_id=session_id)
    assert session.session_id == session.trace_id
    assert "a session id was refused" in caplog.text


async def test_a_nested_task_sees_and_changes_the_scope_of_its_request() -> None:
    """Who a nested task finds out is seen by the whole request (SPEC 4)."""
    async with recording() as (client, transport):
        async with client.scope():
            await asyncio.create_task(client.session.start(user_id="user_1"))
            async with (await client.session.start()).turn():
                pass
    assert transport.turns[0]["distinct_id"] == "user_1"


async def test_two_clients_do_not_share_a_scope() -> None:
    """Each client has its own users and sessions."""
    async with recording() as (one, _), recording() as (two, _):
        assert await one.session.start() is not await two.session.start()
        assert await one.session.start() is await one.session.start()


async def converse(client: LuminaClient, number: int) -> None:
    session = await client.session.start(session_id=f"chat_{number}", user_id=f"person_{number}")
    for turn in range(3):
        async with session.turn() as t:
            await asyncio.sleep(random.random() / 100)
            await t.wrap_llm(lambda: asyncio.sleep(random.random() / 100), model=f"model_{number}")
            await t.annotate(owner=number, turn=turn)


@pytest.mark.parametrize("scoped", [True, False], ids=["scopes", "no scope"])
async def test_a_thousand_conversations_at_once_do_not_mix(scoped: bool) -> None:
    """1,000 tasks with interleaved turns: no mix-up of session, user or sequence (FAULTS I8)."""
    async with recording(max_batch_bytes=100_000) as (client, transport):

        async def one(number: int) -> None:
            if scoped:
                async with client.scope():
                    await converse(client, number)
            else:
                await converse(client, number)

        await asyncio.gather(*(asyncio.create_task(one(number)) for number in range(1_000)))
        await client.flush()
    assert len(transport.turns) == 3_000
    for turn in transport.turns:
        owner = turn["annotations"]["owner"]
        assert (turn["session_id"], turn["distinct_id"]) == (f"chat_{owner}", f"person_{owner}")
        assert turn["llm"][0]["model"] == f"model_{owner}"
        assert turn["seq"] == turn["annotations"]["turn"] + 1


async def test_with_the_process_scope_every_task_is_one_user() -> None:
    """scope="process" is for scripts, notebooks and desktop tools."""
    async with recording(scope="process") as (client, _):

        async def session_id() -> str:
            return (await client.session.start()).session_id

        assert len(set(await asyncio.gather(*(asyncio.create_task(session_id()) for _ in range(10))))) == 1


async def test_a_scope_ends_where_it_was_opened() -> None:
    """After the block the scope from before is in force again."""
    async with recording() as (client, _):
        outer = await client.session.start()
        async with client.scope():
            assert await client.session.start() is not outer
        assert await client.session.start() is outer
