"""The input of a chat: begun, sent, given up; the text never leaves."""

from support import recording
from test_hooks import Screen

from lumina_async import ChatInputTracker, NullUIProvider, Sampling
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
    whose = {"distinct_id": started["distinct_id"], "anonymous": True, "lumina_session_id": "chat_42"}
    assert screen.told[0] == ("chat_input_started", whose)
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


async def test_white_space_is_nothing_given_up() -> None:
    """Spaces and line breaks alone are no message that somebody thought better of."""
    async with recording() as (client, transport):
        tracker = ChatInputTracker(NullUIProvider(), "chat_42", client)
        await tracker.on_input_start()
        await tracker.on_input_abandoned(" \n")
    assert [event["name"] for event in transport.stored] == ["chat_input_started"]


async def test_no_argument_makes_it_raise() -> None:
    """What is no text counts as nothing, and an odd id is written as text: the tracker never raises into a request."""
    async with recording() as (client, transport):
        tracker = ChatInputTracker(NullUIProvider(), None, client)  # type: ignore[arg-type]
        await tracker.on_message_submit(["m"], None)  # type: ignore[arg-type]
        await tracker.on_input_start()
        await tracker.on_input_abandoned(b"text")  # type: ignore[arg-type]
    [submitted, _] = transport.stored
    assert (submitted["session_id"], submitted["character_count"]) == ("unknown", 0)


async def test_what_sampling_leaves_out_the_provider_does_not_hear_of() -> None:
    """`sampling.ui_event` decides for the ingest and for the UI provider alike."""
    screen = Screen()
    async with recording(sampling=Sampling(ui_event=0.0)) as (client, transport):
        tracker = ChatInputTracker(screen, "chat_42", client)
        await tracker.on_input_start()
        await tracker.on_message_submit("m1", "Hello")
        await client.shutdown()
        assert (await client.stats()).sampled_out == 2
    assert transport.stored == []
    assert screen.told == []


async def test_half_a_character_is_hashed_as_a_browser_does() -> None:
    """Half a surrogate pair becomes U+FFFD before the digest, so page and server agree on the hash."""
    hashes: list[str] = []
    for text in ("half \ud83d", "half \N{REPLACEMENT CHARACTER}"):
        async with recording() as (client, transport):
            tracker = ChatInputTracker(NullUIProvider(), "chat_42", client)
            await tracker.on_input_start()
            await tracker.on_input_abandoned(text)
        hashes.append(transport.stored[1]["partial_content_hash"])
    assert hashes[0] == hashes[1]
