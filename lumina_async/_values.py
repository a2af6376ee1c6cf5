"""Turns whatever a user hands over into something JSON can hold: bounded, and never by `repr`.

    str                      lone surrogates become U+FFFD; cut at 1,000,000 characters
    bool, None, int          as they are; an int beyond 64 bits becomes its decimal text
    float                    as it is; NaN and infinities become null, with a note
    Enum                     its value
    datetime, date, time     ISO 8601
    timedelta                seconds
    Decimal, UUID, Path      text
    bytes, bytearray         "<bytes: 1234>"
    Mapping                  object; keys become text, at most 200 characters; a second key of the same text is numbered
    list, tuple, set, deque  array
    numpy array or scalar    `tolist()`
    pydantic model           `model_dump()`
    dataclass, attrs         object of its fields
    exception                "Type: message"
    anything else            "<module.Name>"

Deeper than 64 levels, after 100,000 values, or in a cycle, a marker stands for the rest; so does one for an object that
raises while it is read.
"""

# The values are the user's, of any type, so what `isinstance` finds inside a container is unknown by nature.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false

import dataclasses
import datetime as dt
import decimal
import math
import os
import uuid
from collections.abc import Callable, Mapping, Sequence, Set as AbstractSet
from enum import Enum
from typing import Any, TypeVar

import attrs
import orjson

from lumina_async._log import Once

T = TypeVar("T")

MAX_DEPTH = 64
MAX_VALUES = 100_000
MAX_TEXT = 1_000_000
MAX_ID = 200

NOT_A_NUMBER = "a number that is not finite was replaced by null"
CUT = "a value too deep, too large or cyclic was cut"
UNREADABLE = "a value that could not be read was replaced by a marker"

# What orjson would convert by rules of its own, or read past the methods of a subclass, goes by the table instead.
_NATIVE = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS

_ID_FORM = str.maketrans(dict.fromkeys(range(32), "\N{REPLACEMENT CHARACTER}"))


def clean(text: str) -> str:
    """Return the text as UTF-8 can hold it, cut at `MAX_TEXT` characters with a marker that tells its length."""
    if len(text) > MAX_TEXT:
        text = f"{text[:MAX_TEXT]}…[cut, {len(text):,} characters]"
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def identifier(value: object) -> str | None:
    """Return an identifier as the wire takes it: at most 200 characters, no control characters; None when empty."""
    if value is None:
        return None
    text = value if type(value) is str else str(plain(value))
    # Nearly every identifier is fine as it is.
    if len(text) <= MAX_ID and text.isascii() and text.isprintable():
        return text or None
    return clean(text[:MAX_ID]).translate(_ID_FORM) or None


def type_name(kind: type) -> str:
    """Return `module.Name`, or `Name` for a builtin; at most 200 characters."""
    module = kind.__module__
    return (kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}")[:MAX_ID]


def plain(value: object, text: Callable[[str], str] = clean, notes: set[str] | None = None) -> Any:
    """Return the value as plain JSON types, by the table of this module. Never raises.

    Args:
        value: Anything.
        text: What becomes of each string, after `clean`; the mask goes in here. Keys are not passed through it.
        notes: Receives a sentence for each kind of thing that was changed or left out.
    """
    return _Walk(text, set() if notes is None else notes).visit(value, 0)


def snapshot(value: object, notes: set[str] | None = None) -> orjson.Fragment:
    """Return the value's JSON of this moment, strings as they are: by orjson, and by the table where it refuses."""
    try:
        data = orjson.dumps(value, option=_NATIVE)
    except (TypeError, RecursionError):
        return orjson.Fragment(orjson.dumps(plain(value, notes=notes)))
    # orjson writes null for a number that is not finite, and does not say so.
    if notes is not None and b"null" in data:
        plain(value, notes=notes)
    return orjson.Fragment(data)


def fields_of(data: Any, more: Mapping[str, Any], once: Once) -> dict[str, Any]:
    """Return what a user gave as a mapping, or as an attrs object, and as keywords: as one dict, in which keywords win.

    What is no mapping is left out, with a warning: nothing a user hands over raises into a request.
    """
    if data is None:
        return {**more}
    try:
        if attrs.has(type(data)):
            data = attrs.asdict(data, recurse=False, filter=lambda _, value: value is not None)
        return {**data, **more}
    # The mapping is the user's: its keys and its iterator may be anything.
    except Exception:  # noqa: BLE001
        kind = type_name(type(data))
        once.warn("no mapping", "a %s was given where a mapping like {'key': value} is meant: it was left out", kind)
        return {**more}


