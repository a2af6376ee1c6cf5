"""What the doctor looks at, in order; each finding is a sentence. It needs the SDK alone, no command line."""

import os
from collections.abc import AsyncGenerator
from datetime import datetime
from enum import StrEnum
from ipaddress import ip_address
from urllib.parse import urlsplit

import attrs

from lumina_async._config import LuminaConfig
from lumina_async.doctor.advice import meaning, skew_s
from lumina_async.doctor.connection import reach
from lumina_async.doctor.disk import spool_state
from lumina_async.doctor.server import Collector, Fields, Sent, ask_collector, redirect_target, send_ping
from lumina_async.errors import ConfigError

DEV_KEY = "gi_dev"
MAX_SKEW_S = 60.0


class Mark(StrEnum):
    """How a check ended."""

    OK = "ok"
    """As it should be."""
    WARN = "warn"
    """It works, and is probably not meant."""
    FAIL = "FAIL"
    """Events do not arrive for this reason."""
    UNKNOWN = "?"
    """This server does not let it be seen."""


@attrs.frozen
class Check:
    """One finding.

    Attributes:
        name: What was looked at.
        mark: How it is.
        sentence: What was found, and what to do; it never holds the write key.
    """

    name: str
    mark: Mark
    sentence: str


async def diagnose(endpoint: str | None = None) -> AsyncGenerator[Check, None]:
    """Yield one finding after another, from the configuration to an event that is read back, or to a dead end.

    One event is sent, a ping. Nothing that the server or the network does raises.

    Args:
        endpoint: Origin of the ingest server; None for `LUMINA_ENDPOINT`. Everything else comes from the environment;
            for a server on this machine the key of `lumina dev` is taken where `LUMINA_WRITE_KEY` is not set.
    """
    try:
        config = configured(endpoint)
    except ConfigError as error:
        yield Check("configuration", Mark.FAIL, f"The SDK refuses to start: {error}.{_hint(endpoint)}")
        return
    if not config.enabled:
        yield Check("configuration", Mark.WARN, "LUMINA_ENABLED is off: every call works and nothing is recorded.")
        return
    key = config.write_key.reveal()
    async for check in _examined(config):
        # The key may stand in an address or in what a server says. One so short is none, but may be a part of a word.
        yield attrs.evolve(check, sentence=check.sentence.replace(key, "[key]")) if len(key) >= 8 else check


async def _examined(config: LuminaConfig) -> AsyncGenerator[Check, None]:
    yield _configuration(config)
    for warning in config.warnings():
        yield Check("configuration", Mark.WARN, f"{warning[0].upper()}{warning[1:]}.")
    if (spool := spool_state(config)) is not None:
        yield Check("spool", Mark.OK if spool[0] else Mark.WARN, spool[1])
    is_reached, how = await reach(config)
    yield Check("reachability", Mark.OK if is_reached else Mark.FAIL, how)
    if is_reached:
        async for check in _server(config):
            yield check


def configured(endpoint: str | None) -> LuminaConfig:
    """Return the configuration that an app has here, or raise the `ConfigError` that it gets."""
    endpoint = os.environ.get("LUMINA_ENDPOINT", "") if endpoint is None else endpoint
    if not os.environ.get("LUMINA_WRITE_KEY") and _is_loopback(endpoint):
        return LuminaConfig(endpoint=endpoint, write_key=DEV_KEY)
    return LuminaConfig(endpoint=endpoint)


def _hint(endpoint: str | None) -> str:
    is_given = endpoint or os.environ.get("LUMINA_ENDPOINT")
    return "" if is_given else " For a collector on this machine: lumina doctor --endpoint http://127.0.0.1:4600"


def _is_loopback(endpoint: str) -> bool:
    try:
        host = urlsplit(endpoint).hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _configuration(config: LuminaConfig) -> Check:
    key = "of LUMINA_WRITE_KEY" if os.environ.get("LUMINA_WRITE_KEY") else "that `lumina dev` names"
    mode = config.capture_transcript.value
    sentence = f"Events go to {config.url} with the write key {key}; transcripts are captured in the mode {mode}."
    return Check("configuration", Mark.OK, sentence)


