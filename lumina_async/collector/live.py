"""Tell the browsers that look on about each event as it is stored."""

import asyncio
import re
from collections.abc import Iterable

import attrs
import orjson
from aiohttp import web
from aiohttp_sse import EventSourceResponse

from lumina_async.collector.open_requests import OpenRequests
from lumina_async.collector.store import Row

_QUEUE_EVENTS = 1000
_SEND_TIMEOUT_S = 5.0
_PING_S = 15.0
_EVENT_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_RESERVED_NAMES = frozenset({"error", "open", "message"})

_Queue = asyncio.Queue[Row | None]


@attrs.define(eq=False)
class Live:
    """The subscribers of `/api/live`, each with a bounded queue; who cannot keep up is dropped and may come again."""

    open_requests: OpenRequests
    _queues: set[_Queue] = attrs.field(init=False, factory=set[_Queue])

    def publish(self, rows: Iterable[Row]) -> None:
        """Offer stored events to every subscriber, without waiting for any."""
        if not self._queues:
            return
        for row in rows:
            for queue in tuple(self._queues):
                self._offer(queue, row)

    def end(self) -> None:
        """Let every stream come to its end."""
        for queue in tuple(self._queues):
            self._drop(queue)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer with server-sent events; each has the event's `name` and ids, never its content."""
        queue: _Queue = asyncio.Queue(_QUEUE_EVENTS)
        self._queues.add(queue)
        response = EventSourceResponse(ping_interval=_PING_S, send_timeout=_SEND_TIMEOUT_S)
        try:
            with self.open_requests.cut_at_end(request):
                await response.prepare(request)
                async with response:
                    await self._send(response, queue)
        except (ConnectionError, TimeoutError):
            pass  # The reader is gone, or as good as gone.
        finally:
            self._queues.discard(queue)
        return response

    async def _send(self, response: EventSourceResponse, queue: _Queue) -> None:
        while response.is_connected():
            try:
                row = await asyncio.wait_for(queue.get(), _PING_S)
            except TimeoutError:
                continue  # The ping that failed meanwhile is what ends the loop.
            if row is None:
                return
            await response.send(_data(row), event=_event_name(row.name), id=row.event_id)

    def _offer(self, queue: _Queue, row: Row) -> None:
        try:
            queue.put_nowait(row)
        except asyncio.QueueFull:
            self._drop(queue)

    def _drop(self, queue: _Queue) -> None:
        self._queues.discard(queue)
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(None)


def _data(row: Row) -> str:
    fields = {"event_id": row.event_id, "name": row.name, "session_id": row.session_id, "turn_id": row.turn_id}
    return orjson.dumps(fields).decode()


def _event_name(name: str) -> str:
    # `EventSource` gives `error` and `open` a meaning of its own, and a line break would start another field.
    return name if _EVENT_NAME.fullmatch(name) and name not in _RESERVED_NAMES else "other"
