"""The write side: a batch of events by POST, answered once it is durable."""

import asyncio
import math
import time
from datetime import UTC, datetime

import attrs
from aiohttp import web

from lumina_async.collector import costs
from lumina_async.collector.access import Access
from lumina_async.collector.decode import Decoded, Limits, decode, too_large, unpack
from lumina_async.collector.errors import ProblemError
from lumina_async.collector.guard import json_response, unavailable
from lumina_async.collector.keyring import Writer
from lumina_async.collector.live import Live
from lumina_async.collector.open_requests import OpenRequests
from lumina_async.collector.sockets import Sockets
from lumina_async.collector.store import Store
from lumina_async.collector.unpack import ENCODINGS

_HEAVY_BYTES = 256 * 1024
_UNPACKED_AT_ONCE = 32
_TYPES = ("application/x-ndjson", "application/json", "text/plain")


@attrs.define(eq=False)
class Ingest:
    """Takes batches: 200 once they are committed, with what was accepted, known already, or rejected line by line."""

    store: Store
    live: Live
    limits: Limits
    open_requests: OpenRequests
    sockets: Sockets
    access: Access
    _held_bytes: int = attrs.field(init=False, default=0)
    _unpacking: asyncio.Semaphore = attrs.field(init=False, factory=lambda: asyncio.Semaphore(_UNPACKED_AT_ONCE))

    async def handle(self, request: web.Request) -> web.Response:
        """Answer `POST /v1/ingest` and `POST /collect/sdk/events`."""
        writer = self.access.writer(request)
        _check_quota(writer)
        encoding = _encoding(request)
        _check_type(request)
        count = _count(request)
        if self._held_bytes > self.limits.held_bytes:
            raise unavailable(close=True)
        # Without a length a body counts for the longest it may become.
        size = self.limits.body_bytes if request.content_length is None else request.content_length
        if size > self.limits.body_bytes:
            raise too_large("The body is too large", self.limits.body_bytes)
        self._held_bytes += size
        try:
            body = await self._read(request)
            async with self._unpacking:
                return await self._store(writer, await self._decode(body, encoding), count)
        finally:
            self._held_bytes -= size

    async def project(self, request: web.Request) -> web.Response:
        """Answer `GET /v1/project`: whose events the key of the request brings."""
        return json_response({"project": self.access.writer(request).project})

    async def _store(self, writer: Writer, decoded: Decoded, count: int | None) -> web.Response:
        if count is not None and count != decoded.count:
            message = f"X-Lumina-Count says {count} events, the body has {decoded.count}. Send it again."
            raise ProblemError(408, "count_mismatch", message)
        if writer.quota is not None:
            writer.quota.spend(decoded.count)
        added = await self.store.add(
            writer.project, decoded.rows, received_at=_rfc3339(time.time_ns()), rejected=len(decoded.rejections)
        )
        self.live.publish(writer.project, added.stored)
        rejected = [attrs.asdict(rejection) for rejection in decoded.rejections]
        return json_response({"accepted": added.accepted, "duplicates": added.duplicates, "rejected": rejected})

    async def _read(self, request: web.Request) -> bytes:
        limit, patience = self.limits.body_bytes, self.sockets.patience
        body = bytearray()
        began = asyncio.get_running_loop().time()
        try:
            with self.open_requests.cut_at_end(request):
                async with asyncio.timeout_at(began + patience.body_until(0)) as deadline:
                    while chunk := await request.content.readany():
                        body += chunk
                        deadline.reschedule(began + patience.body_until(len(body)))
                        if len(body) > limit:
                            raise too_large("The body is too large", limit)
        except TimeoutError:
            self.sockets.slow["body"] += 1
            raise ProblemError(408, "slow_body", "The body comes too slowly. Send it again.", close=True) from None
        except ConnectionError:
            raise ProblemError(408, "cut_body", "The body ends before its end. Send it again.", close=True) from None
        except web.RequestPayloadError:
            raise ProblemError(400, "bad_body", "The body breaks the rules of HTTP.", close=True) from None
        return bytes(body)

    async def _decode(self, body: bytes, encoding: str) -> Decoded:
        def run() -> Decoded:
            costs.load()
            return decode(unpack(body, encoding, self.limits), time.time_ns(), self.limits)

        # What takes long must not hold up the other requests; what does not is done before a thread would have begun.
        is_light = len(body) <= _HEAVY_BYTES and encoding == "identity" and costs.is_ready()
        return run() if is_light else await asyncio.to_thread(run)


def _check_quota(writer: Writer) -> None:
    wait_s = 0.0 if writer.quota is None else writer.quota.wait_s()
    if wait_s > 0:
        message = (
            "This key has sent as many events as it may for now. Nothing of this request is stored; send it again."
        )
        raise ProblemError(429, "over_quota", message, headers={"Retry-After": str(math.ceil(wait_s))}, close=True)


def _encoding(request: web.Request) -> str:
    encoding = ",".join(request.headers.getall("Content-Encoding", [])).strip().lower() or "identity"
    if encoding not in ENCODINGS:
        known = ", ".join(ENCODINGS)
        message = f"Send the body in one of these encodings: {known}."
        raise ProblemError(415, "bad_encoding", message, headers={"Accept-Encoding": known}, close=True)
    return encoding


def _check_type(request: web.Request) -> None:
    if request.content_type not in _TYPES:
        known = ", ".join(_TYPES)
        message = f"Send the body as one of these types: {known}."
        raise ProblemError(415, "bad_type", message, headers={"Accept": known}, close=True)


def _count(request: web.Request) -> int | None:
    text = request.headers.get("X-Lumina-Count")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise ProblemError(400, "bad_count", "X-Lumina-Count is no count.", close=True)
    return int(text)


def _rfc3339(now_ns: int) -> str:
    seconds, rest = divmod(now_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1_000_000:03d}Z"
