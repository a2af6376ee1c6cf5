"""How many events one key may send (FAULTS C30)."""

import time
from collections.abc import Callable

import attrs


@attrs.define(eq=False)
class Quota:
    """Events per minute, on average: what is not used in a minute is not saved for the next.

    A batch is taken as a whole while anything is left, and what it took too much is paid back before the next one, so
    that a batch larger than a minute's worth passes too and the average still holds.
    """

    per_minute: int
    clock: Callable[[], float] = time.monotonic
    _left: float = attrs.field(init=False, default=attrs.Factory(lambda self: float(self.per_minute), takes_self=True))
    _at_s: float = attrs.field(init=False, default=attrs.Factory(lambda self: self.clock(), takes_self=True))

    def wait_s(self) -> float:
        """Return after how many seconds the next batch is taken; 0 for now."""
        self._refill()
        return 0.0 if self._left >= 1 else (1 - self._left) * 60 / self.per_minute

    def spend(self, events: int) -> None:
        """Count events that were taken."""
        self._refill()
        self._left -= events

    def _refill(self) -> None:
        now_s = self.clock()
        self._left = min(self.per_minute, self._left + (now_s - self._at_s) * self.per_minute / 60)
        self._at_s = now_s
