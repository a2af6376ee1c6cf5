"""The ledger closes whatever moves."""

import threading

from hypothesis import given, strategies as st

from lumina_async._ledger import Ledger, Place, Reason

MOVES = st.lists(st.sampled_from(["born", "fly", "land", "lose", "return", "late"]))


@given(MOVES)
def test_the_sum_closes_after_any_moves(moves: list[str]) -> None:
    """captured + adopted = stored + queued + in_flight + spooled + lost_total, always (SPEC 9)."""
    ledger = Ledger()
    for move in moves:
        stats = ledger.stats()
        if move == "born":
            ledger.move(1, Place.BORN, Place.QUEUED)
        elif move == "late":
            ledger.move(1, Place.BORN, Place.LOST, Reason.UNFINISHED)
        elif move == "fly" and stats.queued:
            ledger.move(1, Place.QUEUED, Place.IN_FLIGHT)
        elif move == "land" and stats.in_flight:
            ledger.move(1, Place.IN_FLIGHT, Place.STORED)
        elif move == "return" and stats.in_flight:
            ledger.move(1, Place.IN_FLIGHT, Place.QUEUED)
        elif move == "lose" and stats.in_flight:
            ledger.move(1, Place.IN_FLIGHT, Place.LOST, Reason.REJECTED)
        stats = ledger.stats()
        ended = stats.stored + stats.queued + stats.in_flight + stats.spooled + stats.lost_total
        assert stats.captured + stats.adopted == ended
        assert min(stats.stored, stats.queued, stats.in_flight) >= 0


def test_threads_lose_no_count() -> None:
    """Eight threads count at once, and every move is there."""
    ledger = Ledger()

    def count() -> None:
        for _ in range(5_000):
            ledger.move(1, Place.BORN, Place.QUEUED)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.stats().captured == ledger.stats().queued == 40_000
