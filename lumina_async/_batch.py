"""When a batch is due and which lines go into it. Pure: no clock, no await, no bytes but their sizes."""

from collections.abc import Iterable

import attrs

from lumina_async._segment import Segment


@attrs.define(eq=False)
class Line:
    """One event as it waits: its bytes, and what is needed to order, age and name it.

    Attributes:
        event_id: The UUIDv7 in the bytes, for logs.
        data: JSON and a newline.
        order: Grows by one with each line of a client; what is put back goes to its old place.
        at: When it was queued, in monotonic seconds.
        segment: The file of the spool that holds it too, once it does.
        is_settled: Whether it had an ending before it came to the spool.
        failed: Rounds that failed with it.
        seen: What the server had stored when it last failed or was refused, as `Endpoint.accepted` counts.
        again_at: Not 0 when it failed alone while others were stored: it goes alone, and not before this.
    """

    event_id: str
    data: bytes
    order: int = 0
    at: float = 0.0
    segment: Segment | None = None
    is_settled: bool = False
    failed: int = 0
    seen: int | None = None
    again_at: float = 0.0


def take(sizes: Iterable[int], max_bytes: int) -> int:
    """Return how many lines from the front make a batch: as many as fit, and at least one."""
    count = total = 0
    for size in sizes:
        total += size
        if count and total > max_bytes:
            break
        count += 1
    return count


def due_in(*, waiting_bytes: int, age_s: float, max_batch_bytes: int, interval_s: float, urgent: bool) -> float:
    """Return the seconds until what waits should be sent; 0 for now.

    Args:
        waiting_bytes: All that waits.
        age_s: How long the oldest line has waited.
        max_batch_bytes: A full batch is due at once.
        interval_s: An old one is due, full or not.
        urgent: Somebody flushes.
    """
    if urgent or waiting_bytes >= max_batch_bytes:
        return 0.0
    return max(0.0, interval_s - age_s)
