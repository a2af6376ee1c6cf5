"""An ingest server that fails on purpose: real HTTP on a free port, and a ledger of what reached it."""

import asyncio
import socket
import struct
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

import attrs
import orjson
from aiohttp import web

from lumina_async._protocols import Clock

Event = dict[str, Any]


class Cut(StrEnum):
    """Where the connection is reset, so that the sender gets no answer."""

    BEFORE_BODY = "before_body"
    """Before the body is read."""
    AFTER_BODY = "after_body"
    """After the body was read; nothing of it is stored."""
    AFTER_STORE = "after_store"
    """After everything was stored: the sender sends it again, which makes duplicates."""


@attrs.frozen(kw_only=True)
class Reply:
    """What one request gets.

    Attributes:
        status: The HTTP status; the events are stored for 200 to 299.
        headers: Of the answer, like `{"Retry-After": "7"}`.
        body: Of the answer, in place of the counts of SPEC section 8.
        delay_ms: How long the answer takes after the body was read.
        hangs: It never comes; the connection stays open.
        cut: It does not come, and the connection is reset there.
        rejected: Numbers of lines, from 1, that are refused by name while the others are stored.
    """

    status: int = 200
    headers: Mapping[str, str] = attrs.Factory(dict[str, str])
    body: bytes | None = None
    delay_ms: int = 0
    hangs: bool = False
    cut: Cut | None = None
    rejected: Sequence[int] = ()


@attrs.frozen(kw_only=True)
class Received:
    """A request that came in.

    Attributes:
        at: When, in monotonic seconds of the server's clock.
        headers: As sent; look-ups ignore case.
        events: The lines of its body; none where that was not read.
        body_bytes: Size of the body, unpacked.
        status: What it was answered with; None without an answer.
    """

    at: float
    headers: Mapping[str, str]
    events: Sequence[Event]
    body_bytes: int
    status: int | None


def _no_event(_: Event) -> bool:
    return False


@attrs.define(kw_only=True, eq=False)
class FaultyIngest:
    """An ingest server for one test.

        async with FaultyIngest(script=[503, Reply(cut=Cut.AFTER_STORE)]) as ingest:
            async with LuminaClient(LuminaConfig(endpoint=ingest.url, write_key="gi_test")) as client:
                ...
        assert ingest.duplicates == 1

    It serves on loopback, takes any path and any key, and unpacks what is compressed.

    Args:
        script: What the first requests get, in order; a number is a status.
        always: What every other request gets.
        max_body_bytes: A larger body, unpacked, gets 413.
        is_poison: A body with such an event gets 400.
        clock: What `Reply.delay_ms` and `Received.at` go by.

    Attributes:
        requests: Everything that came in.
        stored: The events by their ids, in the order they came first.
        duplicates: How often a stored event came again.
    """

    script: Iterable[Reply | int] = ()
    always: Reply = attrs.Factory(Reply)
    max_body_bytes: int | None = None
    is_poison: Callable[[Event], bool] = _no_event
    clock: Clock = attrs.Factory(Clock)
    requests: list[Received] = attrs.field(init=False, factory=list[Received])
    stored: dict[str, Event] = attrs.field(init=False, factory=dict[str, Event])
    _times: Counter[str] = attrs.field(init=False, factory=Counter[str])
    _replies: deque[Reply] = attrs.field(init=False, factory=deque[Reply])
    _waits: set["asyncio.Task[Any]"] = attrs.field(init=False, factory=set["asyncio.Task[Any]"])
    _runner: web.AppRunner | None = attrs.field(init=False, default=None)
    _port: int = attrs.field(init=False, default=0)

    @property
    def url(self) -> str:
        """The endpoint to send to."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def duplicates(self) -> int:
        """How often a stored event came again."""
        return self._times.total() - len(self._times)

    @property
    def events(self) -> list[Event]:
        """What is stored, without the `sdk_report`s, which are outside every ledger."""
        return [event for event in self.stored.values() if event.get("name") != "sdk_report"]

    async def __aenter__(self) -> Self:
        self._replies.extend(Reply(status=step) if isinstance(step, int) else step for step in self.script)
        app = web.Application(client_max_size=0)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for wait in self._waits:
            wait.cancel()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        reply = self._replies.popleft() if self._replies else self.always
        received = await self._receive(request, reply)
        if reply.delay_ms:
            await self._wait(self.clock.sleep(reply.delay_ms / 1000))
        if reply.hangs:
            await self._wait(asyncio.Event().wait())
        status, counts = received.status, b"{}"
        if reply.cut is Cut.AFTER_STORE or status in range(200, 300):
            counts = self._store(received.events, frozenset(reply.rejected))
        if status is None:
            _reset(request)
            return web.Response()
        if reply.body is not None:
            return web.Response(status=status, body=reply.body, headers=reply.headers)
        return web.Response(status=status, body=counts, headers={"Content-Type": "application/json", **reply.headers})

    async def _receive(self, request: web.Request, reply: Reply) -> Received:
        at = self.clock.monotonic_ns() / 1e9
        body = b"" if reply.cut is Cut.BEFORE_BODY else await request.read()
        events: list[Event] = [orjson.loads(line) for line in body.splitlines() if line]
        status = None if reply.hangs or reply.cut is not None else self._status(reply, body, events)
        received = Received(at=at, headers=request.headers, events=events, body_bytes=len(body), status=status)
        self.requests.append(received)
        return received

    async def _wait(self, what: Coroutine[Any, Any, Any]) -> None:
        """Wait as long as this takes, or until the server is left."""
        wait = asyncio.create_task(what)
        self._waits.add(wait)
        await asyncio.wait({wait})
        self._waits.discard(wait)

    def _status(self, reply: Reply, body: bytes, events: Sequence[Event]) -> int:
        if self.max_body_bytes is not None and len(body) > self.max_body_bytes:
            return 413
        return 400 if any(map(self.is_poison, events)) else reply.status

    def _store(self, events: Sequence[Event], refused: frozenset[int]) -> bytes:
        """Store all but the refused lines; return the counts as the collector answers them."""
        rejected: list[Event] = []
        before = self.duplicates
        for number, event in enumerate(events, 1):
            event_id = str(event.get("event_id"))
            if number in refused:
                rejected.append({"line": number, "event_id": event_id, "code": "refused", "message": "by the test"})
            else:
                self._times[event_id] += 1
                self.stored.setdefault(event_id, event)
        duplicates = self.duplicates - before
        accepted = len(events) - len(rejected) - duplicates
        return orjson.dumps({"accepted": accepted, "duplicates": duplicates, "rejected": rejected})


def _reset(request: web.Request) -> None:
    """Close the connection with an RST, as a crash or a middlebox does."""
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
