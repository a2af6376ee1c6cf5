"""The read API over HTTP (FAULTS C18, C28, C29; SPEC 10)."""

from typing import Any

import orjson
import pytest
from aiohttp import ClientSession

from .kit import event, get, items, lines, post, send, turn


async def session_of(client: ClientSession, *events: Any) -> dict[str, Any]:
    await send(client, *events)
    (session,) = await items(client, "/api/sessions")
    return session


async def test_a_session_adds_up_its_turns(client: ClientSession) -> None:
    """The list has one line per conversation, with what happened in it."""
    session = await session_of(
        client,
        event("session_started", trace_id="ab" * 16, pointers={"page": "/a"}),
        turn("Where is my order?", started_at="2026-01-01T10:00:00.000Z"),
        turn("Thanks", status="error", started_at="2026-01-01T10:01:00.000Z"),
        turn("Bye", status="cancelled", started_at="2026-01-01T10:02:00.000Z"),
    )
    assert session.pop("last_at") > "2026"
    assert session == {
        "session_id": "chat_1",
        "trace_id": "ab" * 16,
        "distinct_id": "user_1",
        "user_id": "user_1",
        "anonymous": False,
        "started_at": "2026-01-01T10:00:00.000Z",
        "turns": 3,
        "errors": 1,
        "cancelled": 1,
        "feedback": 0,
        "pointers": {"page": "/a"},
        "preview": "Bye",
        "cost_usd": None,
        "unpriced": 0,
    }


async def test_pointers_of_later_calls_are_merged(client: ClientSession) -> None:
    """A session knows the latest of each pointer, whichever batch brought it."""
    await send(client, event("session_started", pointers={"page": "/a", "tab": 1}))
    session = await session_of(client, event("session_started", pointers={"page": "/b"}))
    assert session["pointers"] == {"page": "/b", "tab": 1}


async def test_pointers_of_any_depth_break_no_list(client: ClientSession) -> None:
    """What nests too deep to be shown again is left out of the list, not the list out of the answer (FAULTS C6)."""
    for depth in range(240, 260):
        pointers = b'{"p":' + b"[" * depth + b"]" * depth + b"}"
        body = lines(event("session_started", session_id=str(depth))).replace(b'"v":1', b'"v":1,"pointers":' + pointers)
        assert (await post(client, body))[0] == 200
        assert (await get(client, "/api/sessions", limit="1"))[0] == 200


async def test_a_late_turn_does_not_replace_the_preview(client: ClientSession) -> None:
    """A turn that was held up on the way is not the last word of the user."""
    await send(client, turn("later", started_at="2026-01-01T10:05:00Z"))
    session = await session_of(client, turn("earlier", started_at="2026-01-01T10:00:00Z"))
    assert (session["preview"], session["started_at"]) == ("later", "2026-01-01T10:00:00Z")


async def test_a_session_belongs_to_who_was_identified_in_it(client: ClientSession) -> None:
    """Identifying moves the session to the user, and a late anonymous turn does not move it back."""
    await send(client, turn(distinct_id="anon_1", anonymous=True))
    await send(client, turn(distinct_id="user_9", anonymous=False))
    session = await session_of(client, turn(distinct_id="anon_1", anonymous=True))
    assert (session["distinct_id"], session["anonymous"]) == ("user_9", False)


async def test_a_session_without_text_has_no_preview(client: ClientSession) -> None:
    """Without a transcript there is nothing to show of it."""
    session = await session_of(client, event("turn", status="ok"))
    assert (session["preview"], session["turns"]) == (None, 1)


async def test_sessions_are_listed_by_latest_arrival(client: ClientSession) -> None:
    """The collector's clock orders the list, whatever times the senders claim (FAULTS C28)."""
    claims = ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "soon", 2**63]
    for number, started_at in enumerate(claims):
        await send(client, turn(session_id=f"s{number}", started_at=started_at))
    await send(client, turn(session_id="s1"))
    listed = [session["session_id"] for session in await items(client, "/api/sessions")]
    assert listed == ["s1", "s3", "s2", "s0"]


