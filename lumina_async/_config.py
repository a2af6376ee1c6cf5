"""Every option, its default, its bound and its unit. Nothing here starts anything."""

from typing import TYPE_CHECKING, Any, Literal

import attrs

from lumina_async._compression import compressor
from lumina_async._options import (
    LOOPBACK,
    WriteKey,
    check_folder,
    check_mask,
    check_path,
    check_ssl,
    choice,
    delays,
    flag,
    folder,
    from_environment,
    has_hooks,
    label,
    mode,
    number,
    rate,
    split_endpoint,
)
from lumina_async._protocols import (
    CaptureTranscript,
    MaskFn,
    NullUIProvider,
    SystemAnalyticsProvider,
    UIAnalyticsProvider,
)
from lumina_async.errors import ConfigError

if TYPE_CHECKING:
    import ssl


@attrs.frozen(kw_only=True)
class Sampling:
    """Which share is recorded, from 0 to 1. Also from the environment: `LUMINA_SAMPLING_TURN` and so on.

    Attributes:
        turn: Of sessions as a whole: all turns of a session, or none.
        ui_event: Of chat-input and signal events.
        span: Of the turns that the system provider is told of.
    """

    turn: float = rate("sampling_turn")
    ui_event: float = rate("sampling_ui_event")
    span: float = rate("sampling_span")


def _check_sampling(_: object, __: Any, value: Any) -> None:
    if not isinstance(value, Sampling):
        raise ConfigError("sampling must be Sampling(turn=..., ui_event=..., span=...)")


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
        compression: `"gzip"`, `"none"`, or `"zstd"`, which before Python 3.14 needs `lumina-async[zstd]`.
        request_timeout_ms: One attempt in total: connect, send, read.
        retry_delays_ms: Waits between the attempts of one round.
        spool_dir: A folder on a local disk; every event is written there before `finish` returns, and one that was not
            sent when the process died is sent by the next one. One folder for each project. Not on Windows.
        spool_fsync: When the disk is made to keep it through a loss of power: `"off"`, `"interval"` (each second) or
            `"always"` (before it is sent).
        spool_max_bytes: Bound of what waits there; beyond it events wait in memory only.
        sampling: Which share of sessions, chat-input events and spans is recorded.
        ui_analytics: What records the person's screen, like PostHog.
        system_analytics: What records what the system does, like a tracer.
        identity_file: With `scope="process"`: where the user is kept between runs.
        scope: `"task"`: one user per task and its children (servers); `"process"`: one for the process (scripts).
        trust_env: Whether proxy variables of the environment are obeyed.
        ssl: An `ssl.SSLContext` for a certificate authority of your own.
        debug: Logs every operation on the logger `lumina_async`.
        environment: Stamped on each event, as in `"production"`.
        release: Stamped on each event, as in `"2026.11.1"`.

    Raises:
        ConfigError: An option is missing or out of its bounds; the message names it.
    """

    enabled: bool = flag("enabled", default=True)
    write_key: WriteKey = attrs.field(default=from_environment("write_key", str, ""), converter=WriteKey)
    endpoint: str = attrs.field(default=from_environment("endpoint", str, ""))
    ingest_path: str = attrs.field(default=from_environment("ingest_path", str, "/v1/ingest"), validator=check_path)
    capture_transcript: CaptureTranscript = attrs.field(
        default=from_environment("capture_transcript", str, CaptureTranscript.MASKED.value), converter=mode
    )
    mask_fn: MaskFn | None = attrs.field(default=None, validator=check_mask)
    enable_tool_wrapping: bool = flag("enable_tool_wrapping", default=True)
    flush_interval_ms: int = number("flush_interval_ms", default=5_000, low=1, high=3_600_000)
    max_batch_bytes: int = number("max_batch_bytes", default=100_000, low=1_000, high=8_000_000)
    max_event_bytes: int = number("max_event_bytes", default=900_000, low=1_000, high=2_000_000)
    max_queue_bytes: int = number("max_queue_bytes", default=67_108_864, low=1_000, high=1 << 40)
    max_in_flight: int = number("max_in_flight", default=8, low=1, high=256)
    compression: Literal["gzip", "zstd", "none"] = choice("compression", "gzip", "gzip", "zstd", "none")
    request_timeout_ms: int = number("request_timeout_ms", default=10_000, low=1, high=600_000)
    retry_delays_ms: tuple[int, ...] = delays()
    spool_dir: str | None = attrs.field(
        default=from_environment("spool_dir", str, None), converter=folder, validator=check_folder
    )
    spool_fsync: Literal["off", "interval", "always"] = choice("spool_fsync", "interval", "off", "interval", "always")
    spool_max_bytes: int = number("spool_max_bytes", default=1 << 30, low=100_000, high=1 << 50)
    sampling: Sampling = attrs.field(factory=Sampling, validator=_check_sampling)
    ui_analytics: UIAnalyticsProvider = attrs.field(
        factory=NullUIProvider, validator=has_hooks("ui_analytics", "tag_turn", "get_session_id", "get_replay_url")
    )
    system_analytics: SystemAnalyticsProvider | None = attrs.field(
        default=None, validator=has_hooks("system_analytics", "start_turn", "end_turn", "start_span", "end_span")
    )
    identity_file: str | None = label("identity_file")
    scope: Literal["task", "process"] = choice("scope", "task", "task", "process")
    trust_env: bool = flag("trust_env", default=False)
    ssl: "ssl.SSLContext | None" = attrs.field(default=None, validator=check_ssl)
    debug: bool = flag("debug", default=False)
    environment: str | None = label("environment")
    release: str | None = label("release")

    def __attrs_post_init__(self) -> None:
        """Check what depends on more than one option."""
        if self.identity_file is not None and self.scope != "process":
            raise ConfigError("identity_file keeps the one user of a process: it needs scope='process'")
        if not self.enabled:
            return
        for name in ("write_key", "endpoint"):
            if not getattr(self, name):
                raise ConfigError(f"{name} is missing: pass {name}=... or set LUMINA_{name.upper()}")
        split_endpoint(self.endpoint)
        if self.compression == "zstd" and compressor("zstd") is None:
            raise ConfigError('compression="zstd" needs a module: pip install "lumina-async[zstd]"')

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
        parts = split_endpoint(self.endpoint)
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            found.append("the endpoint is plain http: the write key and all text can be read on the way; use https")
        return tuple(found)

    def differences(self, other: "LuminaConfig") -> tuple[str, ...]:
        """Return the names of the options in which two configurations differ; callables compare by identity."""
        names = (field.name for field in attrs.fields(LuminaConfig))
        return tuple(name for name in names if getattr(self, name) != getattr(other, name))
