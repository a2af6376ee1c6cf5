"""Who a scope is with: anonymous, known, gone; feedback; the file that keeps a process's user."""

import asyncio
import stat
from pathlib import Path
from typing import Any

import orjson
import pytest
from support import MemoryTransport, recording

from lumina_async import ConfigError, LuminaClient, LuminaConfig


def named(transport: MemoryTransport, name: str) -> list[dict[str, Any]]:
    return [event for event in transport.stored if event["name"] == name]


async def test_login_names_the_visitor_before() -> None:
    """identify sends the anonymous id as previous_id, with the properties as given (SPEC 4)."""
    async with recording() as (client, transport):
        visitor = await client.get_distinct_id()
        assert await client.is_anonymous()
        await client.identify("user_1", {"email": "eve@example.com", "plan": "pro"})
        assert await client.get_distinct_id() == "user_1"
        assert not await client.is_anonymous()
    [event] = named(transport, "identify")
    assert (event["distinct_id"], event["anonymous"], event["previous_id"]) == ("user_1", False, visitor)
    assert event["properties"] == {"email": "eve@example.com", "plan": "pro"}


async def test_a_known_user_after_a_known_user_is_no_alias() -> None:
    """Known to known has no previous_id."""
    async with recording() as (client, transport):
        await client.identify("user_1")
        await client.identify("user_2")
    assert all("previous_id" not in event for event in named(transport, "identify"))


async def test_identifying_on_every_request_sends_once() -> None:
    """The same id with the same properties is sent once per process; new properties are news."""
    async with recording() as (client, transport):
        for _ in range(50):
            async with client.scope():
                await client.identify("user_1", {"plan": "pro"})
        await client.identify("user_1", {"plan": "team"})
    assert [event["properties"]["plan"] for event in named(transport, "identify")] == ["pro", "team"]


async def test_after_a_login_later_requests_send_nothing() -> None:
    """The alias of the login stands; a request without a visitor of its own has no news."""
    async with recording() as (client, transport):
        await client.get_distinct_id()
        await client.identify("user_1")
        for _ in range(3):
            async with client.scope():
                await client.identify("user_1")
    assert len(named(transport, "identify")) == 1


async def test_identify_is_sent_without_waiting_for_the_interval() -> None:
    """identify flushes in the background, so that the alias exists early."""
    async with recording(flush_interval_ms=3_600_000) as (client, transport):
        await client.identify("user_1")
        async with asyncio.timeout(5):
            while not transport.stored:
                await asyncio.sleep(0)


@pytest.mark.parametrize(("new_session", "goes_on"), [(None, False), (True, False), (False, True)])
async def test_a_session_ends_with_its_known_user(new_session: bool | None, goes_on: bool) -> None:
    """None clears the session when a known user changes, True always, False never (SPEC 4)."""
    async with recording() as (client, _):
        await client.identify("user_1")
        session = await client.session.start()
        await client.identify("user_2", new_session=new_session)
        assert (await client.session.start() is session) is goes_on


async def test_a_visitor_who_logs_in_keeps_the_session() -> None:
    """Anonymous to known goes on, but for new_session=True."""
    async with recording() as (client, _):
        session = await client.session.start()
        await client.identify("user_1")
        assert await client.session.start() is session
        await client.identify("user_1", {"seen": 2}, new_session=True)
        assert await client.session.start() is not session


async def test_logout_begins_with_a_new_visitor_and_a_new_session() -> None:
    """reset gives a new anonymous id and clears the session."""
    async with recording() as (client, _):
        before = await client.get_distinct_id()
        session = await client.session.start()
        await client.identify("user_1")
        await client.reset()
        assert await client.is_anonymous()
        assert await client.get_distinct_id() not in {before, "user_1"}
        assert await client.session.start() is not session


async def test_a_session_held_across_a_change_of_user_follows_the_new_one(caplog: pytest.LogCaptureFixture) -> None:
    """Turns of the old object go to the scope's new session, announced, with one warning (SPEC 4)."""
    async with recording() as (client, transport):
        old = await client.session.start(user_id="user_1")
        await client.reset()
        for _ in range(2):
            async with old.turn():
                pass
        new = await client.session.start()
    assert new.session_id != old.session_id
    assert {turn["session_id"] for turn in transport.turns} == {new.session_id}
    assert all(turn["anonymous"] for turn in transport.turns)
    assert new.session_id in {event["session_id"] for event in named(transport, "session_started")}
    assert caplog.text.count("after its user had changed") == 1


async def test_two_sessions_of_one_user_stay_two() -> None:
    """Only a change of user moves turns, not a second session of the same user."""
    async with recording() as (client, transport):
        first = await client.session.start()
        second = await client.session.start(new=True)
        for session in (first, second, first):
            async with session.turn():
                pass
    ids = [turn["session_id"] for turn in transport.turns]
    assert ids == [first.session_id, second.session_id, first.session_id]
    assert [turn["seq"] for turn in transport.turns] == [1, 1, 2]


