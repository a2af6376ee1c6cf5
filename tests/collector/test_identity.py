"""Who a visitor turned out to be, resolved when it is read (SPEC 4 and 10)."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession

from lumina_async.collector import Collector

from .kit import event, get, items, send, turn


def visitor_turn(anonymous_id: str = "anon_1", **fields: Any) -> dict[str, Any]:
    return turn(**{"distinct_id": anonymous_id, "anonymous": True, "session_id": "before", **fields})


def identify(user_id: str = "nora", previous_id: Any = "anon_1", **fields: Any) -> dict[str, Any]:
    facts = {"distinct_id": user_id, "previous_id": previous_id, "session_id": None}
    return event("identify", **{**facts, **fields})


async def owners(client: ClientSession) -> dict[str, tuple[str, str | None]]:
    """Return for each session the id that it is stored under and the known user that it belongs to."""
    sessions = await items(client, "/api/sessions")
    return {session["session_id"]: (session["distinct_id"], session["user_id"]) for session in sessions}


async def user(client: ClientSession, user_id: str = "nora") -> dict[str, Any]:
    status, answer = await get(client, f"/api/users/{user_id}")
    assert status == 200, answer
    return {**answer["user"], "listed": [session["session_id"] for session in answer["items"]]}


async def test_turns_before_and_after_belong_to_the_known_user(client: ClientSession) -> None:
    """A login reaches back to what the visitor said before, and to a turn of then that arrives late."""
    await send(client, visitor_turn())
    await send(client, identify())
    await send(client, visitor_turn(session_id="late"), turn(distinct_id="nora", session_id="after"))
    expected = {"before": ("anon_1", "nora"), "late": ("anon_1", "nora"), "after": ("nora", "nora")}
    assert await owners(client) == expected
    nora = await user(client)
    assert (nora["listed"], nora["sessions"], nora["turns"]) == (["after", "late", "before"], 3, 3)
    assert (nora["user_id"], nora["anonymous"], nora["aliases"]) == ("nora", False, ["anon_1"])


async def test_a_login_within_a_session_keeps_its_stored_id(client: ClientSession) -> None:
    """A session that ends with a login is the user's when it is read; what the user says in it makes it theirs."""
    await send(client, visitor_turn(), identify(session_id="before"))
    assert await owners(client) == {"before": ("anon_1", "nora")}
    await send(client, turn(distinct_id="nora", session_id="before"))
    assert await owners(client) == {"before": ("nora", "nora")}


async def test_a_login_in_the_same_batch_reaches_back(client: ClientSession) -> None:
    """The order of arrival does not matter: one batch, the identification last or first."""
    await send(client, visitor_turn(), identify())
    await send(client, identify(previous_id="anon_2"), visitor_turn("anon_2", session_id="second"))
    assert await owners(client) == {"before": ("anon_1", "nora"), "second": ("anon_2", "nora")}


async def test_stored_rows_stay_as_they_are(tmp_path: Path) -> None:
    """A login changes no event and no session that is stored (SPEC 10)."""
    db = tmp_path / "lumina.db"

    def rows() -> list[Any]:
        with closing(sqlite3.connect(db)) as connection:
            turns = connection.execute("SELECT * FROM events WHERE name = 'turn'").fetchall()
            return turns + connection.execute("SELECT * FROM sessions").fetchall()

    async with Collector(db=db, port=0) as collector:
        async with ClientSession(collector.url, headers={"X-Api-Key": "k"}) as client:
            await send(client, visitor_turn())
            before = rows()
            await send(client, identify())
            assert rows() == before
    assert len(before) == 2


async def test_the_first_user_of_an_anonymous_id_stays(client: ClientSession) -> None:
    """On a shared device the second login does not take the first one's past (SPEC 10)."""
    await send(client, visitor_turn(), identify("nora"), identify("ben"))
    assert await owners(client) == {"before": ("anon_1", "nora")}
    assert (await user(client, "ben"))["aliases"] == []


@pytest.mark.parametrize(
    ("user_id", "previous_id", "more"),
    [
        pytest.param("nora", "ben", {}, id="a known user before"),
        pytest.param("nora", "Anon_1", {}, id="another beginning"),
        pytest.param("nora", "anon_" + "1" * 196, {}, id="too long"),
        pytest.param("nora", None, {}, id="none"),
        pytest.param("nora", 7, {}, id="a number"),
        pytest.param("nora", ["anon_1"], {}, id="a list"),
        pytest.param("anon_2", "anon_1", {}, id="to another visitor"),
        pytest.param("nora", "anon_1", {"anonymous": True}, id="said to be anonymous"),
        pytest.param("", "anon_1", {}, id="to nobody"),
    ],
)
async def test_only_a_visitor_becomes_a_user(
    client: ClientSession, user_id: str, previous_id: object, more: dict[str, Any]
) -> None:
    """An alias leads from an anonymous id to a known one; anything else is kept as an event and links nothing."""
    past = previous_id if isinstance(previous_id, str) and len(previous_id) < 200 else "anon_1"
    await send(client, visitor_turn(past), identify(user_id, previous_id, **more))
    assert await owners(client) == {"before": (past, None)}
    assert len(await items(client, "/api/events", name="identify")) == 1


