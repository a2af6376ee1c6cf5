"""What was said of a turn is shown with it (SPEC 7 and 10)."""

from typing import Any

import pytest
from aiohttp import ClientSession

from .kit import event, get, items, send, turn


def feedback(turn_id: str | None = "t1", **fields: Any) -> dict[str, Any]:
    return event("feedback", turn_id=turn_id, **{"session_id": None, "kind": "feedback", **fields})


async def said_of(client: ClientSession, turn_id: str = "t1") -> list[dict[str, Any]]:
    status, shown = await get(client, f"/api/turns/{turn_id}")
    assert status == 200, shown
    return shown["feedback"]


async def count_of(client: ClientSession, session_id: str = "chat_1") -> int:
    _, answer = await get(client, f"/api/sessions/{session_id}")
    return answer["session"]["feedback"]


@pytest.mark.parametrize("comes_first", ["turn", "feedback"])
async def test_feedback_is_shown_with_its_turn(client: ClientSession, comes_first: str) -> None:
    """Both reads of a turn have what was said of it, as it was sent, whichever of the two arrives first."""
    one, said = turn(turn_id="t1"), feedback(score=-1, label="thumbs_down", comment="No", feedback_source="user")
    for sent in (one, said) if comes_first == "turn" else (said, one):
        await send(client, sent)
    (shown,) = await said_of(client)
    assert shown.pop("received_at") > "2026"
    assert shown == said
    (listed,) = await items(client, "/api/sessions/chat_1")
    assert listed["feedback"] == await said_of(client)
    assert await count_of(client) == 1


async def test_feedback_goes_to_its_turn_alone(client: ClientSession) -> None:
    """It is found by the id of the turn, from whatever session or user it comes."""
    await send(client, turn(turn_id="t1"), turn(turn_id="t2"), turn(turn_id="t1", session_id="chat_2"))
    await send(client, feedback(score=1, session_id="elsewhere", distinct_id="another"), feedback("t9"))
    assert [len(one["feedback"]) for one in await items(client, "/api/sessions/chat_1")] == [1, 0]
    assert (await count_of(client), await count_of(client, "chat_2"), await count_of(client, "elsewhere")) == (1, 0, 0)


async def test_feedback_comes_in_order_of_arrival(client: ClientSession) -> None:
    """Who changes their mind is heard twice; of a flood the latest are shown and all are counted."""
    await send(client, turn(turn_id="t1"), *[feedback(score=number) for number in range(60)])
    assert [said["score"] for said in await said_of(client)] == list(range(10, 60))
    assert await count_of(client) == 60


async def test_feedback_without_a_turn_counts_for_its_session(client: ClientSession) -> None:
    """A survey on the whole conversation is shown among the events."""
    await send(client, turn(), feedback(None, kind="nps", score=9, session_id="chat_1"))
    assert await count_of(client) == 1
    assert len(await items(client, "/api/events", name="feedback")) == 1


async def test_feedback_makes_its_session_the_latest(client: ClientSession) -> None:
    """What was said of an old conversation brings it to the top of the list."""
    await send(client, turn(turn_id="t1", session_id="old"))
    await send(client, turn(session_id="new", turn_id="t2"))
    await send(client, feedback())
    assert [session["session_id"] for session in await items(client, "/api/sessions")] == ["old", "new"]


async def test_feedback_of_one_batch_is_counted(client: ClientSession) -> None:
    """A turn, what was said of it before and after, and the same again: each event counts once."""
    batch = [feedback(score=0), turn(turn_id="t1"), feedback(score=1)]
    await send(client, *batch)
    await send(client, *batch, turn(turn_id="t1"))
    assert await count_of(client) == 2
    _, answer = await get(client, "/api/users/user_1")
    assert answer["user"]["feedback"] == 2


async def test_a_field_of_the_sender_does_not_pass_for_feedback(client: ClientSession) -> None:
    """What a turn itself calls feedback is in the event; the list holds events only."""
    await send(client, turn(turn_id="t1", feedback=[{"score": 5}]))
    assert await said_of(client) == []


@pytest.mark.parametrize(
    "name", ["chat_input_started", "chat_message_submitted", "chat_input_abandoned", "signal", "external"]
)
async def test_other_events_are_kept_and_do_nothing_else(client: ClientSession, name: str) -> None:
    """Typing, signals and webhooks are seen among the events and change no turn."""
    sent = event(name, turn_id="t1", typing_duration_ms=1200, partial_content_hash="ab" * 32, value={"a": 1})
    await send(client, turn(turn_id="t1"), sent)
    (shown,) = await items(client, "/api/events", name=name)
    shown.pop("received_at")
    assert shown == sent
    assert await said_of(client) == []
    assert await count_of(client) == 0
