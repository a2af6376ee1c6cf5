"""Requests that may be cut when the collector ends, because nothing is promised to who sent them."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager, suppress

import attrs
from aiohttp import web

_GRACE_S = 0.3


@attrs.define(eq=False)
class OpenRequests:
    """Streams that have no end of their own, and bodies that are still on their way."""

    _transports: set[asyncio.Transport] = attrs.field(init=False, factory=set[asyncio.Transport])
    _idle: asyncio.Event = attrs.field(init=False, factory=asyncio.Event)

    @contextmanager
    def cut_at_end(self, request: web.Request) -> Generator[asyncio.Transport, None, None]:
        """Allow that this request is cut while the block runs; gives the transport that would be closed."""
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("The other end is gone.")
        self._transports.add(transport)
        try:
            yield transport
        finally:
            self._transports.discard(transport)
            if not self._transports:
                self._idle.set()

    async def cut(self) -> None:
        """Wait a moment for these requests to end, then close their connections."""
        if self._transports:
            self._idle.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), _GRACE_S)
        for transport in tuple(self._transports):
            transport.abort()
