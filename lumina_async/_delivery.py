"""One batch on its way: attempts, halves, and what became of each line."""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import anyio
import anyio.to_thread
import attrs

from lumina_async._batch import Line, take
from lumina_async._compression import compressor
from lumina_async._config import LuminaConfig
from lumina_async._encode import rfc3339
from lumina_async._endpoint import ROUNDS, Endpoint, alone_s
from lumina_async._ledger import Ledger, Reason
from lumina_async._log import Once, logger
from lumina_async._outcome import Action, Answer, Outcome, decide
from lumina_async._protocols import Clock
from lumina_async._trace import new_event_id
from lumina_async._transport import Payload, Transport

Result = tuple[Outcome, Answer]

MAX_REQUESTS = 32
# Below this size compressing takes less time than handing the work to a thread.
THREAD_BYTES = 16_384


class Books(Protocol):
    """What delivery needs of its client: where time comes from, and where everything is written down."""

    @property
    def clock(self) -> Clock:
        """Where time comes from."""
        ...

    @property
    def once(self) -> Once:
        """Where a condition is logged."""
        ...

    @property
    def ledger(self) -> Ledger:
        """Where every event is."""
        ...

    def report(self) -> tuple[int, bytes] | None:
        """Return how many are lost and the line that tells the server, or None while there is nothing new to tell."""
        ...

    def reported(self, lost: int) -> None:
        """Note that the report of so many arrived."""


@attrs.frozen
class Sender:
    """What the deliveries on one loop share.

    Attributes:
        slots: One for each request that may be under way. A batch waits for its own when it is compressed already.
        threads: For compressing. Those that anyio lends to everybody may all be taken by the app.
    """

    config: LuminaConfig
    books: Books
    transport: Transport
    endpoint: Endpoint
    settle: Callable[[Line, Reason | None], None]
    slots: asyncio.Semaphore = attrs.Factory(lambda self: asyncio.Semaphore(self.config.max_in_flight), True)
    threads: anyio.CapacityLimiter = attrs.Factory(lambda: anyio.CapacityLimiter(2))


