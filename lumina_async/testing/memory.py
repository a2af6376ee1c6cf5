"""A client that records into memory: the real one, whose last step is a list instead of a socket."""

import asyncio
import gzip
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import attrs
import orjson

from lumina_async import Lumina, LuminaClient, LuminaConfig, Stats
from lumina_async._outcome import Action, Answer, decide
from lumina_async._protocols import Clock
from lumina_async._transport import Payload
from lumina_async.testing.recorded import (
    Raw,
    RecordedEvent,
    RecordedFeedback,
    RecordedIdentify,
    RecordedSession,
    RecordedTurn,
    read,
)

if TYPE_CHECKING:
    from lumina_async._session import Sessions

STORED = Answer(status=200, content_type="application/json", body=b"{}")


@attrs.define(eq=False)
class MemoryTransport:
    """Takes payloads in place of HTTP and keeps what it stored.

    Attributes:
        script: Answers to the first payloads, or functions from their events to an answer.
        always: Answers every other payload; None stores all.
        hang: While it is set here and not set as an event, no payload is answered.
        payloads: All that came, as it would go over the wire.
        stored: The events of the payloads that were answered as stored, without the lines that the answer rejected.
        opened: How often it was opened.
        closed: How often it was closed.
    """

    script: list[Answer | Callable[[list[Raw]], Answer]] = attrs.Factory(list[Answer | Callable[[list[Raw]], Answer]])
    always: Callable[[list[Raw]], Answer] | None = None
    hang: asyncio.Event | None = None
    payloads: list[Payload] = attrs.field(init=False, factory=list[Payload])
    stored: list[Raw] = attrs.field(init=False, factory=list[Raw])
    opened: int = attrs.field(init=False, default=0)
    closed: int = attrs.field(init=False, default=0)
    _loop: asyncio.AbstractEventLoop | None = attrs.field(init=False, default=None, repr=False)

    async def open(self) -> None:
        """Count."""
        self.opened += 1
        self._loop = asyncio.get_running_loop()

    async def aclose(self) -> None:
        """Count."""
        self.closed += 1

    async def post(self, payload: Payload, sent_at: str) -> Answer:
        """Take a payload and answer it."""
        self.payloads.append(payload)
        if self.hang is not None:
            await self.hang.wait()
        events = events_of(payload)
        step = self.script.pop(0) if self.script else self.always
        answer = STORED if step is None else step if isinstance(step, Answer) else step(events)
        outcome = decide(answer, compressed=payload.encoding is not None)
        if outcome.action is Action.STORED:
            rejected = {number for number, _ in outcome.rejected}
            self.stored.extend(event for number, event in enumerate(events) if number not in rejected)
        return answer


def unpacked(body: bytes, encoding: str | None) -> bytes:
    """Return a body as it was before compression."""
    if encoding == "gzip":
        return gzip.decompress(body)
    if encoding == "zstd":
        module = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
        plain: bytes = import_module(module).decompress(body)
        return plain
    return body


def events_of(payload: Payload) -> list[Raw]:
    """Return the events in a payload."""
    body = unpacked(payload.body, payload.encoding)
    return [orjson.loads(line) for line in body.splitlines()]


