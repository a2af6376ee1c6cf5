"""Closing the books: every event that was captured is stored or lost, and what is called stored is there."""

from lumina_async import Stats
from lumina_async.testing.ingest import FaultyIngest


def assert_ledger_closed(stats: Stats, ingest: FaultyIngest | None = None) -> None:
    """Assert that nothing is on its way any more and that every event has exactly one ending.

    Args:
        stats: From `await client.stats()`, after `flush` or `shutdown`.
        ingest: Where the events went. It must hold every event that counts as stored; of those that count as lost it
            may hold some, whose answer did not arrive.

    Raises:
        AssertionError: The sum does not close; the message has the numbers.
    """
    ended = stats.stored + stats.spooled + stats.lost_total
    if stats.queued or stats.in_flight or stats.captured + stats.adopted != ended:
        raise AssertionError(f"the ledger is not closed: {stats}")
    if ingest is not None and not stats.stored <= len(ingest.events) <= stats.stored + stats.lost_total:
        raise AssertionError(f"the ingest server holds {len(ingest.events)} events: {stats}")
