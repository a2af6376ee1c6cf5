"""Every option, its default, its bound and its unit. Nothing here starts anything."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast
from urllib.parse import SplitResult, urlsplit

import attrs

from lumina_async._protocols import CaptureTranscript, MaskFn
from lumina_async.errors import ConfigError

if TYPE_CHECKING:
    import ssl

T = TypeVar("T")
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
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


def _from_environment(name: str, parse: Callable[[str], T], default: T) -> Any:
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


def _flag(name: str, *, default: bool) -> Any:
    def check(_: object, __: object, value: object) -> None:
        if not isinstance(value, bool):
            raise ConfigError(f"{name} must be True or False, not {value!r}")

    return attrs.field(default=_from_environment(name, lambda raw: _BOOLEANS[raw.lower()], default), validator=check)


def _whole(name: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ConfigError(f"{name} must be a whole number from {low:,} to {high:,}; got {value!r}")


def _number(name: str, *, default: int, low: int, high: int) -> Any:
    def check(_: object, __: object, value: object) -> None:
        _whole(name, value, low, high)

    return attrs.field(default=_from_environment(name, int, default), validator=check)


def _label(name: str) -> Any:
    def check(_: object, __: object, value: object) -> None:
        if value is not None and not (isinstance(value, str) and 0 < len(value) <= 200 and value.isprintable()):
            raise ConfigError(f"{name} must be 1 to 200 printable characters, or None")

    return attrs.field(default=_from_environment(name, str, None), validator=check)


def _choice(name: str, default: str, *allowed: str) -> Any:
    def check(_: object, __: object, value: object) -> None:
        if value not in allowed:
            raise ConfigError(f"{name} must be one of {', '.join(map(repr, allowed))}; got {value!r}")

    return attrs.field(default=_from_environment(name, str, default), validator=check)


def _delays() -> Any:
    def check(_: object, __: Any, value: Any) -> None:
        if not isinstance(value, tuple) or len(delays := cast("tuple[object, ...]", value)) > 10:
            raise ConfigError("retry_delays_ms must be a tuple of at most 10 whole numbers, in milliseconds")
        for delay in delays:
            _whole("each of retry_delays_ms", delay, 0, 300_000)

    def parse(raw: str) -> tuple[int, ...]:
        return tuple(int(part) for part in raw.split(",") if part.strip())

    default: tuple[int, ...] = (300, 600, 900)
    return attrs.field(default=_from_environment("retry_delays_ms", parse, default), validator=check)


def _check_mask(_: object, __: Any, value: Any) -> None:
    if value is not None and not callable(value):
        raise ConfigError("mask_fn must be a function from text to text, or None for mask_pii")


def _check_ssl(_: object, __: Any, value: Any) -> None:
    if value is not None and not hasattr(value, "wrap_socket"):
        raise ConfigError("ssl must be an ssl.SSLContext, or None for the default one")


def _check_path(_: object, __: object, value: object) -> None:
    if not isinstance(value, str) or not value.startswith("/") or not _is_header_safe(value):
        raise ConfigError("ingest_path must start with / and hold printable ASCII without spaces")


def _mode(value: "CaptureTranscript | str") -> CaptureTranscript:
    try:
        return CaptureTranscript(value)
    except ValueError:
        raise ConfigError(f"capture_transcript must be 'full', 'masked' or 'none'; got {value!r}") from None


def _split_endpoint(value: object) -> SplitResult:
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


@attrs.frozen(kw_only=True)
class LuminaConfig:
    """The options of one client, checked when built.

    Each simple option may come from the environment instead: upper case behind `LUMINA_`, so `LUMINA_ENDPOINT`,
    `LUMINA_WRITE_KEY`, `LUMINA_FLUSH_INTERVAL_MS`. Tuples are comma lists, booleans `1`, `0`, `true`, `false`. An
    explicit argument wins. Durations are whole milliseconds, sizes bytes. Source: SPEC section 3.

    Attributes:
        enabled: False: every call works and runs what it is given, and nothing is recorded; then neither key nor
            endpoint is needed.
        write_key: Usually `gi_...`; never shown by `repr`, a log, an error or a traceback.
        endpoint: Origin of the ingest server. Plain `http` off loopback logs a warning.
        ingest_path: Path below the endpoint. The original's other documented path is `/collect/sdk/events`.
        capture_transcript: `FULL`, `MASKED` or `NONE`, also as a string.
        mask_fn: `str -> str`, plain or async; None means `mask_pii`. It fails closed: text for which it raises,
            returns no string or takes over 1 s is replaced by `[MASK_FAILED]`.
        enable_tool_wrapping: False: `record_tool` and `@tool` only run what they are given.
        flush_interval_ms: How long an event waits for company before its batch is sent.
        max_batch_bytes: Size of a batch before compression; a larger event goes alone.
        max_event_bytes: Longer events have their longest strings cut, then lose their content, then count as lost.
        max_queue_bytes: Bound of what waits in memory; when full, the oldest unsent event is lost and counted.
        max_in_flight: Requests at once.
        compression: `"gzip"` or `"none"`.
        request_timeout_ms: One attempt in total: connect, send, read.
        retry_delays_ms: Waits between the attempts of one round.
        scope: `"task"`: one user per task and its children (servers); `"process"`: one for the process (scripts).
        trust_env: Whether proxy variables of the environment are obeyed.
        ssl: An `ssl.SSLContext` for a certificate authority of your own.
        debug: Logs every operation on the logger `lumina_async`.
        environment: Stamped on each event, as in `"production"`.
        release: Stamped on each event, as in `"2026.11.1"`.

    Raises:
        ConfigError: An option is missing or out of its bounds; the message names it.
    """

    enabled: bool = _flag("enabled", default=True)
    write_key: WriteKey = attrs.field(default=_from_environment("write_key", str, ""), converter=WriteKey)
    endpoint: str = attrs.field(default=_from_environment("endpoint", str, ""))
    ingest_path: str = attrs.field(default=_from_environment("ingest_path", str, "/v1/ingest"), validator=_check_path)
    capture_transcript: CaptureTranscript = attrs.field(
        default=_from_environment("capture_transcript", str, CaptureTranscript.MASKED.value), converter=_mode
    )
    mask_fn: MaskFn | None = attrs.field(default=None, validator=_check_mask)
    enable_tool_wrapping: bool = _flag("enable_tool_wrapping", default=True)
    flush_interval_ms: int = _number("flush_interval_ms", default=5_000, low=1, high=3_600_000)
    max_batch_bytes: int = _number("max_batch_bytes", default=100_000, low=1_000, high=8_000_000)
    max_event_bytes: int = _number("max_event_bytes", default=900_000, low=1_000, high=2_000_000)
    max_queue_bytes: int = _number("max_queue_bytes", default=67_108_864, low=1_000, high=1 << 40)
    max_in_flight: int = _number("max_in_flight", default=8, low=1, high=256)
    compression: Literal["gzip", "none"] = _choice("compression", "gzip", "gzip", "none")
    request_timeout_ms: int = _number("request_timeout_ms", default=10_000, low=1, high=600_000)
    retry_delays_ms: tuple[int, ...] = _delays()
    scope: Literal["task", "process"] = _choice("scope", "task", "task", "process")
    trust_env: bool = _flag("trust_env", default=False)
    ssl: "ssl.SSLContext | None" = attrs.field(default=None, validator=_check_ssl)
    debug: bool = _flag("debug", default=False)
    environment: str | None = _label("environment")
    release: str | None = _label("release")

    def __attrs_post_init__(self) -> None:
        """Check what depends on more than one option."""
        if not self.enabled:
            return
        for name in ("write_key", "endpoint"):
            if not getattr(self, name):
                raise ConfigError(f"{name} is missing: pass {name}=... or set LUMINA_{name.upper()}")
        _split_endpoint(self.endpoint)

    @property
    def url(self) -> str:
        """The address that batches are posted to."""
        return self.endpoint.rstrip("/") + self.ingest_path

    def warnings(self) -> tuple[str, ...]:
        """Return what is allowed but probably a mistake, one sentence each."""
        found: list[str] = []
        if not self.enabled:
            return ()
        if not self.write_key.reveal().startswith("gi_"):
            found.append("the write key does not start with gi_; check that it is the key of this project")
        parts = _split_endpoint(self.endpoint)
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            found.append("the endpoint is plain http: the write key and all text can be read on the way; use https")
        return tuple(found)

    def differences(self, other: "LuminaConfig") -> tuple[str, ...]:
        """Return the names of the options in which two configurations differ; callables compare by identity."""
        names = (field.name for field in attrs.fields(LuminaConfig))
        return tuple(name for name in names if getattr(self, name) != getattr(other, name))
