"""From bytes to rows (FAULTS C4, C6, C7, C28)."""

import gzip
import time
import zlib

import orjson
import pytest
from hypothesis import given, strategies as st

from lumina_async.collector.decode import Decoded, Limits, decode, unpack
from lumina_async.collector.errors import ProblemError

from .kit import event, event_id, lines, turn

NOW = time.time_ns()
LIMITS = Limits(body_bytes=4096, unpacked_bytes=4096, line_bytes=1024, lines=50)


def decoded(body: bytes, limits: Limits = LIMITS) -> Decoded:
    return decode(body, time.time_ns(), limits)


def code_of(line: bytes, limits: Limits = LIMITS) -> str | None:
    result = decoded(line, limits)
    return result.rejections[0].code if result.rejections else None


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"%s\n%s\n", id="plain"),
        pytest.param(b"%s\n%s", id="no last line end"),
        pytest.param(b"%s\r\n%s\r\n", id="crlf"),
        pytest.param(b"\xef\xbb\xbf%s\n%s\n", id="byte order mark"),
        pytest.param(b"\n\n%s\n \t\r\n%s\n\n", id="blank lines"),
    ],
)
def test_line_ends_do_not_matter(body: bytes) -> None:
    """However lines end, and whatever blank ones stand between, the events are read (FAULTS C6)."""
    first, second = event(), event()
    result = decoded(body % (orjson.dumps(first), orjson.dumps(second)))
    assert [row.event_id for row in result.rows] == [first["event_id"], second["event_id"]]
    assert not result.rejections


@pytest.mark.parametrize(
    ("line", "code"),
    [
        pytest.param(b"nope", "bad_json", id="words"),
        pytest.param(b'{"a":NaN}', "bad_json", id="NaN"),
        pytest.param(b'{"a":1', "bad_json", id="cut"),
        pytest.param(b'{"a":"\xff"}', "bad_json", id="not utf-8"),
        pytest.param(b'{"a":"\\ud800"}', "bad_json", id="half a surrogate pair"),
        pytest.param(b"[" * 5000 + b"]" * 5000, "too_large", id="a long line"),
        pytest.param(b"[" * 1025 + b"]" * 1025, "bad_json", id="deep nesting"),
        pytest.param(b"[]", "bad_event", id="array"),
        pytest.param(b"7", "bad_event", id="number"),
        pytest.param(b"null", "bad_event", id="null"),
        pytest.param(b"{}", "bad_event", id="no fields"),
        pytest.param(lines({**event(), "name": None}), "bad_event", id="no name"),
        pytest.param(lines({**event(), "name": 7}), "bad_event", id="name is a number"),
        pytest.param(lines(event(session_id={"a": 1})), "bad_event", id="session id is an object"),
        pytest.param(lines(event(distinct_id=["a"])), "bad_event", id="user id is an array"),
        pytest.param(lines(event(turn_id=True)), "bad_event", id="turn id is a boolean"),
        pytest.param(lines(event(session_id="x" * 201)), "bad_event", id="session id is long"),
        pytest.param(lines(event(v="1")), "bad_event", id="version is a text"),
        pytest.param(lines(event(v=True)), "bad_event", id="version is a boolean"),
        pytest.param(lines(event(v=0)), "bad_event", id="version is zero"),
        pytest.param(lines(event(v=2)), "unsupported_version", id="version is later"),
        pytest.param(lines(event(event_id=7)), "bad_id", id="id is a number"),
        pytest.param(lines(event(event_id=None)), "bad_id", id="id is null"),
        pytest.param(lines(event(event_id="1b4e28ba-2fa1-11d2-883f-0016d3cca427")), "bad_id", id="UUIDv1"),
        pytest.param(lines(event(event_id=event_id().upper())), "bad_id", id="upper case"),
        pytest.param(lines(event(event_id=event_id(25 * 3600))), "bad_id", id="a day ahead"),
        pytest.param(lines(event(event_id=event_id(-3600))), None, id="an hour old"),
        pytest.param(lines(event(event_id=event_id(23 * 3600))), None, id="nearly a day ahead"),
    ],
)
def test_each_bad_line_has_its_code(line: bytes, code: str | None) -> None:
    """A line that cannot be stored is rejected with the word for what is wrong with it (FAULTS C6, C7)."""
    assert code_of(line, Limits(line_bytes=4096)) == code


