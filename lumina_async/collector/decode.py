"""From the bytes of a request body to rows and rejections.

Pure: no clock, no I/O, and no bytes make it raise anything but `ProblemError`.
"""

from collections.abc import Iterator
from typing import cast

import attrs
import orjson

from lumina_async._trace import new_event_id
from lumina_async.collector.errors import ProblemError
from lumina_async.collector.facts import Fields, Rejected, row_of
from lumina_async.collector.store import Row
from lumina_async.collector.unpack import DamagedError, pieces

_BOM = b"\xef\xbb\xbf"


@attrs.frozen(kw_only=True)
class Limits:
    """What one request may hold, and all together. Each bound is inclusive."""

    body_bytes: int = 8 * 1024 * 1024
    """As sent."""
    unpacked_bytes: int = 16 * 1024 * 1024
    """After decompression."""
    line_bytes: int = 2 * 1024 * 1024
    lines: int = 10_000
    """Line ends, so that a body of nothing else costs no time."""
    held_bytes: int = 64 * 1024 * 1024
    """As sent, all requests together that are not answered yet; beyond it others get 503 before they are read."""
    ahead_ms: int = 24 * 3600 * 1000
    """How far ahead of this machine's clock the time in an id may be."""
    retention_ms: int | None = None
    """How old the time in an id may be; None keeps everything for good."""


@attrs.frozen(kw_only=True)
class Rejection:
    """A line that is not stored, and why."""

    line: int
    """Counted from 1, blank lines included."""
    event_id: str | None
    code: str
    message: str


@attrs.frozen(kw_only=True)
class Decoded:
    """What a body holds."""

    rows: tuple[Row, ...]
    rejections: tuple[Rejection, ...]

    @property
    def count(self) -> int:
        """How many lines are not blank."""
        return len(self.rows) + len(self.rejections)


def too_large(what: str, limit: int) -> ProblemError:
    """Return the 413 for a body beyond a limit, which it names."""
    message = f"{what}; the limit is {limit}. Send less at once."
    return ProblemError(413, "too_large", message, detail={"limit": limit}, close=True)


def unpack(body: bytes, encoding: str, limits: Limits) -> bytes | bytearray:
    """Return the body as it was before compression.

    Args:
        body: The bytes as they came, not more than `limits.body_bytes`.
        encoding: `gzip`, `zstd` or `identity`.
        limits: The bounds.

    Raises:
        ProblemError: 413 beyond the limit. 408 for a stream that is cut, corrupt, or followed by other bytes: that is
            damage on the way, and 408 makes the sender try again (FAULTS C4).
    """
    if encoding == "identity":
        return body
    out = bytearray()
    try:
        for piece in pieces(body, encoding):
            out += piece
            if len(out) > limits.unpacked_bytes:
                raise too_large("The body is too large after decompression", limits.unpacked_bytes)
    except DamagedError as damage:
        message = f"The {encoding} stream is {damage}, or other bytes follow it. Send it again."
        raise ProblemError(408, f"{damage}_{encoding}", message) from None
    return out  # Not copied: it may be all that the bound allows.


def decode(body: bytes | bytearray, now_ns: int, limits: Limits) -> Decoded:
    """Return the rows of a body, and a rejection for each line that is none.

    Lines end with LF; a CR before it, a byte order mark at the start, blank lines and a missing last LF do not matter.

    Args:
        body: NDJSON, after decompression.
        now_ns: Wall-clock nanoseconds since the epoch, against which the times in ids are judged.
        limits: The bounds.

    Raises:
        ProblemError: 413 when the body has more lines than allowed.
    """
    if body.count(b"\n") > limits.lines:
        raise too_large("The body has too many lines", limits.lines)
    rows: list[Row] = []
    rejections: list[Rejection] = []
    for number, line in _lines(body, limits.line_bytes):
        try:
            rows.append(_row(line, now_ns, limits))
        except Rejected as why:
            rejections.append(Rejection(line=number, event_id=why.event_id, code=why.code, message=why.message))
    return Decoded(rows=tuple(rows), rejections=tuple(rejections))


def _lines(body: bytes | bytearray, limit: int) -> Iterator[tuple[int, bytes | bytearray]]:
    start = len(_BOM) if body.startswith(_BOM) else 0
    number = 0
    while start < len(body):
        number += 1
        end = body.find(b"\n", start)
        if end < 0:
            end = len(body)
        # Of a line that is too long no more is copied than shows that it is.
        is_long = end - start > limit + len(b"\r")
        line = body[start : start + limit + 1] if is_long else body[start:end].strip(b" \t\r")
        start = end + 1
        if line:
            yield number, line


def _row(line: bytes | bytearray, now_ns: int, limits: Limits) -> Row:
    if len(line) > limits.line_bytes:
        raise Rejected("too_large", f"The line has more than {limits.line_bytes} bytes.")
    try:
        event: object = orjson.loads(line)
    except orjson.JSONDecodeError:
        # The parser's own message quotes nothing, but says less than this to someone who reads a list of rejections.
        raise Rejected("bad_json", "The line is not JSON (RFC 8259) in UTF-8.") from None
    if not isinstance(event, dict):
        raise Rejected("bad_event", "The line is no JSON object.")
    fields = cast("Fields", event)
    body = line.decode()
    if "event_id" not in fields:
        fields["event_id"] = event_id = new_event_id(now_ns)
        # An object without fields has no name either and is refused below, so a comma is right here.
        body = f'{body[:-1]},"event_id":"{event_id}"}}'
    oldest_ms = 0 if limits.retention_ms is None else now_ns // 1_000_000 - limits.retention_ms
    return row_of(fields, body, oldest_ms=oldest_ms, newest_ms=now_ns // 1_000_000 + limits.ahead_ms)