async def test_the_id_of_a_visitor_leads_to_the_user(client: ClientSession) -> None:
    """Under each of their ids a user is the same person."""
    await send(client, visitor_turn(), identify(properties={"plan": "pro"}), visitor_turn("anon_9", session_id="other"))
    nora = await user(client)
    assert await user(client, "anon_1") == {**nora, "distinct_id": "anon_1"}
    stranger = await user(client, "anon_9")
    assert (stranger["user_id"], stranger["anonymous"], stranger["listed"]) == (None, True, ["other"])


async def test_the_properties_are_those_of_the_latest_identification(client: ClientSession) -> None:
    """The latest by when it was made stands, whenever it arrives; one that says nothing takes nothing away."""
    old, new = identify(properties={"plan": "free", "age": 7}), identify(properties={"plan": "pro"})
    await send(client, new, identify())
    await send(client, old)
    assert (await user(client))["properties"] == {"plan": "pro"}


@pytest.mark.parametrize("properties", [7, "x", [], [1], None, {}, {"long": "x" * 20_000}])
async def test_odd_properties_are_kept_and_not_shown(client: ClientSession, properties: object) -> None:
    """What is no object, or too large for a list, stays in the event (FAULTS C6)."""
    await send(client, identify(properties=properties))
    assert (await user(client))["properties"] == {}
    (stored,) = await items(client, "/api/events")
    assert stored["properties"] == properties


async def test_someone_who_only_logged_in_is_known(client: ClientSession) -> None:
    """A user without any session is no 404."""
    await send(client, identify(previous_id=None, properties={"name": "Nora"}))
    nora = await user(client)
    assert (nora["user_id"], nora["sessions"], nora["turns"], nora["listed"]) == ("nora", 0, 0, [])
    assert nora["first_at"] == nora["last_at"] > "2026"


async def test_a_user_without_identification_is_known_by_their_turns(client: ClientSession) -> None:
    """An app that names its user in each request has known users, too."""
    await send(client, turn(distinct_id="ben"))
    ben = await user(client, "ben")
    assert (ben["user_id"], ben["anonymous"], ben["properties"], ben["aliases"]) == ("ben", False, {}, [])


async def test_the_sessions_of_all_ids_come_in_one_order(client: ClientSession) -> None:
    """Pages of a user's sessions are by latest activity, whichever id they are stored under."""
    for number in range(20):
        who = {"distinct_id": "nora"} if number % 3 else {"distinct_id": f"anon_{number % 2}", "anonymous": True}
        await send(client, turn(session_id=f"s{number:02}", **who))
    await send(client, identify(previous_id="anon_0"), identify(previous_id="anon_1"))
    expected = [f"s{number:02}" for number in reversed(range(20))]
    for limit in ("1", "7", "50"):
        listed = await items(client, "/api/users/nora", limit=limit)
        assert [session["session_id"] for session in listed] == expected


async def test_sessions_are_found_by_the_known_user(client: ClientSession) -> None:
    """The search knows a visitor's session under the name of who they turned out to be, and under the old one."""
    await send(client, visitor_turn(), identify(), turn(distinct_id="ben", session_id="other"))
    for text in ("NORA", "anon_1"):
        assert [found["session_id"] for found in await items(client, "/api/sessions", q=text)] == ["before"]


async def test_projects_do_not_share_users(collector: Collector, client: ClientSession) -> None:
    """An alias holds within its project only (FAULTS C8)."""
    await send(client, visitor_turn(), identify())
    rows = await collector.store.events("default", limit=1)
    assert orjson.loads(rows.items[0].body)["name"] == "identify"
    assert await collector.store.user("another", "nora") is None
    assert await collector.store.user("another", "anon_1") is None


async def test_the_same_event_again_changes_nothing(client: ClientSession) -> None:
    """A retry of an identification is one event (FAULTS C9)."""
    once = identify(properties={"plan": "pro"})
    await send(client, visitor_turn(), once)
    await send(client, once, {**once, "distinct_id": "mallory", "properties": {"plan": "evil"}})
    assert (await user(client))["properties"] == {"plan": "pro"}
    assert (await get(client, "/api/users/mallory"))[0] == 404