def test_an_id_beyond_retention_is_too_old() -> None:
    """An event older than what is kept is rejected, for its duplicates are no longer known (SPEC 10)."""
    limits = Limits(retention_ms=3_600_000)
    assert code_of(lines(event(event_id=event_id(-3700))), limits) == "too_old"
    assert code_of(lines(event(event_id=event_id(-3500))), limits) is None


def test_a_line_of_exactly_the_limit_is_read() -> None:
    """The bound of a line is inclusive: one byte more is `too_large` (FAULTS C7)."""
    line = orjson.dumps(event(filler="x" * 300))
    assert code_of(line, Limits(line_bytes=len(line))) is None
    assert code_of(line, Limits(line_bytes=len(line) - 1)) == "too_large"


@pytest.mark.parametrize("filler", [b"x", b" "])
def test_a_line_that_is_too_long_costs_only_itself(filler: bytes) -> None:
    """The lines around it keep their numbers and are read (FAULTS C7)."""
    result = decoded(lines(event()) + filler * 5000 + b"{}\n" + lines(event()))
    assert [(bad.line, bad.code) for bad in result.rejections] == [(2, "too_large")]
    assert len(result.rows) == 2


def test_good_lines_beside_bad_ones_are_kept() -> None:
    """One malformed line costs nothing but itself, and is named by its number (FAULTS C6)."""
    good, late = event(), event(v=9)
    result = decoded(lines(good) + b"{broken\n\n" + lines(late))
    assert [row.event_id for row in result.rows] == [good["event_id"]]
    assert [(bad.line, bad.event_id) for bad in result.rejections] == [(2, None), (4, late["event_id"])]
    assert result.count == 3


def test_the_documented_ping_gets_an_id() -> None:
    """A line with nothing but `source` and `name` is an event; its id is made here (SPEC 10)."""
    (row,) = decoded(b'{"source":"test","name":"ping"}').rows
    stored = orjson.loads(row.body)
    assert stored == {"source": "test", "name": "ping", "event_id": row.event_id}


def test_the_text_is_kept_as_it_was_sent() -> None:
    """Unknown fields, spacing and numbers beyond 64 bits stay as they are (FAULTS C6)."""
    line = f'{{ "event_id": "{event_id()}",  "name":"odd", "big": 123456789012345678901234567890, "x": {{}} }}'
    (row,) = decoded(line.encode()).rows
    assert row.body == line


def test_of_two_fields_of_one_name_the_last_counts() -> None:
    """Duplicate keys are read as every JSON reader of note does (FAULTS C6)."""
    (row,) = decoded(f'{{"event_id":"{event_id()}","name":"first","name":"second"}}'.encode()).rows
    assert row.name == "second"


