"""Who tried in vain, by source address: to slow down who guesses, and to log it without filling the disk."""

import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

import attrs

_FREE = 5
_MAX_DELAY_S = 60.0
_FORGOTTEN_S = 900.0
_LOG_S = 60.0
_ADDRESSES = 10_000


@attrs.define
class _Record:
    failures: int = 0
    last_s: float = 0.0
    logged_s: float = float("-inf")
    unlogged: int = 0


@attrs.define(eq=False)
class Failures:
    """The failures of the latest addresses; a quarter of an hour without one and all is forgotten."""

    clock: Callable[[], float] = time.monotonic
    _records: OrderedDict[str, _Record] = attrs.field(init=False, factory=OrderedDict[str, _Record])

    def delay_s(self, address: str) -> float:
        """Return how long this address has to wait before it may try again: from the fifth failure on, ever longer."""
        record = self._records.get(_block(address))
        if record is None or record.failures < _FREE:
            return 0.0
        wait_s = min(_MAX_DELAY_S, 2.0 ** min(record.failures - _FREE, 10))
        return max(0.0, record.last_s + wait_s - self.clock())

    def add(self, address: str) -> int:
        """Count a failure; return how many a line of the log is to tell of now, 0 for no line."""
        now_s, block = self.clock(), _block(address)
        record = self._records.pop(block, None)
        if record is None or now_s - record.last_s > _FORGOTTEN_S:
            record = _Record()
        self._records[block] = record
        if len(self._records) > _ADDRESSES:
            self._records.popitem(last=False)
        record.failures += 1
        record.unlogged += 1
        record.last_s = now_s
        if now_s - record.logged_s < _LOG_S:
            return 0
        record.logged_s, told, record.unlogged = now_s, record.unlogged, 0
        return told

    def forget(self, address: str) -> None:
        """Forget the failures of an address, which has shown that it may come in."""
        self._records.pop(_block(address), None)


def _block(address: str) -> str:
    """Return what one person has: of IPv6 that is a network of 2^64 addresses."""
    try:
        number = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return str(int(number) >> 64) if isinstance(number, IPv6Address) else address
