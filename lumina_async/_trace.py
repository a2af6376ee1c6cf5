"""Ids: UUIDv7 for events, W3C trace and span ids, and the trace id that a session id of the app's own stands for."""

import hashlib
import os
import random
import re
import uuid

_random = random.Random(os.urandom(32))  # noqa: S311  (names for events, not secrets: those come from `secrets`)

# A child that continued the parent's sequence would give two events one name.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _random.seed(os.urandom(32)))

_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def new_event_id(now_ns: int) -> str:
    """Return a UUIDv7 (RFC 9562) for this moment; ids of one process sort in creation order to about 250 ns.

    Args:
        now_ns: Wall-clock nanoseconds since the epoch. The 12 bits after the milliseconds hold the fraction of the
            millisecond, as section 6.2 (method 3) of the RFC allows.
    """
    ms, rest = divmod(now_ns, 1_000_000)
    fraction, chance = (rest << 12) // 1_000_000, 0b10 << 62 | _random.getrandbits(62)
    # In parts of at most 64 bits, which are cheaper than one of 128.
    return "%08x-%04x-7%03x-%04x-%012x" % (  # noqa: UP031  (half the time of an f-string)
        ms >> 16 & 0xFFFF_FFFF,
        ms & 0xFFFF,
        fraction,
        chance >> 48,
        chance & 0xFFFF_FFFF_FFFF,
    )


def event_id_ms(event_id: object) -> int | None:
    """Return the milliseconds since the epoch that a UUIDv7 holds, or None where this is no lower-case UUIDv7."""
    if not isinstance(event_id, str) or not _UUID7.fullmatch(event_id):
        return None
    return int(event_id[:8] + event_id[9:13], 16)


def new_trace_id() -> str:
    """Return 32 lower-case hex digits, never all zero (W3C Trace Context, section 3.2.2.3)."""
    return f"{_random.getrandbits(128) or 1:032x}"


def new_span_id() -> str:
    """Return 16 lower-case hex digits, never all zero (W3C Trace Context, section 3.2.2.4)."""
    return "%016x" % (_random.getrandbits(64) or 1)


def trace_id_of(session_id: str) -> str:
    """Return the trace id that an app's own session id stands for, the same in every worker."""
    digest = hashlib.sha256(b"lumina.session\0" + session_id.encode("utf-8", "replace"))
    return digest.digest()[:16].hex()


def session_span_id(trace_id: str) -> str:
    """Return the span id under which a session itself appears in a `traceparent`, derived from its trace id."""
    return hashlib.sha256(b"lumina.span\0" + trace_id.encode()).digest()[:8].hex()


def traceparent(trace_id: str, span_id: str) -> str:
    """Return the W3C `traceparent` header value, version 00, sampled."""
    return f"00-{trace_id}-{span_id}-01"


_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_MAX_HEADER = 500


def parse_traceparent(header: object) -> tuple[str, str] | None:
    """Return trace id and span id of a W3C `traceparent`, or None where it is none.

    A later version may have more fields; version ff, all-zero ids and upper case are malformed (W3C Trace Context,
    section 3.2).
    """
    if not isinstance(header, str) or len(header) > _MAX_HEADER:
        return None
    found = _TRACEPARENT.fullmatch(header.strip(" \t"))
    if found is None:
        return None
    version, trace_id, span_id, _, more = found.groups()
    if version == "ff" or (version == "00" and more) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return trace_id, span_id


def is_sampled(identity: str, rate: float) -> bool:
    """Decide from the last 7 bytes of a trace id, or of the hash of any other id: every worker decides alike."""
    if rate >= 1.0:
        return True
    try:
        tail = int(identity[-14:], 16) if len(identity) == 32 else None
    except ValueError:
        tail = None
    if tail is None:
        tail = int.from_bytes(hashlib.sha256(identity.encode("utf-8", "replace")).digest()[-7:], "big")
    return tail < rate * (1 << 56)


def new_anonymous_id() -> str:
    """Return `anon_` and a random UUIDv4: the id of a visitor nobody has identified yet."""
    return f"anon_{uuid.uuid4()}"