async def _server(config: LuminaConfig) -> AsyncGenerator[Check, None]:
    """Yield what a ping shows, and what the server tells."""
    sent = await send_ping(config)
    yield await _ping(config, sent)
    collector = await ask_collector(config, sent.event_id)
    if sent.is_stored and collector is not None and collector.project is not None:
        yield Check("project", Mark.OK, f"The write key belongs to the project {collector.project}.")
    if sent.is_stored:
        yield _read_back(collector)
    if (clock := _clock(sent)) is not None:
        yield clock
    if collector is not None:
        facts = ", ".join(f"{word} {value}" for word, value in collector.facts.items())
        yield _health(collector.status, facts)
        if (queue := _queue(collector)) is not None:
            yield queue


async def _ping(config: LuminaConfig, sent: Sent) -> Check:
    status = sent.answer.status
    if not sent.is_stored:
        target = await redirect_target(config) if status is not None and 300 <= status <= 399 else None
        return Check("ping", Mark.FAIL, meaning(sent.answer, sent.outcome, config, target))
    sentence = f"The write key passes, and the server stored the ping (status {status}) in {sent.took_ms:.0f} ms."
    if not sent.is_plain:
        return Check("ping", Mark.OK, sentence)
    hint = " It takes no compressed body, so LUMINA_COMPRESSION=none saves a request at each start."
    return Check("ping", Mark.WARN, sentence + hint)


def _read_back(collector: Collector | None) -> Check:
    if collector is None:
        sentence = (
            "Whether the ping can be seen there is unknown: the server does not say that it is a Lumina collector."
        )
        return Check("read back", Mark.UNKNOWN, sentence)
    if not collector.is_open:
        sentence = "The collector shows its events to whoever has its page token, so look for the ping on its page."
        return Check("read back", Mark.UNKNOWN, sentence)
    if collector.ping is None:
        sentence = "The server claims to have stored the ping and does not show it: is the page that of another server?"
        return Check("read back", Mark.FAIL, sentence)
    return Check("read back", Mark.OK, "The ping is there, on the collector's page as well.")


def _clock(sent: Sent) -> Check | None:
    ahead_s = skew_s(sent.answer, sent.at_s)
    if ahead_s is None:
        return None
    if abs(ahead_s) <= MAX_SKEW_S:
        return Check(
            "clock", Mark.OK, f"This machine and the server agree on the time, to {max(1, abs(ahead_s)):.0f} s."
        )
    side = "ahead of" if ahead_s > 0 else "behind"
    sentence = f"This machine is {abs(ahead_s):,.0f} s {side} the server: set the clock that is wrong, for events are "
    return Check("clock", Mark.WARN, f"{sentence}ordered by it, and refused when they are a day ahead.")


def _health(status: str, facts: str) -> Check:
    if status == "ok":
        return Check("server", Mark.OK, f"A Lumina collector: {facts}.")
    return Check("server", Mark.WARN, f"A Lumina collector that is {status}, see its /healthz and its log: {facts}.")


def _queue(collector: Collector) -> Check | None:
    """Tell how long ago the latest event arrived, by the server's own clock."""
    if collector.ping is None:
        return None
    if collector.newest is None:
        sentence = "Nothing but pings has arrived lately; an app has to await Lumina.flush() or shutdown() as it ends."
        return Check("queue age", Mark.OK, sentence)
    arrived, ours = _received(collector.newest), _received(collector.ping)
    if arrived is None or ours is None:
        return None
    age_s = max(0.0, (ours - arrived).total_seconds())
    return Check("queue age", Mark.OK, f"The latest event before the ping arrived {age_s:,.0f} s earlier.")


def _received(event: Fields) -> datetime | None:
    try:
        return datetime.fromisoformat(str(event.get("received_at")))
    except ValueError:
        return None
