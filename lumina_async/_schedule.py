"""What is sent next, and when. Decides by the clock reading it is given, and awaits nothing."""

import math

import attrs

from lumina_async._batch import Line, due_in
from lumina_async._config import LuminaConfig
from lumina_async._endpoint import Endpoint
from lumina_async._flushes import Flushes
from lumina_async._stock import Stock


@attrs.frozen
class Schedule:
    """Chooses among what waits, by what is known of the server and who waits for a flush."""

    config: LuminaConfig
    stock: Stock
    endpoint: Endpoint
    flushes: Flushes

    def wait_s(self, now: float, flying: int) -> float:
        """Return the seconds until the next batch may leave; 0 for now, infinity until something changes.

        Args:
            now: Monotonic seconds.
            flying: Batches on their way.
        """
        # As many again are compressed meanwhile, so that one leaves as soon as another has landed.
        if flying >= 2 * self.config.max_in_flight or (self.endpoint.probing and flying):
            return math.inf
        oldest, due = self.stock.oldest(), self._aside_in(now)
        if oldest is not None:
            due = min(due, self._due_in(oldest, now))
        return max(due, self.endpoint.hold_until - now)

    def next_lines(self, now: float) -> list[Line]:
        """Take the lines of the next batch, when `wait_s` says that it may leave."""
        if self._aside_in(now) <= 0:
            return self.stock.take_aside()
        return self.stock.take_probe() if self.endpoint.probing else self.stock.take(self.endpoint.batch_bytes)

    def _due_in(self, oldest: Line, now: float) -> float:
        return due_in(
            waiting_bytes=self.stock.size,
            age_s=now - oldest.at,
            max_batch_bytes=self.endpoint.batch_bytes,
            interval_s=self.config.flush_interval_ms / 1000,
            urgent=oldest.order <= self.flushes.urgent_to,
        )

    def _aside_in(self, now: float) -> float:
        """Return the seconds until a line that fails alone is tried again; it is no probe where there are others."""
        return math.inf if self.endpoint.probing and self.stock.oldest() else self.stock.aside_at() - now