def each(values: Any, read: Callable[[Any], T], notes: set[str]) -> list[T]:
    """Return what `read` makes of each value; one that raises is left out, and so is the rest of a broken iterator."""
    found: list[T] = []
    try:
        for value in values:
            try:
                found.append(read(value))
            # The value is the user's: whatever is asked of it may raise.
            except Exception:  # noqa: BLE001
                notes.add(UNREADABLE)
    # So is the iterator.
    except Exception:  # noqa: BLE001
        notes.add(UNREADABLE)
    return found


@attrs.define(eq=False, repr=False)
class _Walk:
    """One pass over one value."""

    text: Callable[[str], str]
    notes: set[str]
    left: int = MAX_VALUES
    path: set[int] = attrs.Factory(set[int])

    def visit(self, value: object, depth: int) -> Any:
        """Return the plain form of this value."""
        kind = type(value)
        if kind is str:
            return self.text(clean(value))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        if value is None or kind is bool:
            return value
        self.left -= 1
        if depth > MAX_DEPTH or self.left < 0 or id(value) in self.path:
            self.notes.add(CUT)
            return "[cut]"
        self.path.add(id(value))
        try:
            return self._convert(value, depth)
        # The object is the user's: its iterators, properties and methods may raise anything.
        except Exception:  # noqa: BLE001
            self.notes.add(UNREADABLE)
            return f"<unreadable {type_name(kind)}>"
        finally:
            self.path.discard(id(value))

    def _convert(self, value: object, depth: int) -> Any:
        if isinstance(value, Enum):
            return self.visit(value.value, depth + 1)
        if isinstance(value, int | float | decimal.Decimal):
            return self._number(value)
        if isinstance(value, str):
            return self.text(clean(str.__str__(value)))
        if isinstance(value, Mapping):
            return self._mapping(value.items(), depth)
        if isinstance(value, bytes | bytearray | memoryview):
            return f"<bytes: {len(value)}>"
        if isinstance(value, Sequence | AbstractSet) or type(value).__name__ in {"deque", "dict_values", "dict_keys"}:
            return self._items(value, depth)
        return self._object(value, depth)

    def _number(self, value: float | decimal.Decimal) -> Any:
        if isinstance(value, decimal.Decimal):
            return str(value)
        if isinstance(value, int):
            whole = int(value)
            if whole.bit_length() > 4096:
                return f"<int: {whole.bit_length()} bits>"
            return whole if -(1 << 63) <= whole < 1 << 64 else str(whole)
        if math.isfinite(value):
            return float(value)
        self.notes.add(NOT_A_NUMBER)
        return None

    def _items(self, values: Any, depth: int) -> list[Any]:
        found: list[Any] = []
        for value in values:
            if self.left < 0:
                self.notes.add(CUT)
                break
            found.append(self.visit(value, depth + 1))
        return found

    def _mapping(self, pairs: Any, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if self.left < 0:
                self.notes.add(CUT)
                break
            self.left -= 1
            name = self._key(key)
            if name in found:
                name = f"{name}#{len(found)}"
            found[name] = self.visit(value, depth + 1)
        return found

    def _key(self, key: object) -> str:
        if isinstance(key, str):
            return clean(str.__str__(key)[:MAX_ID])
        if key is None or isinstance(key, bool | int | float | dt.date | uuid.UUID | decimal.Decimal):
            return str(key)[:MAX_ID]
        return self._key(key.value) if isinstance(key, Enum) else f"<{type_name(type(key))}>"

    def _object(self, value: Any, depth: int) -> Any:
        if isinstance(value, dt.date | dt.time):
            return value.isoformat()
        if isinstance(value, dt.timedelta):
            return value.total_seconds()
        if isinstance(value, uuid.UUID | os.PathLike):
            return self.text(clean(str(value)))
        if isinstance(value, BaseException):
            return self.text(clean(f"{type(value).__name__}: {value}"))
        if isinstance(value, type):
            return f"<{type_name(value)}>"
        fields = _fields(value)
        return f"<{type_name(type(value))}>" if fields is None else self.visit(fields, depth + 1)


def _fields(value: Any) -> Any:
    """Return what stands for an object of a well-known kind: its fields, or its list; None for any other."""
    kind = type(value)
    if callable(dump := getattr(kind, "model_dump", None)):
        return dump(value)
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if attrs.has(kind):
        return {field.name: getattr(value, field.name) for field in attrs.fields(kind)}
    if kind.__module__.partition(".")[0] == "numpy" and callable(tolist := getattr(value, "tolist", None)):
        return tolist()
    return None