@pytest.mark.parametrize("user_id", ["", "null", "x" * 201, "a\nb", None, 7])
async def test_identify_never_raises_into_a_request(user_id: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A bad id is refused with a warning, and the visitor stays anonymous (FAULTS V16)."""
    async with recording() as (client, transport):
        await client.identify(user_id, {"a": 1})
        assert await client.is_anonymous()
    assert named(transport, "identify") == []
    assert "a user id was refused" in caplog.text


async def test_feedback_names_its_turn() -> None:
    """Score, label, comment, source and kind belong to a turn; the comment is content (SPEC 6, 7)."""
    async with recording() as (client, transport):
        async with (await client.session.start(user_id="user_1")).turn() as t:
            pass
        await client.feedback(t.turn_id, score=-1, label="thumbs_down", comment="ask eve@example.com")
        await client.feedback(t.turn_id, 9, kind="nps", source="survey")
    down, nps = named(transport, "feedback")
    assert {key: down[key] for key in ("turn_id", "kind", "score", "label", "comment", "feedback_source")} == {
        "turn_id": t.turn_id,
        "kind": "feedback",
        "score": -1,
        "label": "thumbs_down",
        "comment": "ask [EMAIL]",
        "feedback_source": "user",
    }
    assert (nps["kind"], nps["score"], nps["feedback_source"]) == ("nps", 9, "survey")
    assert down["distinct_id"] == "user_1"
    assert down["session_id"] == t.session_id


async def test_under_none_a_comment_is_absent() -> None:
    """A comment is content."""
    async with recording(capture_transcript="none") as (client, transport):
        await client.feedback("00f067aa0ba902b7", comment="words")
    assert "comment" not in named(transport, "feedback")[0]


def process_config(path: Path) -> LuminaConfig:
    return LuminaConfig(
        endpoint="http://127.0.0.1:9", write_key="gi_test_key", scope="process", identity_file=str(path)
    )


async def user_of(path: Path, *, login: str | None = None, logout: bool = False) -> str:
    """What a run of a script sees; nothing is sent."""
    client = LuminaClient(transport=lambda _: MemoryTransport())
    await client.init(process_config(path))
    if login is not None:
        await client.identify(login)
    if logout:
        await client.reset()
    user = await client.get_distinct_id()
    await client.shutdown()
    return user


async def test_the_identity_file_keeps_the_user_of_a_process(tmp_path: Path) -> None:
    """The visitor's id, then the known user's, then a new visitor's last between runs, for the owner only."""
    path = tmp_path / "identity.json"
    visitor = await user_of(path)
    assert await user_of(path) == visitor
    assert await user_of(path, login="user_1") == "user_1"
    assert await user_of(path) == "user_1"
    gone = await user_of(path, logout=True)
    assert gone not in {visitor, "user_1"}
    assert await user_of(path) == gone
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"user_id":"null","anonymous_id":7}', b"\xff"])
async def test_a_broken_identity_file_begins_anew(tmp_path: Path, content: bytes) -> None:
    """What cannot be read, or names nobody, is a new visitor, written down."""
    path = tmp_path / "identity.json"
    path.write_bytes(content)
    user = await user_of(path)
    assert user.startswith("anon_")
    assert orjson.loads(path.read_bytes())["anonymous_id"] == user


async def test_an_identity_file_that_cannot_be_written_warns_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The process goes on with an id of its own."""
    assert (await user_of(tmp_path / "missing" / "identity.json", logout=True)).startswith("anon_")
    assert caplog.text.count("identity_file cannot be written") == 1


def test_an_identity_file_needs_the_process_scope() -> None:
    """A file for one user makes no sense on a server with many."""
    with pytest.raises(ConfigError, match="identity_file"):
        LuminaConfig(endpoint="http://127.0.0.1:9", write_key="gi_test_key", identity_file="x")


async def test_a_visitor_whom_the_app_has_kept_is_the_same_one_again(caplog: pytest.LogCaptureFixture) -> None:
    """`scope(anonymous_id=...)` goes on as that visitor; what is no anonymous id is refused with a warning (SPEC 4)."""
    async with recording() as (client, transport):
        async with client.scope():
            visitor = await client.get_distinct_id()
        async with client.scope(anonymous_id=visitor):
            assert await client.get_distinct_id() == visitor
            await client.identify("ada")
        async with client.scope(anonymous_id="ada"):
            assert (await client.get_distinct_id()).startswith("anon_")
        await client.flush()
        [identified] = [event for event in transport.stored if event["name"] == "identify"]
    assert identified["previous_id"] == visitor
    assert "an anonymous id was refused" in caplog.text
