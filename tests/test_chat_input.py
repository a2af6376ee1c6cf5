"""The input of a chat: begun, sent, given up; the text never leaves."""

from support import recording
from test_hooks import Screen

from lumina_async import ChatInputTracker, NullUIProvider
from lumina_async.testing import FakeClock


async def test_typing_and_sending_is_two_events_with_its_time() -> None:
    """Start and submit, with the duration, the length and the message id; the provider hears of both."""
    clock, screen = FakeClock(), Screen()
    async with recording(clock=clock) as (client, transport):
        tracker = ChatInputTracker(screen, "chat_42", client)
        await tracker.on_input_start()
        await tracker.on_input_start()
        await clock.advance(1.25)
        await tracker.on_message_submit("m1", "Hello")
    started, submitted = transport.stored
    assert started["name"] == "chat_input_started"
    assert submitted["name"] == "chat_message_submitted"
    assert (submitted["typing_duration_ms"], submitted["character_count"], submitted["message_id"]) == (1250, 5, "m1")
    assert started["session_id"] == submitted["session_id"] == "chat_42"
    assert screen.told[0] == ("chat_input_started", {"lumina_session_id": "chat_42"})
    assert screen.told[1][1]["typing_duration_ms"] == 1250


async def test_what_is_given_up_leaves_only_a_keyed_hash() -> None:
    """The same text has the same hash under one key and another under another; the text is nowhere."""
    hashes: list[str] = []
    for key in ("gi_key_one_00000", "gi_key_one_00000", "gi_key_two_00000"):
        async with recording(write_key=key) as (client, transport):
            tracker = ChatInputTracker(NullUIProvider(), "chat_42", client)
            await tracker.on_input_start()
            await tracker.on_input_abandoned("my secret plan")
        [_, abandoned] = transport.stored
        assert abandoned["name"] == "chat_input_abandoned"
        assert abandoned["character_count"] == 14
        hashes.append(abandoned["partial_content_hash"])
        assert "secret plan" not in repr(transport.stored)
    assert hashes[0] == hashes[1] != hashes[2]
    assert len(hashes[0]) == 64


async def test_nothing_begun_is_nothing_given_up() -> None:
    """Leaving an untouched or an empty input is no event."""
    async with recording() as (client, transport):
        tracker = ChatInputTracker(NullUIProvider(), "chat_42", client)
        await tracker.on_input_abandoned("text")
        await tracker.on_input_start()
        await tracker.on_input_abandoned("")
    assert [event["name"] for event in transport.stored] == ["chat_input_started"]
