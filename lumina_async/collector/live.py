"""Tell the browsers that look on about each event as it is stored."""

import asyncio
import re
from collections.abc import Iterable
from contextlib import suppress

import attrs
import orjson
from aiohttp import web
from aiohttp_sse import EventSourceResponse

from lumina_async.collector.open_requests import OpenRequests
from lumina_async.collector.store import Row

_QUEUE_MESSAGES = 10_000
_SEND_TIMEOUT_S = 5.0
_PING_S = 15.0
_EVENT_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_RESERVED_NAMES = frozenset({"error", "open", "message"})


@attrs.frozen
class _Message:
    """What is told of one event: its ids and never its content, so that a full queue is a small one."""

    event_id: str
    name: str
    data: str


_Queue = asyncio.Queue[_Message | None]


@attrs.frozen(eq=False)
class _Listener:
    project: str
    queue: _Queue
    transport: asyncio.Transport


@attrs.define(eq=False)
class Live:
    """The listeners of `/api/live`, each with a bounded queue; who cannot keep up is cut off and may come again."""

    open_requests: OpenRequests
    _listeners: set[_Listener] = attrs.field(init=False, factory=set[_Listener])

    def publish(self, project: str, rows: Iterable[Row]) -> None:
        """Offer stored events to every listener of their project, without waiting for any."""
        listeners = [listener for listener in self._listeners if listener.project == project]
        for row in rows if listeners else ():
            message = _message(row)
            for listener in tuple(listeners):
                try:
                    listener.queue.put_nowait(message)
                except asyncio.QueueFull:
                    listeners.remove(listener)
                    self._listeners.discard(listener)
                    listener.transport.abort()

    def end(self) -> None:
        """Let every stream come to its end."""
        for listener in self._listeners:
            # What waits is not worth waiting for; the sentinel also finds room in this way.
            while not listener.queue.empty():
                listener.queue.get_nowait()
            listener.queue.put_nowait(None)

    async def stream(self, request: web.Request, project: str) -> web.StreamResponse:
        """Answer with server-sent events; each has the event's `name` and ids."""
        response = EventSourceResponse(ping_interval=_PING_S, send_timeout=_SEND_TIMEOUT_S)
        with self.open_requests.cut_at_end(request) as transport:
            listener = _Listener(project, asyncio.Queue(_QUEUE_MESSAGES), transport)
            self._listeners.add(listener)
            try:
                # The reader is gone, or as good as gone: there is nobody to tell about it.
                with suppress(ConnectionError, TimeoutError):
                    await response.prepare(request)
                    async with response:
                        await _send(response, listener.queue)
            finally:
                self._listeners.discard(listener)
        return response


async def _send(response: EventSourceResponse, queue: _Queue) -> None:
    while response.is_connected():
        try:
            message = await asyncio.wait_for(queue.get(), _PING_S)
        except TimeoutError:
            continue  # A ping that fails meanwhile ends the loop.
        if message is None:
            return
        await response.send(message.data, event=message.name, id=message.event_id)


def _message(row: Row) -> _Message:
    fields = {"event_id": row.event_id, "name": row.name, "session_id": row.session_id, "turn_id": row.turn_id}
    # `EventSource` gives `error` and `open` a meaning of its own, and a line break would start another field.
    is_plain = _EVENT_NAME.fullmatch(row.name) and row.name not in _RESERVED_NAMES
    return _Message(row.event_id, row.name if is_plain else "other", orjson.dumps(fields).decode())
