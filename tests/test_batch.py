"""When a batch is due and what goes into it."""

import pytest

from lumina_async._batch import Line, due_in, take
from lumina_async._queue import LineQueue


@pytest.mark.parametrize(
    ("sizes", "count"),
    [([], 0), ([50], 1), ([150], 1), ([40, 60], 2), ([40, 61], 1), ([150, 10], 1), ([10, 150], 1), ([1] * 200, 100)],
)
def test_a_batch_takes_what_fits_and_at_least_one(sizes: list[int], count: int) -> None:
    """The limit is 100 here; one below, at and above it."""
    assert take(sizes, 100) == count


@pytest.mark.parametrize(
    ("waiting", "age", "urgent", "seconds"),
    [
        (1, 0.0, False, 5.0),
        (1, 2.0, False, 3.0),
        (1, 9.0, False, 0.0),
        (99, 0.0, False, 5.0),
        (100, 0.0, False, 0.0),
        (1, 0.0, True, 0.0),
    ],
)
def test_a_batch_is_due_when_full_old_or_wanted(waiting: int, age: float, urgent: bool, seconds: float) -> None:
    """100 bytes fill it here, five seconds make it old."""
    due = due_in(waiting_bytes=waiting, age_s=age, max_batch_bytes=100, interval_s=5.0, urgent=urgent)
    assert due == seconds


def line(order: int, size: int = 10) -> Line:
    return Line(f"id{order}", b"x" * size, order, 0.0)


async def test_what_is_put_back_goes_to_its_old_place() -> None:
    """Lines that return are ahead of what came later, whatever order they return in."""
    queue = LineQueue(1_000)
    for order in range(1, 7):
        queue.put_nowait(line(order))
    await queue.arrival()
    first, second = queue.take(20), queue.take(20)
    queue.put_nowait(line(7))
    queue.put_back(second)
    queue.put_back(first)
    assert [waiting.order for waiting in queue.clear()] == [1, 2, 3, 4, 5, 6, 7]
    assert queue.bytes == 0


async def test_the_bound_holds_for_what_is_put_back_too() -> None:
    """Above the bound the oldest goes, never the last one left."""
    queue = LineQueue(25)
    queue.put_nowait(line(1))
    queue.put_nowait(line(2))
    await queue.arrival()
    taken = queue.take(10)
    queue.put_nowait(line(3))
    assert queue.trim() == []
    queue.put_back(taken)
    assert [gone.order for gone in queue.trim()] == [1]
    queue.put_nowait(line(4, 100))
    assert [gone.order for gone in queue.trim()] == [2, 3]
    assert queue.oldest() is not None


async def test_every_second_batch_is_of_what_was_read_back_from_disk() -> None:
    """New events are not held up behind an old backlog, which goes at half the rate (FAULTS D9)."""
    queue = LineQueue(1_000)
    for order in range(1, 4):
        queue.put_nowait(line(order))
    queue.put_back([line(-9), line(-8), line(-7)])
    await queue.arrival()
    assert [queue.take(10)[0].order for _ in range(6)] == [1, -9, 2, -8, 3, -7]
