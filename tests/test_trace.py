"""Ids are well-formed, ordered, agreed on between workers, and not shared with a forked child."""

import os
import re
import uuid

import pytest
from hypothesis import given, strategies as st

from lumina_async import _trace as trace


@given(st.integers(min_value=0, max_value=(1 << 48) * 1_000_000 - 1))
def test_an_event_id_is_a_uuid7_of_its_moment(now_ns: int) -> None:
    """Version, variant and milliseconds are those of RFC 9562."""
    event_id = trace.new_event_id(now_ns)
    parsed = uuid.UUID(event_id)
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert trace.event_id_ms(event_id) == now_ns // 1_000_000


@given(st.sets(st.integers(min_value=0, max_value=1 << 50), min_size=2, max_size=9))
def test_event_ids_sort_by_time(moments: set[int]) -> None:
    """Ids made at least 250 ns apart sort in the order of their moments."""
    ids = [trace.new_event_id(moment * 250) for moment in sorted(moments)]
    assert ids == sorted(ids)


@pytest.mark.parametrize("text", ["", "x", None, 7, str(uuid.UUID(int=0)), "0190A0B0-0000-7000-8000-000000000000"])
def test_what_is_no_uuid7_holds_no_moment(text: object) -> None:
    """Another version, upper case and other types are no event ids."""
    assert trace.event_id_ms(text) is None


def test_w3c_ids_have_their_form() -> None:
    """Trace and span ids are lower-case hex of 32 and 16 digits."""
    header = trace.traceparent(trace.new_trace_id(), trace.new_span_id())
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", header)


def test_every_worker_derives_the_same_trace_id() -> None:
    """An app's own session id stands for the first 16 bytes of SHA-256(lumina.session NUL id) (SPEC 4)."""
    assert trace.trace_id_of("chat_42") == "53a2c422ad3fe75a9ab0739c6d77c3fe"
    assert trace.trace_id_of("chat_42") != trace.trace_id_of("chat_43")


def test_a_forked_child_continues_with_other_ids() -> None:
    """Parent and child give different ids after a fork (FAULTS I7)."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, trace.new_span_id().encode())
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 16).decode() != trace.new_span_id()
    os.close(read)
    os.close(write)
