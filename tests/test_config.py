"""Options: defaults, the environment, bounds, and a key that nobody sees."""

import copy
import pickle
import ssl
from typing import Any

import attrs
import pytest
from hypothesis import given, strategies as st

from lumina_async import CaptureTranscript, ConfigError, LuminaConfig

GIVEN = {"endpoint": "https://ingest.example.com", "write_key": "gi_canary_0123456789"}


def test_the_defaults_are_those_of_the_specification() -> None:
    """SPEC 3 names every default."""
    config = LuminaConfig(**GIVEN)
    assert config.url == "https://ingest.example.com/v1/ingest"
    assert config.capture_transcript is CaptureTranscript.MASKED
    assert (config.flush_interval_ms, config.max_batch_bytes, config.max_event_bytes) == (5_000, 100_000, 900_000)
    assert (config.max_queue_bytes, config.max_in_flight) == (67_108_864, 8)
    assert (config.request_timeout_ms, config.retry_delays_ms) == (10_000, (300, 600, 900))
    assert (config.compression, config.scope, config.enabled, config.debug) == ("gzip", "task", True, False)


def test_simple_options_come_from_the_environment_and_an_argument_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Upper case behind LUMINA_; tuples are comma lists, booleans 1/0/true/false."""
    values = {
        "ENDPOINT": "http://localhost:4600",
        "WRITE_KEY": "gi_from_environment",
        "CAPTURE_TRANSCRIPT": "none",
        "FLUSH_INTERVAL_MS": "250",
        "RETRY_DELAYS_MS": "1, 2,3",
        "TRUST_ENV": "true",
        "ENVIRONMENT": "staging",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"LUMINA_{name}", value)
    config = LuminaConfig(flush_interval_ms=7)
    assert config.write_key.reveal() == "gi_from_environment"
    assert config.capture_transcript is CaptureTranscript.NONE
    assert (config.flush_interval_ms, config.retry_delays_ms) == (7, (1, 2, 3))
    assert (config.trust_env, config.environment) == (True, "staging")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("flush_interval_ms", float("nan")),
        ("flush_interval_ms", 0),
        ("flush_interval_ms", True),
        ("max_batch_bytes", -1),
        ("max_event_bytes", 2_000_001),
        ("max_queue_bytes", "64MB"),
        ("max_in_flight", 0),
        ("request_timeout_ms", 0),
        ("retry_delays_ms", [300]),
        ("retry_delays_ms", (-1,)),
        ("compression", "brotli"),
        ("scope", "thread"),
        ("capture_transcript", "some"),
        ("mask_fn", "mask"),
        ("ssl", "yes"),
        ("enabled", 1),
        ("ingest_path", "v1/ingest"),
        ("ingest_path", "/a\r\nX: y"),
        ("environment", "a\nb"),
        ("endpoint", "file:///etc/passwd"),
        ("endpoint", "ingest.example.com"),
        ("endpoint", "https://"),
        ("endpoint", "https://host:99999"),
        ("endpoint", "https://host/?q=1"),
        ("endpoint", "https://höst"),
        ("write_key", 17),
        ("write_key", "gi_a\r\nb"),
        ("write_key", "gi_ü"),
    ],
)
def test_a_bad_option_is_an_error_that_names_it(option: str, value: Any) -> None:
    """Every bound is checked when the configuration is built (FAULTS Q10)."""
    with pytest.raises(ConfigError, match=option):
        LuminaConfig(**(GIVEN | {option: value}))


def test_an_endpoint_with_a_password_is_refused_without_repeating_it() -> None:
    """Userinfo in the endpoint is an error that does not show it."""
    with pytest.raises(ConfigError, match="user or a password") as caught:
        LuminaConfig(endpoint="https://me:hunter2@host", write_key="gi_x")
    assert "hunter2" not in str(caught.value)


def test_a_bad_environment_value_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says which variable to look at."""
    monkeypatch.setenv("LUMINA_MAX_IN_FLIGHT", "many")
    with pytest.raises(ConfigError, match="LUMINA_MAX_IN_FLIGHT"):
        LuminaConfig(**GIVEN)


def test_nothing_shows_the_key() -> None:
    """repr, str, a format, asdict, a copy and a traceback mask it; a pickle is refused (FAULTS S1)."""
    config = LuminaConfig(**GIVEN)
    shown = [repr(config), str(config), f"{config.write_key}", repr(attrs.asdict(config)), repr(copy.deepcopy(config))]
    assert all("canary" not in text for text in shown)
    assert "gi_…6789" in shown[0]
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(config)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], min_codepoint=127), min_size=1))
def test_no_key_is_repeated_by_its_error(noise: str) -> None:
    """Whatever is wrong with a key, the error does not hold it (FAULTS Q10)."""
    with pytest.raises(ConfigError) as caught:
        LuminaConfig(endpoint="https://host", write_key=f"gi_{noise}canary")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"endpoint": "http://example.com"}, "plain http"), ({"write_key": "pk_other"}, "gi_")],
    ids=["plain http", "another key"],
)
def test_what_is_probably_a_mistake_is_warned_of(options: dict[str, str], words: str) -> None:
    """Plain http off loopback and an unusual key are allowed, and told (FAULTS N20)."""
    [warning] = LuminaConfig(**(GIVEN | options)).warnings()
    assert words in warning
    assert not LuminaConfig(endpoint="http://127.0.0.1:1", write_key="gi_x").warnings()


def test_differences_name_the_fields() -> None:
    """Callables compare by identity."""
    one = LuminaConfig(**GIVEN, mask_fn=str.upper)
    assert one.differences(LuminaConfig(**GIVEN, mask_fn=str.upper)) == ()
    assert one.differences(LuminaConfig(**GIVEN, mask_fn=lambda text: text, debug=True)) == ("mask_fn", "debug")


def test_an_ssl_context_is_taken() -> None:
    """A certificate authority of one's own is given as a context."""
    context = ssl.create_default_context()
    assert LuminaConfig(**GIVEN, ssl=context).ssl is context