async def test_pages_together_are_the_whole_list(client: ClientSession) -> None:
    """Following `next` gives every session once, whatever the size of a page (FAULTS C29)."""
    await send(client, *[turn(session_id=f"s{number:02}") for number in range(25)])
    expected = [f"s{number:02}" for number in reversed(range(25))]
    for limit in ("1", "7", "25", "200"):
        listed = [session["session_id"] for session in await items(client, "/api/sessions", limit=limit)]
        assert listed == expected


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ord", ["s1", "s0"]),
        ("ORDER", ["s1", "s0"]),
        ("s2", ["s2"]),
        ("User_B", ["s2"]),
        ("%", ["s2"]),
        ("_", ["s2", "s1", "s0"]),
        ("\\", ["s0"]),
        ("'", ["s1"]),
        ("", ["s2", "s1", "s0"]),
        ("zzz", []),
    ],
)
async def test_sessions_are_found_by_what_they_hold(client: ClientSession, text: str, found: list[str]) -> None:
    """`q` is looked for in ids and preview as plain text: its wildcards are characters (FAULTS C18)."""
    await send(client, turn("an order \\ of", session_id="s0"), turn("the orders' end", session_id="s1"))
    await send(client, turn("100%", session_id="s2", distinct_id="user_b"))
    assert [session["session_id"] for session in await items(client, "/api/sessions", q=text)] == found


async def test_a_session_shows_its_turns_in_order(client: ClientSession) -> None:
    """Turns are ordered by start, number and id, across pages, not by arrival."""
    sent = [
        turn(seq=seq, started_at=f"2026-01-01T10:0{minute}:00Z") for minute, seq in [(2, 1), (0, 2), (1, 9), (1, 3)]
    ]
    await send(client, *sent, event("feedback"), turn(session_id="chat_2"))
    for limit in ("1", "3", "50"):
        shown = await items(client, "/api/sessions/chat_1", limit=limit)
        assert [one["event_id"] for one in shown] == [sent[number]["event_id"] for number in (1, 3, 2, 0)]
    _, answer = await get(client, "/api/sessions/chat_1")
    assert answer["session"]["turns"] == 4


async def test_an_event_is_shown_as_it_was_sent(client: ClientSession) -> None:
    """Unknown fields come back, and `received_at` is the collector's own even if the sender wrote one."""
    sent = turn(later={"deep": [1, None, "é"]}, received_at="1999-01-01T00:00:00Z")
    await send(client, sent)
    _, shown = await get(client, f"/api/turns/{sent['turn_id']}")
    assert shown.pop("received_at") > "2026"
    assert shown.pop("feedback") == []
    sent.pop("received_at")
    assert shown == sent


async def test_of_two_turns_of_one_id_the_first_is_shown(client: ClientSession) -> None:
    """A turn id is the sender's word; the first that arrived stands."""
    first = turn(turn_id="same")
    await send(client, first, turn(turn_id="same"), event("feedback", turn_id="same"))
    _, shown = await get(client, "/api/turns/same")
    assert shown["event_id"] == first["event_id"]


async def test_a_user_adds_up_their_sessions(client: ClientSession) -> None:
    """A user page has the sums and the sessions, latest first."""
    await send(client, turn(session_id="a"), turn(session_id="b", status="error"), turn(session_id="b"))
    await send(client, turn(session_id="c", distinct_id="user_2"))
    _, answer = await get(client, "/api/users/user_1")
    user = answer["user"]
    assert (user["sessions"], user["turns"], user["errors"], user["anonymous"]) == (2, 3, 1, False)
    assert [session["session_id"] for session in answer["items"]] == ["b", "a"]


@pytest.mark.parametrize("path", ["/api/sessions/none", "/api/turns/none", "/api/users/none"])
async def test_what_is_not_there_is_404(client: ClientSession, path: str) -> None:
    """An unknown id is no empty page (FAULTS C32)."""
    status, answer = await get(client, path)
    assert (status, answer["error"]["code"]) == (404, "not_found")


async def test_ids_with_any_character_are_reachable(client: ClientSession) -> None:
    """An app's own session id may hold what has a meaning in a path."""
    ids = ["chat/42", "a b", "a?b#c", "100%", "%2F", "é\u202e", 'q"uote', "{x}", "a+b", "<script>", "a\0b"]
    await send(client, *[turn(session_id=session_id) for session_id in ids])
    for session_id in ids:
        encoded = "".join(f"%{byte:02X}" for byte in session_id.encode())
        async with client.get(f"/api/sessions/{encoded}") as response:
            assert response.status == 200, session_id
            assert (await response.json())["session"]["session_id"] == session_id


