"""What an answer to the ping means and what to do about it, in a sentence or two. Pure."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from lumina_async._config import LuminaConfig
from lumina_async._outcome import Action, Answer, Outcome

PATHS = ("/v1/ingest", "/collect/sdk/events")
"""The ingest paths that the original documents."""

_KEPT = "The SDK keeps its events and sends them again."
_REFUSED = {
    400: "It does not understand the ping: check that ingest_path takes NDJSON, and what a proxy on the way changes.",
    401: "It does not take the write key: copy the key of this project again into LUMINA_WRITE_KEY. "
    "At a Lumina collector it may be revoked (`lumina keys list`), and `lumina keys create` makes another.",
    403: "It does not take the write key: check that it is a write key, of this project, and not revoked.",
    407: "A proxy asks for a user and a password: put them into the proxy variables of the environment.",
    413: "A ping is too large for it: a proxy on the way has too small a limit for bodies.",
    415: "It takes no NDJSON at this path: check ingest_path.",
    421: "It does not go by this name: use the host that it is configured for (`lumina dev`: 127.0.0.1 or localhost; "
    "`lumina collector`: what --allowed-host says).",
}


def meaning(answer: Answer, outcome: Outcome, config: LuminaConfig, target: str | None) -> str:
    """Return what it means that the server did not store the ping, and what to do.

    Args:
        answer: What came back.
        outcome: What the SDK makes of it.
        config: Where the ping was sent to.
        target: The origin that it redirects to, where it does and says so.
    """
    status = answer.status
    if status is None:
        return _silence(answer, config)
    if outcome.rejected:
        return _rejection(outcome.rejected[0][1])
    if outcome.action is Action.RETRY:
        return _patience(status, outcome)
    if 200 <= status <= 299:
        return (
            f"A web page came back (status {status}), not the answer of an ingest server: a captive portal or a login "
            "page is in between, or the endpoint is that of a web site."
        )
    if 300 <= status <= 399:
        return _redirect(status, config, target)
    return f"The server refuses the ping (status {status}). {_REFUSED.get(status) or _elsewhere(status, config)}"


def _silence(answer: Answer, config: LuminaConfig) -> str:
    if answer.failure.endswith("TimeoutError"):
        return f"The server takes the connection and gives no answer within {config.request_timeout_ms:,} ms. {_KEPT}"
    other = "http" if config.endpoint.startswith("https") else "https"
    return (
        f"The connection ended without an answer of HTTP ({answer.failure}): check that an ingest server listens on "
        f"this port, and whether the endpoint should be {other}://."
    )


def _rejection(code: str) -> str:
    hint = {
        "bad_id": "this machine's clock is probably wrong",
        "too_old": "this machine's clock is probably wrong",
        "unsupported_version": "the server is older than this SDK: upgrade it first",
    }.get(code, "see the log of the server")
    # Any other code is the server's own text, and is not repeated.
    return f"The server took the request and rejected the ping in it: {hint}."


def _patience(status: int, outcome: Outcome) -> str:
    wait = f" for {outcome.retry_after_s:.0f} s" if outcome.retry_after_s else ""
    if status in {425, 429}:
        return f"The server asks for patience{wait} (status {status}): too much is sent to it at the moment. {_KEPT}"
    what = "did not get the whole request" if status == 408 else "is out of order"
    return f"The server, or a proxy before it, {what}{wait} (status {status}): its log says more. {_KEPT}"


def _redirect(status: int, config: LuminaConfig, target: str | None) -> str:
    where = "without saying where to" if target is None else f"to {target}"
    todo = "check endpoint and ingest_path"
    if target is not None:
        own = target == config.endpoint.rstrip("/")
        todo = (
            "another path of it: check ingest_path" if own else f"if that is your server, set the endpoint to {target}"
        )
    return f"The server redirects {where} (status {status}), and the SDK follows no redirect with a key: {todo}."


def _elsewhere(status: int, config: LuminaConfig) -> str:
    others = " or ".join(path for path in PATHS if path != config.ingest_path)
    if status in {404, 405, 410, 501}:
        return f"It takes no events at {config.ingest_path}: try LUMINA_INGEST_PATH={others}, and check the endpoint."
    return "Check endpoint and ingest_path."


def skew_s(answer: Answer, at_s: float) -> float | None:
    """Return the seconds by which our clock is ahead of the server's, to a second; None where it tells no time.

    Args:
        answer: What came back, with the server's `Date`.
        at_s: Our time, in seconds since the epoch, when it was made.
    """
    try:
        date = parsedate_to_datetime(answer.date or "")
    except (ValueError, TypeError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    # The header cuts off the fraction of its second.
    return at_s - (date - datetime.fromtimestamp(0, UTC)).total_seconds() - 0.5
