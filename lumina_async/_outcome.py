"""What an answer of the ingest server means for the batch. Pure: no clock, no randomness, no I/O.

    stored   2xx, but not an HTML page
    retry    no answer, 408, 425, 429, 5xx but 501 and 505
    split    413, 400, 422
    plain    415 to a compressed body
    pause    everything else, redirects included: keep the data, try again later

There is no branch that throws a batch away. Source: SPEC section 8.
"""

import re
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any

import attrs
import orjson

MAX_RETRY_AFTER_S = 300.0

_RETRY = frozenset({408, 425, 429})
_SPLIT = frozenset({400, 413, 422})
_NOT_TRANSIENT = frozenset({501, 505})
_SECONDS = re.compile(r"\d{1,20}(\.\d{1,9})?")


class Action(StrEnum):
    """What to do with the batch."""

    STORED = "stored"
    """The server has it, but for the lines it rejects by name."""
    RETRY = "retry"
    """Send the same bytes again, later."""
    SPLIT = "split"
    """Something in it is too large or malformed: halve it and find out what."""
    PLAIN = "plain"
    """Send it again at once, and everything from now on, uncompressed."""
    PAUSE = "pause"
    """The key, the address or the server is wrong: keep everything, try one event now and then."""


@attrs.frozen(kw_only=True)
class Answer:
    """What came back, or that nothing did.

    Attributes:
        status: The HTTP status; None when there was no answer.
        failure: In a word what went wrong when there was no answer: the name of an exception, never its text, which
            may hold the request's headers.
        content_type: Of the answer.
        body: At most 64 kB of it.
        retry_after: The header, when there was exactly one.
        date: The server's `Date` header.
    """

    status: int | None = None
    failure: str = ""
    content_type: str = ""
    body: bytes = b""
    retry_after: str | None = None
    date: str | None = None

    def __str__(self) -> str:
        return self.failure if self.status is None else f"status {self.status}"


@attrs.frozen(kw_only=True)
class Outcome:
    """What an answer means.

    Attributes:
        action: What to do.
        retry_after_s: The least wait that the server asks for, 0 to 300 s; None when it asks for none.
        rejected: Of a stored batch, the lines that the server refuses for good: number (from 0) and its code.
    """

    action: Action
    retry_after_s: float | None = None
    rejected: tuple[tuple[int, str], ...] = ()


def decide(answer: Answer, *, compressed: bool) -> Outcome:
    """Return what this answer means for the batch it answers.

    Args:
        answer: What came back.
        compressed: Whether the body of the request was.
    """
    status = answer.status
    if status is None or status in _RETRY or (500 <= status <= 599 and status not in _NOT_TRANSIENT):
        return Outcome(action=Action.RETRY, retry_after_s=_retry_after(answer))
    if 200 <= status <= 299 and "html" not in answer.content_type:
        return Outcome(action=Action.STORED, rejected=_rejected(answer.body))
    if status in _SPLIT:
        return Outcome(action=Action.SPLIT)
    if status == 415 and compressed:
        return Outcome(action=Action.PLAIN)
    return Outcome(action=Action.PAUSE)


def _retry_after(answer: Answer) -> float | None:
    """Return the seconds that `Retry-After` asks for; a date counts from the server's `Date`, not from our clock."""
    text = (answer.retry_after or "").strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), MAX_RETRY_AFTER_S)
    try:
        wait = parsedate_to_datetime(text) - parsedate_to_datetime(answer.date or "")
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(wait.total_seconds(), 0.0), MAX_RETRY_AFTER_S)


def _rejected(body: bytes) -> tuple[tuple[int, str], ...]:
    """Return the rejected lines of a JSON answer, by number from 0; an answer of any other form rejects none."""
    try:
        answer: Any = orjson.loads(body)
        found = {int(row["line"]) - 1: str(row.get("code", "rejected"))[:50] for row in answer["rejected"]}
    except (ValueError, TypeError, KeyError, AttributeError):
        return ()
    return tuple(sorted(found.items()))
