"""Those who wait for `flush`: each until every line queued before its call has an ending."""

import asyncio

import attrs


@attrs.define(eq=False)
class Flush:
    """One call of `flush`.

    Attributes:
        mark: The order of the last line queued before it.
        done: Set when every line up to the mark has ended, or when waiting is in vain.
        all_stored: False once a line up to the mark was lost, or waiting is in vain.
    """

    mark: int
    done: asyncio.Event = attrs.Factory(asyncio.Event)
    all_stored: bool = True


class Flushes:
    """The open calls of `flush` of one client."""

    def __init__(self) -> None:
        self._open: set[Flush] = set()
        self.urgent_to = 0
        """Lines up to this order are sent without waiting for company."""

    def begin(self, mark: int) -> Flush:
        """Wait for the lines up to this order."""
        flush = Flush(mark)
        self._open.add(flush)
        self.hasten(mark)
        return flush

    def hasten(self, mark: int) -> None:
        """Let the lines up to this order be sent at once."""
        self.urgent_to = max(self.urgent_to, mark)

    def end(self, flush: Flush) -> None:
        """Stop waiting."""
        self._open.discard(flush)

    def lost(self, order: int) -> None:
        """Note that the line of this order was lost; this may be told in any thread."""
        for flush in tuple(self._open):
            flush.all_stored &= order > flush.mark

    def release(self, oldest_left: int | None, *, in_vain: bool) -> None:
        """Let go of those whose lines have ended: all lines before `oldest_left`, or all lines there are."""
        for flush in self._open:
            if in_vain:
                flush.all_stored = False
            if in_vain or oldest_left is None or oldest_left > flush.mark:
                flush.done.set()
