"""Any value becomes JSON: by a table, bounded, never by repr, and never with an exception."""

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import math
import pathlib
import uuid
from typing import Any

import attrs
import orjson
import pydantic
import pytest
from hypothesis import given, strategies as st

from lumina_async._values import CUT, NOT_A_NUMBER, UNREADABLE, clean, identifier, plain, snapshot


class Colour(enum.Enum):
    RED = "red"


class Secretive:
    def __repr__(self) -> str:
        raise AssertionError("repr must not be asked")

    __str__ = __repr__


@dataclasses.dataclass
class Point:
    x: int
    _y: int


@attrs.define
class Box:
    inside: Any


class Model(pydantic.BaseModel):
    name: str


class Evil(dict[str, int]):
    def __len__(self) -> int:
        return 10**9

    def items(self) -> Any:
        raise RuntimeError("no")


TABLE = [
    (Colour.RED, "red"),
    (dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC), "2026-01-02T03:04:05+00:00"),
    (dt.date(2026, 1, 2), "2026-01-02"),
    (dt.timedelta(minutes=1), 60.0),
    (decimal.Decimal("1.10"), "1.10"),
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (pathlib.PurePosixPath("a/b"), "a/b"),
    (b"\xff\x00", "<bytes: 2>"),
    ({1, 2}, [1, 2]),
    (collections.deque([1]), [1]),
    ((1, (2,)), [1, [2]]),
    (2**64, str(2**64)),
    (2**64 - 1, 2**64 - 1),
    (-(2**63) - 1, str(-(2**63) - 1)),
    (10**5000, "<int: 16610 bits>"),
    ({1: "a", "1": "b", None: "c"}, {"1": "a", "1#1": "b", "None": "c"}),
    (Point(1, 2), {"x": 1, "_y": 2}),
    (Box({"a": Box(1)}), {"inside": {"a": {"inside": 1}}}),
    (Model(name="n"), {"name": "n"}),
    (ValueError("v"), "ValueError: v"),
    (Secretive(), "<test_values.Secretive>"),
    (Secretive, "<test_values.Secretive>"),
    (len, "<builtin_function_or_method>"),
    ("a\ud800b", "a\ufffdb"),
    ("\ud83d\ude00", "\U0001f600"),
    (1 + 2j, "<complex>"),
]


@pytest.mark.parametrize(("value", "expected"), TABLE, ids=[str(index) for index in range(len(TABLE))])
def test_each_kind_of_value_has_its_form(value: Any, expected: Any) -> None:
    """The table of the module's docstring, row by row (FAULTS V2, V3, V4)."""
    assert plain(value) == expected
    assert orjson.loads(orjson.dumps({"f": snapshot(value)})) == {"f": expected}


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_null_with_a_note(number: float) -> None:
    """JSON has none, and orjson would be silent about it (FAULTS V1)."""
    notes: set[str] = set()
    assert orjson.dumps(snapshot({"a": [number]}, notes)) == b'{"a":[null]}'
    assert notes == {NOT_A_NUMBER}


def test_null_itself_has_no_note() -> None:
    """None is a value like any other."""
    notes: set[str] = set()
    snapshot({"a": None}, notes)
    assert notes == set()


def test_cycles_depth_and_size_are_cut() -> None:
    """A cycle, a thousand levels and a million keys end with a marker and a note (FAULTS V3)."""
    cycle: list[Any] = []
    cycle.append(cycle)
    deep: list[Any] = []
    for _ in range(1_000):
        deep = [deep]
    wide = {str(number): number for number in range(1_000_000)}
    for value in (cycle, deep, wide):
        notes: set[str] = set()
        assert len(orjson.dumps(plain(value, notes=notes))) < 3_000_000
        assert notes == {CUT}


def test_one_object_twice_is_no_cycle() -> None:
    """Only an object within itself is one."""
    shared = [1]
    assert plain([shared, shared]) == [[1], [1]]


def test_a_long_string_is_cut_with_its_length() -> None:
    """Ten million characters become one, with a marker."""
    assert clean("x" * 10_000_000).endswith("x…[cut, 10,000,000 characters]")


def test_an_object_that_raises_is_replaced_and_the_rest_stays() -> None:
    """A lying, raising subclass costs its own field (FAULTS V6)."""
    notes: set[str] = set()
    assert plain({"bad": Evil(a=1), "good": 1}, notes=notes) == {"bad": "<unreadable test_values.Evil>", "good": 1}
    assert notes == {UNREADABLE}


@pytest.mark.parametrize(
    ("given_id", "kept"),
    [("user_1", "user_1"), ("x" * 300, "x" * 200), ("a\r\nb", "a\ufffd\ufffdb"), ("", None), (None, None), (42, "42")],
)
def test_an_identifier_is_short_and_one_line(given_id: object, kept: str | None) -> None:
    """At most 200 characters, no control characters (SPEC 4)."""
    assert identifier(given_id) == kept


JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary() | st.dates(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers() | st.none(), inner) | st.tuples(inner),
    max_leaves=30,
)


@given(JSON_LIKE)
def test_no_value_raises_and_one_line_stays_one_line(value: Any) -> None:
    """Whatever is generated becomes valid JSON without a line break (FAULTS V3, V4, G10)."""
    for line in (orjson.dumps(snapshot(value, set())), orjson.dumps(plain(value))):
        assert b"\n" not in line
        orjson.loads(line)