async def test_events_are_listed_by_name_and_latest_first(client: ClientSession) -> None:
    """Every kind of event can be looked at, known here or not."""
    sent = [event("ping"), turn(), event("ping"), event("née")]
    await send(client, *sent)
    all_ids = [one["event_id"] for one in sent]
    assert [one["event_id"] for one in await items(client, "/api/events", limit="1")] == all_ids[::-1]
    assert [one["event_id"] for one in await items(client, "/api/events", name="ping")] == [all_ids[2], all_ids[0]]
    assert len(await items(client, "/api/events", name="née")) == 1


async def test_stats_count_everything(client: ClientSession) -> None:
    """The totals are those of all that ever came, good, known or bad."""
    first = turn()
    await send(client, first, turn(status="error"), event("ping"), event(v=5))
    await send(client, first, turn(status="cancelled", session_id="chat_2"))
    _, stats = await get(client, "/api/stats")
    assert stats["events"] == {"turn": 3, "ping": 1}
    counts = {name: stats[name] for name in ("sessions", "turns", "errors", "cancelled", "duplicates", "rejected")}
    assert counts == {"sessions": 2, "turns": 3, "errors": 1, "cancelled": 1, "duplicates": 1, "rejected": 1}
    assert stats["sqlite_version"].startswith("3.")
    assert stats["uptime_s"] >= 0


async def test_lost_events_are_summed_over_the_latest_report_of_each_sender(client: ClientSession) -> None:
    """A report replaces the one before it of the same process, also when they arrive the wrong way round."""
    old = event("sdk_report", client_id="a", lost={"queue_overflow": 3})
    new = event("sdk_report", client_id="a", lost={"queue_overflow": 5, "too_large": 1})
    await send(client, new)
    await send(client, old)
    await send(client, event("sdk_report", client_id="b", lost={"queue_overflow": 10, "rejected": 0}))
    _, stats = await get(client, "/api/stats")
    assert stats["lost"] == {"queue_overflow": 15, "too_large": 1}


@pytest.mark.parametrize("lost", [None, [], "x", {"a": -1}, {"a": 1.5}, {"a": True}, {"a": 2**63}, {"a" * 65: 1}])
async def test_an_odd_report_counts_nothing(client: ClientSession, lost: object) -> None:
    """What a report should not hold is kept in the event and added to no sum (FAULTS C6)."""
    await send(client, event("sdk_report", client_id="a", lost=lost))
    _, stats = await get(client, "/api/stats")
    assert (stats["lost"], stats["events"]) == ({}, {"sdk_report": 1})


async def test_the_export_is_what_was_sent(client: ClientSession) -> None:
    """Every event comes out as its line, in order of arrival, ready to be sent again."""
    sent = [turn(seq=number) for number in range(1200)]
    await send(client, *sent)
    async with client.get("/api/export") as response:
        assert response.content_type == "application/x-ndjson"
        assert [orjson.loads(line) for line in (await response.read()).splitlines()] == sent


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("/api/sessions", {"limit": "0"}),
        ("/api/sessions", {"limit": "201"}),
        ("/api/sessions", {"limit": "-1"}),
        ("/api/sessions", {"limit": "ten"}),
        ("/api/sessions", {"limit": "1e2"}),
        ("/api/sessions", {"limit": "٣"}),
        ("/api/sessions", {"limit": ""}),
        ("/api/sessions", {"limit": "9" * 5000}),
        ("/api/sessions", {"cursor": "x"}),
        ("/api/sessions", {"cursor": "é"}),
        ("/api/sessions", {"cursor": "W10"}),
        ("/api/sessions", {"cursor": "WzFd" * 1000}),
        ("/api/sessions", {"cursor": "Wzk5OTk5OTk5OTk5OTk5OTk5OTk5OTld"}),
        ("/api/sessions", {"cursor": "WyJ4Il0"}),
        ("/api/sessions", {"q": "x" * 201}),
        ("/api/events", {"name": "x" * 201}),
        ("/api/events", {"cursor": "WyJhIiwxLCJiIl0"}),
    ],
)
async def test_a_bad_parameter_is_named(client: ClientSession, path: str, parameters: dict[str, str]) -> None:
    """A parameter out of its bounds gets 400 and never a guess (FAULTS C32)."""
    status, answer = await get(client, path, **parameters)
    assert (status, answer["error"]["code"]) == (400, "bad_parameter")
    assert f"`{next(iter(parameters))}`" in answer["error"]["message"]
