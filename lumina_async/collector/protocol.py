"""How a connection is served: by aiohttp, but for its deadlines, and for the answer to what is no HTTP at all."""

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Any, cast

from aiohttp import web
from aiohttp.web_server import Server

from lumina_async.collector.errors import ProblemError
from lumina_async.collector.guard import HEADERS, internal, problem_body, problem_response, unavailable
from lumina_async.collector.sockets import Patience, Slow, Sockets

logger = logging.getLogger("lumina_async.collector")

_OPTIONS: dict[str, Any] = {
    "access_log": None,
    # aiohttp takes a gzip body that was cut for a whole one (FAULTS trap 4): `decode` unpacks it.
    "auto_decompress": False,
    "keepalive_timeout": 75.0,
    "lingering_time": 3.0,
}


class _Protocol(web.RequestHandler):
    """The protocol of aiohttp, with deadlines for what the other end has to do."""

    __slots__ = ("_head_began", "_heads", "_socket", "_sockets", "_write_began")

    def __init__(self, server: Server, sockets: Sockets) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **_OPTIONS)
        self._sockets = sockets
        self._socket: asyncio.Transport | None = None
        # The times of the loop since which the other end owes us the rest of a head, or has taken nothing of an answer.
        self._head_began = self._write_began = math.inf

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Serve the connection, or refuse it where there are too many."""
        # aiohttp forgets its transport while an answer may still wait in it; this reference stays.
        self._socket = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        if not self._sockets.admit(self, peer[0] if peer else None):
            self._socket.set_protocol(_Refusal(self._socket))
            return
        self._head_began = self._loop.time()
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection."""
        self._sockets.closed(self)
        super().connection_lost(exc)
        self._socket = None

    def data_received(self, data: bytes) -> None:
        """Take bytes, and note when the head of a request begins and ends."""
        # Only while nothing is served are these the bytes of a head: those of a body have their deadline elsewhere.
        waits = self._waiter is not None and not self._waiter.done()
        heads = self._request_count
        super().data_received(data)
        if self._request_count != heads:
            self._head_began = math.inf
        elif waits and self._head_began == math.inf:
            self._head_began = self._loop.time()

    def resume_writing(self) -> None:
        """Note that the other end has taken something."""
        super().resume_writing()
        self._write_began = math.inf

    def slow(self, now: float, patience: Patience) -> Slow | None:
        """Return in what the other end takes too long, if it does."""
        if now - self._head_began > patience.head_s:
            return "head"
        if self._socket is None or not self._socket.get_write_buffer_size():
            self._write_began = math.inf
        elif self._write_began == math.inf:
            self._write_began = now
        elif now - self._write_began > patience.write_s:
            return "write"
        return None

    def cut(self) -> None:
        """Close the connection at once, whatever waits in it."""
        if self._socket is not None:
            self._socket.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the answer to a broken request; `message` quotes the request, so it goes to the log only."""
        del message
        if request.writer.output_size > 0:
            raise ConnectionError("The answer has begun already.")
        if status < 500:
            logger.debug("A request broke the rules of HTTP: %s", type(exc).__name__)
            problem = ProblemError(status, "bad_request", "The request breaks the rules of HTTP.", close=True)
        else:
            logger.error("A request failed", exc_info=exc)
            problem = internal()
        response = problem_response(problem)
        response.headers.update(HEADERS)
        response.headers["Cache-Control"] = "no-store"
        response.force_close()
        return response


class _Refusal(asyncio.Protocol):
    """Answers 503 to whatever comes first, and closes; a second without a word ends it as well."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        # Closed with nothing read, the system would throw the answer away together with what the other end has sent.
        self._timer = asyncio.get_running_loop().call_later(1.0, transport.abort)

    def data_received(self, data: bytes) -> None:
        """Answer."""
        del data
        self._transport.write(_refusal())
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the timer."""
        del exc
        self._timer.cancel()


def _refusal() -> bytes:
    problem = unavailable()
    body = problem_body(problem)
    headers = {
        **HEADERS,
        **problem.headers,
        "Cache-Control": "no-store",
        "Connection": "close",
        "Content-Type": "application/json; charset=utf-8",
        "Content-Length": str(len(body)),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 503 Service Unavailable\r\n{head}\r\n".encode() + body


def protocol_factory(runner: web.AppRunner, sockets: Sockets) -> Callable[[], asyncio.Protocol]:
    """Return what `loop.create_server` needs for the application of a runner that is set up."""
    server = runner.server
    assert server is not None, "the runner is not set up"  # noqa: S101
    return lambda: _Protocol(server, sockets)
