"""How one option is read, checked and shown. Every error says what to do, and repeats no secret."""

import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar, cast
from urllib.parse import SplitResult, urlsplit

import attrs

from lumina_async._protocols import CaptureTranscript
from lumina_async.errors import ConfigError

T = TypeVar("T")
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_BOOLEANS = {"1": True, "true": True, "0": False, "false": False}


class WriteKey:
    """A write key that shows itself only to `reveal`: not to `repr`, `str`, a format, a log, a copy or a pickle."""

    __slots__ = ("_key",)

    def __init__(self, key: "str | WriteKey") -> None:
        if isinstance(key, WriteKey):
            key = key.reveal()
        if not isinstance(key, str):  # pyright: ignore[reportUnnecessaryIsInstance]  (callers need not type-check)
            raise ConfigError(f"write_key must be a string, not {type(key).__name__}")
        if len(key) > 500 or not _is_header_safe(key):
            raise ConfigError("write_key must be at most 500 printable ASCII characters without spaces; copy it again")
        self._key = key

    def reveal(self) -> str:
        """Return the key itself, for the one header it belongs in."""
        return self._key

    def __repr__(self) -> str:
        return f"gi_…{self._key[-4:]}" if len(self._key) >= 12 else "gi_…"

    def __bool__(self) -> bool:
        return bool(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WriteKey) and other._key == self._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __copy__(self) -> "WriteKey":
        return self

    def __deepcopy__(self, memo: object) -> "WriteKey":
        return self

    def __reduce__(self) -> str:
        raise TypeError(
            "a LuminaConfig holds the write key and cannot be pickled; build it again from LUMINA_WRITE_KEY"
        )


def from_environment(name: str, parse: Callable[[str], T], default: T) -> Any:
    """Return an attrs factory: the environment's value, else the default. An explicit argument comes before both."""

    def read() -> T:
        raw = os.environ.get(variable := f"LUMINA_{name.upper()}")
        if raw is None:
            return default
        try:
            return parse(raw)
        except (ValueError, KeyError):
            raise ConfigError(f"{variable} holds a value that {name} cannot take; see the table of options") from None

    return attrs.Factory(read)


def flag(name: str, *, default: bool) -> Any:
    def check(_: object, __: object, value: object) -> None:
        if not isinstance(value, bool):
            raise ConfigError(f"{name} must be True or False, not {value!r}")

    return attrs.field(default=from_environment(name, lambda raw: _BOOLEANS[raw.lower()], default), validator=check)


def _whole(name: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ConfigError(f"{name} must be a whole number from {low:,} to {high:,}; got {value!r}")


def number(name: str, *, default: int, low: int, high: int) -> Any:
    def check(_: object, __: object, value: object) -> None:
        _whole(name, value, low, high)

    return attrs.field(default=from_environment(name, int, default), validator=check)


def label(name: str) -> Any:
    def check(_: object, __: object, value: object) -> None:
        if value is not None and not (isinstance(value, str) and 0 < len(value) <= 200 and value.isprintable()):
            raise ConfigError(f"{name} must be 1 to 200 printable characters, or None")

    return attrs.field(default=from_environment(name, str, None), validator=check)


def choice(name: str, default: str, *allowed: str) -> Any:
    def check(_: object, __: object, value: object) -> None:
        if value not in allowed:
            raise ConfigError(f"{name} must be one of {', '.join(map(repr, allowed))}; got {value!r}")

    return attrs.field(default=from_environment(name, str, default), validator=check)


def delays() -> Any:
    def check(_: object, __: Any, value: Any) -> None:
        if not isinstance(value, tuple) or len(delays := cast("tuple[object, ...]", value)) > 10:
            raise ConfigError("retry_delays_ms must be a tuple of at most 10 whole numbers, in milliseconds")
        for delay in delays:
            _whole("each of retry_delays_ms", delay, 0, 300_000)

    def parse(raw: str) -> tuple[int, ...]:
        return tuple(int(part) for part in raw.split(",") if part.strip())

    default: tuple[int, ...] = (300, 600, 900)
    return attrs.field(default=from_environment("retry_delays_ms", parse, default), validator=check)


def check_mask(_: object, __: Any, value: Any) -> None:
    if value is not None and not callable(value):
        raise ConfigError("mask_fn must be a function from text to text, or None for mask_pii")


def check_ssl(_: object, __: Any, value: Any) -> None:
    if value is not None and not hasattr(value, "wrap_socket"):
        raise ConfigError("ssl must be an ssl.SSLContext, or None for the default one")


def check_path(_: object, __: object, value: object) -> None:
    if not isinstance(value, str) or not value.startswith("/") or not _is_header_safe(value):
        raise ConfigError("ingest_path must start with / and hold printable ASCII without spaces")


def folder(value: "str | os.PathLike[str] | None") -> str | None:
    """Turn a path into text; what is neither is left for the check."""
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def check_folder(_: object, __: object, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, str) or not value or "\0" in value:
        raise ConfigError("spool_dir must be the path of a folder, or None")
    if sys.platform == "win32":
        raise ConfigError("spool_dir needs locks that Windows does not have: leave it out there")


def rate(name: str) -> Any:
    def check(_: object, __: object, value: object) -> None:
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
            raise ConfigError(f"{name} must be a number from 0 to 1; got {value!r}")

    return attrs.field(default=from_environment(name, float, 1.0), validator=check)


def has_hooks(name: str, *hooks: str) -> Callable[[object, Any, Any], None]:
    def check(_: object, __: Any, value: Any) -> None:
        missing = [hook for hook in hooks if value is not None and not callable(getattr(value, hook, None))]
        if missing:
            raise ConfigError(f"{name} lacks {', '.join(missing)}: see the protocols of providers")

    return check


def mode(value: "CaptureTranscript | str") -> CaptureTranscript:
    try:
        return CaptureTranscript(value)
    except ValueError:
        raise ConfigError(f"capture_transcript must be 'full', 'masked' or 'none'; got {value!r}") from None


def split_endpoint(value: object) -> SplitResult:
    """Return the parts of an endpoint, or raise without repeating what may hold a password."""
    if not isinstance(value, str) or not _is_header_safe(value):
        raise ConfigError("endpoint must be a URL like https://ingest.example.com, in printable ASCII")
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ConfigError("endpoint is no valid URL: check the host and the port") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise ConfigError("endpoint must start with https:// or http:// and name a host")
    if "@" in parts.netloc:
        raise ConfigError("endpoint must not hold a user or a password; the write key goes into write_key")
    if parts.query or parts.fragment:
        raise ConfigError("endpoint must not hold a query or a fragment")
    return parts


def _is_header_safe(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text
