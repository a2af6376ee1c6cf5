"""The open connections of the server: how many there may be, and how long each may take (FAULTS C25, C26).

aiohttp has a deadline for a connection that says nothing at all and for nothing else. One timer here looks at every
connection once a second, which costs less than a timer for each.
"""

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Literal, Protocol

import attrs

Slow = Literal["head", "body", "write"]

_SWEEP_S = 1.0
_PAUSE_S = 0.01
_CUT_AT_ONCE = 50


@attrs.frozen(kw_only=True)
class Patience:
    """How many connections there may be, and how long each may take, in seconds."""

    connections: int = 10_000
    """All together; beyond it others get 503."""
    per_address: int = 2_000
    """From one address; those of this machine itself are not counted, for a proxy may be one of them."""
    head_s: float = 5.0
    """From the first byte of a request, or from the start of the connection, to the end of its headers."""
    body_s: float = 15.0
    body_grace_s: float = 5.0
    body_bytes_per_s: float = 1000.0
    """What must have come of a body once the grace is over, or it ends before `body_s`."""
    write_s: float = 15.0
    """How long the other end may take no byte of an answer that waits."""

    def body_until(self, received: int) -> float:
        """Return for how long, from its start, a body of which this much has come may take."""
        return min(self.body_s, self.body_grace_s + received / self.body_bytes_per_s)


class Socket(Protocol):
    """A connection as this module sees it."""

    def slow(self, now: float, patience: Patience) -> Slow | None:
        """Return in what it takes too long, if it does."""
        ...

    def cut(self) -> None:
        """Close it at once."""
        ...


@attrs.define(eq=False)
class Sockets:
    """Admits connections up to a bound, and cuts those that are too slow."""

    patience: Patience = attrs.field(factory=Patience)
    refused: int = attrs.field(init=False, default=0)
    """How many connections were turned away because there were too many."""
    slow: Counter[Slow] = attrs.field(init=False, factory=Counter[Slow])
    """How many were cut because they took too long, by what they took too long in."""
    _open: dict[Socket, str | None] = attrs.field(init=False, factory=dict[Socket, str | None])
    _of_address: Counter[str] = attrs.field(init=False, factory=Counter[str])

    _timer: asyncio.TimerHandle | None = attrs.field(init=False, default=None)

    def admit(self, socket: Socket, address: str | None) -> bool:
        """Return whether there is room for a connection, which counts until it is `closed`."""
        address = None if address is None or _is_own(address) else address
        full = len(self._open) >= self.patience.connections
        if full or (address is not None and self._of_address[address] >= self.patience.per_address):
            self.refused += 1
            return False
        self._open[socket] = address
        if address is not None:
            self._of_address[address] += 1
        return True

    def closed(self, socket: Socket) -> None:
        """Forget a connection; one that was never admitted is no matter."""
        address = self._open.pop(socket, None)
        if address is None:
            return
        self._of_address[address] -= 1
        if not self._of_address[address]:
            del self._of_address[address]

    @property
    def facts(self) -> Mapping[str, object]:
        """What to show: how many are open, and how many were cut or turned away since the start."""
        return {"open": len(self._open), "refused": self.refused, "slow": dict(self.slow)}

    def sweep(self, now: float) -> bool:
        """Cut connections that are too slow at this time of the loop, the oldest first; return whether that is all."""
        left = _CUT_AT_ONCE
        for socket in tuple(self._open):
            if (why := socket.slow(now, self.patience)) is not None:
                self.slow[why] += 1
                socket.cut()
                left -= 1
                if not left:
                    return False
        return True

    @contextmanager
    def swept(self) -> Generator[None, None, None]:
        """Sweep once a second while the block runs."""
        self._sweep_after(_SWEEP_S)
        try:
            yield
        finally:
            if self._timer is not None:
                self._timer.cancel()

    def _sweep_after(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()

        def run() -> None:
            # Thousands that came together are not cut together, for those beside them would wait.
            is_all = self.sweep(loop.time())
            self._sweep_after(_SWEEP_S if is_all else _PAUSE_S)

        self._timer = loop.call_later(seconds, run)


def _is_own(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False