@attrs.frozen(eq=False)
class Recording:
    """A client and what it recorded.

    Each event went the whole way, was masked, written, batched and compressed, and is read back from the bytes that
    would be on the wire. Await `settled()` before you read; reading too early is an error, never an empty list.

    Attributes:
        client: The client: pass it where one is wanted.
        transport: What took the bytes.
    """

    client: LuminaClient
    transport: MemoryTransport

    @property
    def session(self) -> "Sessions":
        """Begins conversations, as `Lumina.session` does."""
        return self.client.session

    @property
    def events(self) -> list[RecordedEvent]:
        """Everything, in the order it arrived."""
        return [read(RecordedEvent, raw) for raw in self._raw()]

    @property
    def turns(self) -> list[RecordedTurn]:
        """The exchanges."""
        return [read(RecordedTurn, raw) for raw in self._raw("turn")]

    @property
    def sessions(self) -> list[RecordedSession]:
        """The conversations that began, or told more about where they take place."""
        return [read(RecordedSession, raw) for raw in self._raw("session_started")]

    @property
    def identified(self) -> list[RecordedIdentify]:
        """The visitors who became known."""
        return [read(RecordedIdentify, raw) for raw in self._raw("identify")]

    @property
    def feedback(self) -> list[RecordedFeedback]:
        """What people thought of turns."""
        return [read(RecordedFeedback, raw) for raw in self._raw("feedback")]

    def named(self, name: str) -> list[RecordedEvent]:
        """Return the events of one name, like `signal`."""
        return [read(RecordedEvent, raw) for raw in self._raw(name)]

    async def settled(self, timeout: float = 10.0) -> "Recording":
        """Wait until everything that was recorded before this call can be read.

        A test without a loop of its own runs it by `asyncio.run`, or after the app has shut down reads at once. A turn
        whose stream is still open was not recorded yet.

        Args:
            timeout: Real seconds.

        Returns:
            This recording, so that it can be read at once: `(await lumina.settled()).turns`.

        Raises:
            TimeoutError: It takes longer: the transport does not answer, or refuses everything.
        """
        await self.client.flush(timeout)
        stats = self._stats()
        if stats.queued or stats.in_flight:
            raise TimeoutError(f"not everything that was recorded could be sent: {stats}")
        return self

    def _stats(self) -> Stats:
        return self.client.recorder.stats(paused=False)

    def _raw(self, name: str | None = None) -> list[Raw]:
        stats = self._stats()
        if waiting := stats.queued + stats.in_flight:
            raise RuntimeError(f"{waiting} events are on their way: `await lumina.settled()` before you read")
        return [event for event in self.transport.stored if name is None or event["name"] == name]


def memory_config(**options: Any) -> LuminaConfig:
    """Return a configuration for a client that records into memory: nothing needs to be given."""
    defaults: dict[str, Any] = {"endpoint": "http://127.0.0.1:9", "write_key": "gi_memory", "enabled": True}
    return LuminaConfig(**(defaults | options))


@asynccontextmanager
async def recording(
    transport: MemoryTransport | None = None, *, clock: Clock | None = None, **options: Any
) -> AsyncGenerator[Recording, None]:
    """Run a client of its own that records into memory; leaving the block shuts it down, and it can still be read.

    Args:
        transport: One with a script, for a test of failures.
        clock: Where time comes from; see `FakeClock`.
        options: Those of `LuminaConfig`.
    """
    transport = transport or MemoryTransport()
    client = LuminaClient(memory_config(**options), transport=lambda _: transport, clock=clock)
    async with client:
        yield Recording(client, transport)


@contextmanager
def recording_process(config: LuminaConfig | None) -> Generator[Recording, None, None]:
    """Let the process-wide `Lumina` record into memory, for apps that import it; afterwards it is as after the import.

    It needs no event loop, and the test's may be any. A coroutine that enters it awaits `Lumina.shutdown()` before it
    leaves, as apps do. The fixture `lumina` is this.

    Args:
        config: The options; None waits for the app's own `Lumina.init(...)`.

    Raises:
        RuntimeError: `Lumina` is initialised: what it holds would be gone. Or it is still, where a coroutine leaves.
    """
    if Lumina.is_initialized:
        raise RuntimeError("Lumina is initialised: await Lumina.shutdown() before a test takes it for its own")
    transport = MemoryTransport()
    # Built once more: the very object that apps have imported, with nothing left of a former life.
    LuminaClient.__init__(Lumina, config, transport=lambda _: transport)
    try:
        yield Recording(Lumina, transport)
    finally:
        try:
            _shut_down(transport._loop)
        finally:
            LuminaClient.__init__(Lumina)


def _shut_down(home: asyncio.AbstractEventLoop | None) -> None:
    """Shut `Lumina` down, if nobody has: on the loop where it lives, or on a new one where that is gone."""
    if not Lumina.is_initialized:
        return
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise RuntimeError("in a coroutine, await Lumina.shutdown() before the block of recording_process ends")
    if home is not None and not home.is_closed() and not home.is_running():
        home.run_until_complete(Lumina.shutdown())
        return
    # With a factory, because without one the loop would become the current one of this thread.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(Lumina.shutdown())