@pytest.mark.parametrize("started_at", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z"])
def test_any_well_formed_time_is_a_hint(started_at: str) -> None:
    """The client's time is kept whatever it claims (FAULTS C28)."""
    (row,) = decoded(lines(turn(started_at=started_at))).rows
    assert row.started_at == started_at


@pytest.mark.parametrize(
    "started_at", [2**63, -1, "yesterday", "", None, {}, "2026-01-01T10:00:00+02:00", "\u0661" * 4]
)
def test_any_other_time_is_no_hint(started_at: object) -> None:
    """What is no RFC 3339 time in UTC orders nothing, and the event is accepted all the same (FAULTS C28)."""
    (row,) = decoded(lines(turn(started_at=started_at))).rows
    assert row.started_at == ""


@pytest.mark.parametrize(
    ("content", "preview"),
    [
        pytest.param("  Hello  ", "Hello", id="text"),
        pytest.param("x" * 500, "x" * 120, id="long text"),
        pytest.param([{"type": "text", "text": "a"}, {"type": "image", "bytes": 9}, {"text": "b"}], "a b", id="parts"),
        pytest.param(None, "first", id="nothing"),
        pytest.param({"text": "a"}, "first", id="object"),
        pytest.param([1, None, "a"], "first", id="odd parts"),
    ],
)
def test_the_preview_is_the_last_text_of_the_user(content: object, preview: str) -> None:
    """The preview is the beginning of the last user message that holds text, whatever form it has."""
    said = [{"role": "user", "content": "first"}, {"role": "user", "content": content}, {"role": "assistant"}, 7, None]
    (row,) = decoded(lines(turn(messages=said)), Limits()).rows
    assert row.preview == preview


def test_pointers_too_deep_to_be_written_again_are_no_pointers() -> None:
    """JSON that can be read but not written stays in the event and breaks nothing (FAULTS C6)."""
    body = lines(event("session_started")).replace(b'"v":1', b'"pointers":{"a":' + b"[" * 500 + b"]" * 500 + b"}")
    (row,) = decoded(body, Limits()).rows
    assert row.pointers is None
    assert "[" * 500 in row.body


def test_more_lines_than_allowed_are_refused_as_a_whole() -> None:
    """A body of line ends only is not walked through (FAULTS G12)."""
    with pytest.raises(ProblemError) as caught:
        decoded(b"\n" * 51)
    assert (caught.value.status, caught.value.detail) == (413, {"limit": 50})


def test_gzip_comes_back_whole() -> None:
    """What was packed is what is read."""
    body = lines(*[event() for _ in range(20)])
    assert unpack(gzip.compress(body), "gzip", Limits()) == body


@pytest.mark.parametrize("size", [4095, 4096])
def test_a_body_up_to_the_limit_is_unpacked(size: int) -> None:
    """The bound after decompression is inclusive (FAULTS C3)."""
    assert len(unpack(gzip.compress(b"x" * size), "gzip", LIMITS)) == size


@pytest.mark.parametrize("size", [4097, 50_000_000])
def test_a_bomb_is_refused(size: int) -> None:
    """What unpacks to more than the limit gets 413 with the limit (FAULTS C4)."""
    with pytest.raises(ProblemError) as caught:
        unpack(gzip.compress(b"\0" * size), "gzip", LIMITS)
    assert (caught.value.status, caught.value.detail) == (413, {"limit": 4096})


DAMAGE = gzip.compress(lines(turn(), turn()))


@pytest.mark.parametrize(
    "packed",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"hello", id="no gzip"),
        pytest.param(DAMAGE[:-8], id="no trailer"),
        pytest.param(DAMAGE[:-5] + bytes([DAMAGE[-5] ^ 0xFF]) + DAMAGE[-4:], id="bad checksum"),
        pytest.param(DAMAGE + b"x", id="bytes after the end"),
        pytest.param(DAMAGE + DAMAGE, id="two members"),
        pytest.param(gzip.compress(b"") * 1000, id="many empty members"),
        pytest.param(zlib.compress(b"{}"), id="zlib, not gzip"),
    ],
)
def test_damaged_gzip_makes_the_sender_try_again(packed: bytes) -> None:
    """Whatever is not exactly one whole gzip member gets 408, never a part of its events (FAULTS C4)."""
    with pytest.raises(ProblemError) as caught:
        unpack(packed, "gzip", Limits())
    assert caught.value.status == 408


def test_every_cut_of_a_gzip_body_is_noticed() -> None:
    """No prefix of a gzip stream passes for the whole (FAULTS C4)."""
    for length in range(len(DAMAGE)):
        with pytest.raises(ProblemError) as caught:
            unpack(DAMAGE[:length], "gzip", Limits())
        assert caught.value.status == 408


@given(st.binary(max_size=300))
def test_no_bytes_raise(body: bytes) -> None:
    """Any bytes become rows or rejections, and each line that is not blank becomes one of them (FAULTS C6)."""
    result = decode(body, NOW, Limits())
    assert result.count == sum(bool(line.strip(b" \t\r")) for line in body.removeprefix(b"\xef\xbb\xbf").split(b"\n"))


TEXT = st.text(alphabet="ab\0\u2028é", max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
FIELDS = st.sampled_from(
    [
        *("v", "name", "session_id", "trace_id", "distinct_id", "anonymous", "turn_id", "client_id"),
        *("seq", "status", "started_at", "ts", "messages", "pointers", "lost"),
    ]
)


@given(st.sampled_from(["turn", "session_started", "sdk_report", "odd"]), st.dictionaries(FIELDS, JSON, max_size=4))
def test_no_value_in_any_field_raises(name: str, fields: dict[str, object]) -> None:
    """Whatever JSON stands in a field that is looked at, the line is a row or a rejection (FAULTS C6, C28)."""
    result = decode(lines({**event(name), **fields}), time.time_ns(), Limits())
    assert result.count == 1
    assert all(bad.code in {"bad_event", "unsupported_version"} for bad in result.rejections)


@given(st.binary(max_size=200))
def test_no_bytes_unpack_to_anything_but_what_was_packed(body: bytes) -> None:
    """Gzip is undone exactly, and other bytes are a problem and no exception (FAULTS C4)."""
    assert unpack(gzip.compress(body), "gzip", Limits()) == body
    with pytest.raises(ProblemError):
        unpack(body, "gzip", Limits())
