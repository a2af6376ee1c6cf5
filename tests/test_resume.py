"""A conversation goes on in another service: W3C headers out and in."""

from typing import Any

import pytest
from hypothesis import given, strategies as st
from support import recording

from lumina_async._trace import parse_traceparent

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


async def test_another_service_goes_on_with_trace_and_numbers() -> None:
    """headers and resume carry the trace id and the next number (SPEC 4)."""
    async with recording() as (one, first):
        session = await one.session.start()
        for _ in range(2):
            async with session.turn():
                pass
        headers = session.headers
    async with recording() as (two, second):
        resumed = await two.session.resume({"TraceParent": headers["traceparent"], "TRACESTATE": headers["tracestate"]})
        async with resumed.turn():
            pass
    assert headers["tracestate"] == "lumina=1;3"
    assert [turn["seq"] for turn in (*first.turns, *second.turns)] == [1, 2, 3]
    assert {turn["trace_id"] for turn in (*first.turns, *second.turns)} == {session.trace_id}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"traceparent": ""},
        {"traceparent": f"00-{TRACE.upper()}-{SPAN}-01"},
        {"traceparent": f"00-{'0' * 32}-{SPAN}-01"},
        {"traceparent": f"ff-{TRACE}-{SPAN}-01"},
        {"traceparent": 7},
    ],
)
async def test_without_a_valid_traceparent_a_session_begins(headers: Any) -> None:
    """Malformed headers restart the trace (FAULTS I5)."""
    async with recording() as (client, _):
        assert (await client.session.resume(headers)).trace_id != TRACE


@pytest.mark.parametrize(
    ("tracestate", "seq"),
    [
        (None, 1),
        ("", 1),
        ("lumina=1;7", 7),
        ("other=x, lumina=1;7", 7),
        ("lumina=1;-7", 1),
        ("lumina=1;x", 1),
        ("lumina=2;7", 1),
        ("lumina=1;" + "9" * 40, 1_000_000_000),
    ],
)
async def test_a_strange_tracestate_counts_from_one(tracestate: str | None, seq: int) -> None:
    """The number is a hint: what it cannot be is left aside."""
    async with recording() as (client, _):
        session = await client.session.resume({"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": tracestate})  # type: ignore[dict-item]
        assert session.turn().seq == seq


@pytest.mark.parametrize(
    ("header", "valid"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", True),
        (f" 00-{TRACE}-{SPAN}-01 ", True),
        (f"cc-{TRACE}-{SPAN}-01", True),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", True),
        (f"cc-{TRACE}-{SPAN}-01.what-the-future-will-not-be-like", False),
        (f"00-{TRACE}-{SPAN}-01-what-the-future-will-be-like", False),
        (f"ff-{TRACE}-{SPAN}-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"00-{'0' * 32}-{SPAN}-01", False),
        (f"00-{TRACE[:-1]}-{SPAN}-01", False),
        (f"00-{TRACE}0-{SPAN}-01", False),
        (f"00-{TRACE}-{SPAN}-1", False),
        (f"0-{TRACE}-{SPAN}-01", False),
        (f"00-{TRACE}-{SPAN}", False),
        (f"00-{TRACE[:-1]}.-{SPAN}-01", False),
        (f"00-{TRACE}-{SPAN[:-1]}.-01", False),
        (f"00-{TRACE}-{SPAN[:-1]}-01", False),
        (f"00-{TRACE}-{SPAN}0-01", False),
        (f"00-{TRACE}-{SPAN.upper()}-01", False),
        (f"00-{TRACE}-{SPAN}-.0", False),
        (f"00-{TRACE}-{SPAN}-0.", False),
        (f"00-{TRACE}-{SPAN}-A0", False),
        (f"00-{TRACE}-{SPAN}-001", False),
        (f"00-{TRACE}-{SPAN}-01-", False),
        (f"01-{TRACE}-{SPAN}-01-", True),
        (f"000-{TRACE}-{SPAN}-01", False),
        (f".0-{TRACE}-{SPAN}-01", False),
        (f"FF-{TRACE}-{SPAN}-01", False),
        (f"\t00-{TRACE}-{SPAN}-01\t", True),
        (f"00-{TRACE}-{SPAN}-ff", True),
        (f"00-{TRACE}-{SPAN}-01,00-{TRACE}-{SPAN}-01", False),
        (f"00-{TRACE}-{SPAN}-01\n", False),
        ("", False),
        ("00", False),
        (f"cc-{TRACE}-{SPAN}-01-" + "x" * 10_000, False),
    ],
)
def test_traceparents_are_read_by_the_rules_of_w3c(header: str, valid: bool) -> None:
    """Versions, lengths, zero ids and case as the recommendation has them (FAULTS I5)."""
    assert (parse_traceparent(header) is not None) is valid


@given(st.text() | st.none() | st.integers())
def test_no_header_raises(header: object) -> None:
    """Whatever a proxy makes of it."""
    parse_traceparent(header)


async def test_a_process_remembers_a_bounded_number_of_conversations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sends one `traceparent` after the other fills no memory."""
    monkeypatch.setattr("lumina_async._session.MAX_REMEMBERED", 10)
    async with recording() as (client, _):
        for number in range(1, 50):
            await client.session.resume({"traceparent": f"00-{number:032x}-{SPAN}-01"})
        assert len(client.session._known) == 10
