"""One batch on its way: attempts, halves, and what became of each line."""

import gzip
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import anyio.to_thread
import attrs

from lumina_async._batch import Line
from lumina_async._config import LuminaConfig
from lumina_async._encode import rfc3339
from lumina_async._ledger import Ledger, Reason
from lumina_async._log import Once, logger
from lumina_async._outcome import Action, Answer, Outcome, decide
from lumina_async._protocols import Clock
from lumina_async._trace import new_event_id
from lumina_async._transport import Payload, Transport

MAX_REQUESTS = 32
PROBE_S = 60.0
MAX_COOL_DOWN_S = 30.0
# Below this size compressing takes less time than handing the work to a thread.
THREAD_BYTES = 16_384


@attrs.define
class Endpoint:
    """What is known of the ingest server, shared by all batches of one client.

    Attributes:
        hold_until: No request before this, in monotonic seconds.
        paused: It refuses everything; one line is tried each minute.
        rounds: Failed rounds in a row.
        plain: It takes no compressed body.
        accepted: Batches and parts that it stored.
        refused: Lines it refused alone while nothing else passed, with `accepted` at that time: not lost until
            something else passes, because until then it may be the server that is wrong.
    """

    hold_until: float = 0.0
    paused: bool = False
    rounds: int = 0
    plain: bool = False
    accepted: int = 0
    refused: dict[int, int] = attrs.Factory(dict[int, int])

    def works(self) -> None:
        """It stored something."""
        self.accepted += 1
        self.rounds = 0
        self.paused = False

    def cool_down(self, now: float, jitter: float) -> None:
        """It failed for a whole round; `jitter` is uniform in 0 to 1. Batches that fail side by side count once."""
        if now >= self.hold_until:
            self.rounds += 1
        longest = min(MAX_COOL_DOWN_S, 2.0 ** min(self.rounds, 10))
        self.hold_until = max(self.hold_until, now + 0.5 + jitter * (longest - 0.5))

    def pause(self, now: float) -> None:
        """It refuses for a reason that time does not mend: keep everything, try one line in a minute."""
        self.paused = True
        self.hold_until = max(self.hold_until, now + PROBE_S)


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

    def report(self) -> bytes | None:
        """Return the line that tells the server what was lost, or None while there is nothing new to tell."""
        ...

    def reported(self) -> None:
        """Note that the last report arrived."""


@attrs.frozen
class Sender:
    """What every delivery of one client shares."""

    config: LuminaConfig
    books: Books
    transport: Transport
    endpoint: Endpoint
    settle: Callable[[Line, Reason | None], None]