class Delivery:
    """Sends the lines of one batch and settles each: stored, or lost under a reason.

    Attributes:
        left: The lines without an ending, by their order. What is still here after `run`, or after its cancellation,
            goes back to the queue.
    """

    def __init__(self, lines: Sequence[Line], sender: Sender) -> None:
        self.left = {line.order: line for line in lines}
        self._size, self._sender, self._endpoint = len(lines), sender, sender.endpoint
        self._accepted = self._in_doubt = False
        self._refused: list[tuple[Line, Reason]] = []

    async def run(self) -> None:
        """Send everything, in parts where the server refuses the whole, and note what that tells of the server."""
        parts = deque([list(self.left.values())])
        for _ in range(MAX_REQUESTS):
            if not parts:
                break
            if self._is_held():
                return
            part = self._next_part(parts)
            if (result := await self._attempts(part)) is None:
                return
            outcome, answer = result
            if outcome.action is Action.STORED:
                self._stored(part, outcome.rejected)
            elif outcome.action is Action.SPLIT or self._blames(part, outcome, answer):
                self._split(part, parts, outcome, answer)
            else:
                self._failed(outcome, answer)
                return
        self._judge()

    def _next_part(self, parts: deque[list[Line]]) -> list[Line]:
        """Return the next part, no larger than the server is known to take."""
        part = parts.popleft()
        fits = take((len(line.data) for line in part), self._endpoint.batch_bytes)
        if fits < len(part):
            parts.appendleft(part[fits:])
        return part[:fits]

    def _split(self, part: list[Line], parts: deque[list[Line]], outcome: Outcome, answer: Answer) -> None:
        if answer.status == 413:
            self._endpoint.too_large(_size(part))
        if len(part) > 1:
            middle = len(part) // 2
            parts.extendleft((part[middle:], part[:middle]))
        elif outcome.action is Action.SPLIT:
            self._refused.append((part[0], Reason.TOO_LARGE if answer.status == 413 else Reason.REJECTED))
        else:
            self._set_aside(part[0], answer)

    async def _attempts(self, part: Sequence[Line]) -> Result | None:
        """Send these lines with a report of what is lost, where there is one; None where nothing may be sent now."""
        books = self._sender.books
        # A report goes with a whole batch only: in a half it could be what the server refuses.
        report = books.report() if len(part) == self._size else None
        data = [line.data for line in part]
        if report is None:
            return await self._round(data)
        result = await self._round([*data, report[1]])
        if result is not None and result[0].action is Action.STORED:
            books.reported(report[0])
        return result

    async def _round(self, data: Sequence[bytes]) -> Result | None:
        """Send when a request is free, and again after each documented delay while the server asks for patience.

        Returns:
            None where another batch has learned meanwhile that nothing may be sent now.
        """
        plain = b"".join(data)
        payload = await self._payload(plain, len(data))
        async with self._sender.slots:
            if self._is_held():
                return None
            outcome, answer = await self._attempt(payload, plain)
            for delay_ms in () if self._in_doubt else self._sender.config.retry_delays_ms:
                if outcome.action is not Action.RETRY or outcome.retry_after_s is not None:
                    break
                await self._sender.books.clock.sleep(delay_ms / 1000)
                if self._is_held():
                    break
                outcome, answer = await self._attempt(payload, plain)
            return outcome, answer

    async def _attempt(self, payload: Payload, plain: bytes) -> Result:
        if self._endpoint.plain:
            payload = attrs.evolve(payload, body=plain, encoding=None)
        answer = await self._sender.transport.post(payload, rfc3339(self._sender.books.clock.wall_ns()))
        logger.debug("batch %s: %d events, %d bytes: %s", payload.batch_id, payload.count, len(payload.body), answer)
        outcome = decide(answer, compressed=payload.encoding is not None)
        if outcome.action is Action.PLAIN:
            self._endpoint.plain = True
            return await self._attempt(payload, plain)
        return outcome, answer

    async def _payload(self, body: bytes, count: int) -> Payload:
        name = self._sender.config.compression
        encoding = None if self._endpoint.plain or name == "none" else name
        if encoding is not None and (compress := compressor(encoding)) is not None:
            if len(body) > THREAD_BYTES:
                limiter = self._sender.threads
                body = await anyio.to_thread.run_sync(compress, body, abandon_on_cancel=True, limiter=limiter)
            else:
                body = compress(body)
        batch_id = new_event_id(self._sender.books.clock.wall_ns())
        return Payload(body=body, count=count, batch_id=batch_id, encoding=encoding)

    def _now(self) -> float:
        return self._sender.books.clock.monotonic_ns() / 1e9

    def _is_held(self) -> bool:
        return self._now() < self._endpoint.hold_until

    def _stored(self, part: Sequence[Line], rejected: Sequence[tuple[int, str]]) -> None:
        self._accepted = True
        self._endpoint.works(_size(part))
        for condition in ("retry", "pause"):
            self._sender.books.once.clear(condition)
        codes = dict(rejected)
        for index, line in enumerate(part):
            if index in codes:
                logger.warning("the server rejected event %s: %s", line.event_id, codes[index])
            self._settle(line, Reason.REJECTED if index in codes else None)

    def _failed(self, outcome: Outcome, answer: Answer) -> None:
        """Note that the endpoint failed; what it asks for time for says nothing of the lines."""
        endpoint, once = self._endpoint, self._sender.books.once
        if not _asks_for_time(outcome, answer):
            for line in self.left.values():
                line.failed += 1
                line.seen = endpoint.accepted
        if outcome.action is Action.RETRY:
            endpoint.cool_down(self._now(), random.random(), outcome.retry_after_s)  # noqa: S311  (jitter)
            hint = "; is its certificate valid, for this host, and known to ssl=...?" if "Certif" in str(answer) else ""
            once.warn(
                "retry", "the ingest server does not take events (%s)%s; they are kept and sent again", answer, hint
            )
        else:
            endpoint.pause(self._now())
            hint = "check write_key" if answer.status in {401, 403} else "check endpoint and ingest_path"
            once.warn("pause", "the ingest server refuses events (%s): %s; they are kept", answer, hint)

    def _blames(self, part: Sequence[Line], outcome: Outcome, answer: Answer) -> bool:
        """Tell whether it is these lines that the server fails on: three rounds, and it stored others since."""
        suspect = max(part, key=lambda line: line.failed)
        if _asks_for_time(outcome, answer):
            return False
        self._in_doubt |= suspect.again_at > 0 or (
            suspect.failed >= ROUNDS - 1 and suspect.seen is not None and suspect.seen < self._endpoint.accepted
        )
        return self._in_doubt

    def _set_aside(self, line: Line, answer: Answer) -> None:
        """Let a line that fails alone wait, ever longer, and the others pass. It is lost only where room is needed."""
        if not line.again_at:
            name = line.event_id
            logger.warning("the server fails on event %s alone (%s): it is kept and tried now and then", name, answer)
        line.failed += 1
        line.seen = self._endpoint.accepted
        line.again_at = self._now() + alone_s(line.failed)

    def _judge(self) -> None:
        """Lose the lines that the server refused alone, where it is proven that it takes others."""
        endpoint = self._endpoint
        for line, reason in self._refused:
            if self._accepted or (line.seen is not None and line.seen < endpoint.accepted):
                logger.warning("the server refuses event %s alone: it is lost as %s", line.event_id, reason.value)
                self._settle(line, reason)
            else:
                # Also so that the next probe is another line.
                line.failed += 1
                line.seen = endpoint.accepted
        if self._accepted or all(line.again_at for line in self.left.values()):
            return
        # It refused every line there was, so it may be the server that is wrong.
        if endpoint.rounds > 0:
            endpoint.pause(self._now())
        else:
            endpoint.cool_down(self._now(), random.random())  # noqa: S311  (jitter)

    def _settle(self, line: Line, reason: Reason | None) -> None:
        # A line that another loop took over meanwhile is no longer ours to count.
        if self.left.pop(line.order, None) is not None:
            self._sender.settle(line, reason)


def _size(lines: Sequence[Line]) -> int:
    return sum(len(line.data) for line in lines)


def _asks_for_time(outcome: Outcome, answer: Answer) -> bool:
    """Tell whether the server says that it has too much to do, whatever the events."""
    return outcome.retry_after_s is not None or answer.status == 429
