"""Sampling decides by session, alike in every worker; what always goes always goes."""

import pytest
from hypothesis import given, strategies as st
from support import recording

from lumina_async import ChatInputTracker, ConfigError, NullUIProvider, Sampling
from lumina_async._trace import is_sampled, new_trace_id


async def test_a_session_is_recorded_as_a_whole_or_not_at_all() -> None:
    """session_started and all turns of a session share one decision, about as often as the rate says."""
    async with recording(sampling=Sampling(turn=0.5)) as (client, transport):
        for _ in range(300):
            session = await client.session.start(new=True)
            for _ in range(2):
                async with session.turn():
                    pass
        stats = await client.stats()
    kinds: dict[str, list[str]] = {}
    for event in transport.stored:
        kinds.setdefault(event["session_id"], []).append(event["name"])
    assert 90 < len(kinds) < 210
    assert all(sorted(names) == ["session_started", "turn", "turn"] for names in kinds.values())
    assert stats.captured + stats.sampled_out == 900
    assert stats.captured == 3 * len(kinds)


async def test_identify_and_feedback_always_go() -> None:
    """With everything sampled out, who it was and what they thought still arrives (SPEC 7)."""
    async with recording(sampling=Sampling(turn=0, ui_event=0)) as (client, transport):
        session = await client.session.start()
        async with session.turn() as t:
            pass
        await client.identify("user_1")
        await client.feedback(t.turn_id, 1)
        await ChatInputTracker(NullUIProvider(), session.session_id, client).on_message_submit("m", "x")
        assert (await client.stats()).sampled_out == 3
    assert [event["name"] for event in transport.stored] == ["identify", "feedback"]


@given(st.floats(0, 1), st.floats(0, 1), st.text(alphabet="0123456789abcdef", min_size=32, max_size=32))
def test_a_higher_rate_keeps_what_a_lower_one_kept(one: float, other: float, trace_id: str) -> None:
    """The decision grows with the rate: workers with different rates agree on what the lower one keeps."""
    low, high = sorted((one, other))
    assert not is_sampled(trace_id, low) or is_sampled(trace_id, high)


@given(st.text(), st.floats(0, 1))
def test_any_id_can_be_decided_on(identity: str, rate: float) -> None:
    """Ids that are no trace id are hashed; 0 keeps none, 1 all."""
    assert is_sampled(identity, rate) == is_sampled(identity, rate)
    assert is_sampled(identity, 1)
    assert not is_sampled(identity, 0)


def test_the_last_seven_bytes_decide() -> None:
    """As the W3C recommendation for consistent sampling has it."""
    assert is_sampled("f" * 18 + "00000000000000", 0.001)
    assert not is_sampled("0" * 18 + "ffffffffffffff", 0.999)
    assert 400 < sum(is_sampled(new_trace_id(), 0.5) for _ in range(1_000)) < 600


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan"), "1", True])
def test_a_rate_is_from_0_to_1(rate: object) -> None:
    """Anything else names the option."""
    with pytest.raises(ConfigError, match="sampling_turn"):
        Sampling(turn=rate)  # type: ignore[arg-type]


def test_rates_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """LUMINA_SAMPLING_TURN and its like (SPEC 3)."""
    monkeypatch.setenv("LUMINA_SAMPLING_TURN", "0.25")
    assert Sampling().turn == 0.25