class Delivery:
    """Sends the lines of one batch and settles each: stored, or lost under a reason.

    Attributes:
        left: The lines without an ending, by their order. What is still here after `run`, or after its cancellation,
            goes back to the queue.
    """

    def __init__(self, lines: Sequence[Line], sender: Sender) -> None:
        self.left = {line.order: line for line in lines}
        self._size, self._sender = len(lines), sender
        self._accepted = False

    async def run(self) -> Action | None:
        """Send everything, in halves where the server refuses the whole.

        Returns:
            `STORED` when progress was made, `RETRY` or `PAUSE` when the endpoint failed, `SPLIT` when it refused every
            line of the batch, so that it may be the endpoint that is wrong; None when another batch had learned
            meanwhile that nothing may be sent now.
        """
        parts = deque([list(self.left.values())])
        refused: list[tuple[Line, Reason]] = []
        for _ in range(MAX_REQUESTS):
            if not parts:
                break
            if self._is_held():
                return None
            part = parts.popleft()
            outcome, answer = await self._attempts(part)
            if outcome.action is Action.STORED:
                self._stored(part, outcome.rejected)
            elif outcome.action is not Action.SPLIT:
                return self._failed(outcome, answer)
            elif len(part) > 1:
                middle = len(part) // 2
                parts.extendleft((part[middle:], part[:middle]))
            else:
                refused.append((part[0], Reason.TOO_LARGE if answer.status == 413 else Reason.REJECTED))
        self._judge(refused)
        return Action.STORED if self._accepted or not self.left else Action.SPLIT

    async def _attempts(self, part: Sequence[Line]) -> tuple[Outcome, Answer]:
        """Send these lines once and, while the server asks for patience, once after each documented delay."""
        books = self._sender.books
        # A report goes with a whole batch only: in a half it could be what the server refuses.
        report = books.report() if len(part) == self._size else None
        payload = await self._payload([*(line.data for line in part), *([report] if report else ())])
        outcome, answer = await self._attempt(payload)
        for delay_ms in self._sender.config.retry_delays_ms:
            if outcome.action is not Action.RETRY or outcome.retry_after_s is not None:
                break
            await books.clock.sleep(delay_ms / 1000)
            if self._is_held():
                break
            outcome, answer = await self._attempt(payload)
        if outcome.action is Action.STORED and report is not None:
            books.reported()
        return outcome, answer

    async def _attempt(self, payload: Payload) -> tuple[Outcome, Answer]:
        endpoint = self._sender.endpoint
        if endpoint.plain and payload.encoding is not None:
            payload = attrs.evolve(payload, body=gzip.decompress(payload.body), encoding=None)
        answer = await self._sender.transport.post(payload, rfc3339(self._sender.books.clock.wall_ns()))
        logger.debug("batch %s: %d events, %d bytes: %s", payload.batch_id, payload.count, len(payload.body), answer)
        outcome = decide(answer, compressed=payload.encoding is not None)
        if outcome.action is Action.PLAIN:
            endpoint.plain = True
            return await self._attempt(payload)
        return outcome, answer

    async def _payload(self, lines: Sequence[bytes]) -> Payload:
        plain = self._sender.endpoint.plain or self._sender.config.compression == "none"
        body = b"".join(lines)
        if not plain:
            in_thread = len(body) > THREAD_BYTES
            body = await anyio.to_thread.run_sync(_gzip, body, abandon_on_cancel=True) if in_thread else _gzip(body)
        batch_id = new_event_id(self._sender.books.clock.wall_ns())
        return Payload(body=body, count=len(lines), batch_id=batch_id, encoding=None if plain else "gzip")

    def _is_held(self) -> bool:
        return self._sender.books.clock.monotonic_ns() / 1e9 < self._sender.endpoint.hold_until

    def _stored(self, part: Sequence[Line], rejected: Sequence[tuple[int, str]]) -> None:
        self._accepted = True
        self._sender.endpoint.works()
        for condition in ("retry", "pause"):
            self._sender.books.once.clear(condition)
        codes = dict(rejected)
        for index, line in enumerate(part):
            if index in codes:
                logger.warning("the server rejected event %s: %s", line.event_id, codes[index])
            self._settle(line, Reason.REJECTED if index in codes else None)

    def _failed(self, outcome: Outcome, answer: Answer) -> Action:
        endpoint, once = self._sender.endpoint, self._sender.books.once
        if outcome.action is Action.RETRY:
            if outcome.retry_after_s is not None:
                until = self._sender.books.clock.monotonic_ns() / 1e9 + outcome.retry_after_s
                endpoint.hold_until = max(endpoint.hold_until, until)
            once.warn("retry", "the ingest server does not take events (%s); they are kept and sent again", answer)
        else:
            hint = "check write_key" if answer.status in {401, 403} else "check endpoint and ingest_path"
            once.warn("pause", "the ingest server refuses events (%s): %s; they are kept", answer, hint)
        return outcome.action

    def _judge(self, refused: Sequence[tuple[Line, Reason]]) -> None:
        """Lose the lines that the server refused alone, where it is proven that it takes others."""
        endpoint = self._sender.endpoint
        for line, reason in refused:
            if self._accepted or endpoint.accepted > endpoint.refused.get(line.order, endpoint.accepted):
                endpoint.refused.pop(line.order, None)
                logger.warning("the server refuses event %s alone: it is lost as %s", line.event_id, reason.value)
                self._settle(line, reason)
            else:
                endpoint.refused[line.order] = endpoint.accepted

    def _settle(self, line: Line, reason: Reason | None) -> None:
        # A line that another loop took over meanwhile is no longer ours to count.
        if self.left.pop(line.order, None) is not None:
            self._sender.settle(line, reason)


def _gzip(data: bytes) -> bytes:
    return gzip.compress(data, compresslevel=1, mtime=0)
