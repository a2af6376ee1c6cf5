"""Times as the wire has them."""

from datetime import UTC, datetime


def rfc3339(now_ns: int) -> str:
    """Return a moment as RFC 3339 text in UTC with milliseconds.

    Args:
        now_ns: Wall-clock nanoseconds since the epoch.
    """
    seconds, rest = divmod(now_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1_000_000:03d}Z"
