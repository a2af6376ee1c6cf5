"""Shutting down against a server that never answers: within its time, everything counted, nothing left open."""

import asyncio
import gc
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from support import MemoryTransport, assert_closed, config, until

from lumina_async import LuminaClient
from lumina_async._outcome import Answer
from lumina_async._transport import Payload
from lumina_async.testing import FaultyIngest, Reply

GRACE_S = 0.25


@asynccontextmanager
async def silent_server() -> AsyncIterator[str]:
    """A server that accepts connections and never reads."""
    writers: list[asyncio.StreamWriter] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        writers.append(writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for writer in writers:
            writer.close()


@asynccontextmanager
async def hanging_server() -> AsyncIterator[str]:
    """A server that reads everything and never answers."""
    async with FaultyIngest(always=Reply(hangs=True)) as ingest:
        yield ingest.url


def connections_to(url: str) -> int:
    """How many sockets of this process are connected to a server."""
    count = 0
    for found in [thing for thing in gc.get_objects() if type(thing) is socket.socket]:
        with suppress(OSError):
            count += found.family == socket.AF_INET and found.getpeername()[1] == int(url.rpartition(":")[2])
    return count


async def record(client: LuminaClient, count: int, text: str = "") -> None:
    session = await client.session.start()
    for _ in range(count):
        async with session.turn() as t:
            await t.annotate(text=text)


@pytest.mark.parametrize("server", [hanging_server, silent_server], ids=["hangs", "never_reads"])
@pytest.mark.parametrize("seconds", [0, 0.3, 1.0])
async def test_shutdown_keeps_its_time_and_counts_the_rest(server: Any, seconds: float) -> None:
    """shutdown(t) takes t + 0.25 s at most, the rest is lost as `shutdown_timeout`, no socket stays (Q18, G8)."""
    async with server() as url:
        # Enough to fill every buffer on the way, in several batches.
        options = {"compression": "none", "max_batch_bytes": 1_000_000, "request_timeout_ms": 60_000}
        client = LuminaClient(config(endpoint=url, **options))
        await client.init(client._config)
        await record(client, 60, "x" * 200_000)
        await until(lambda: connections_to(url))
        began = time.monotonic()
        await client.shutdown(seconds)
        assert time.monotonic() - began <= seconds + GRACE_S
        stats = await client.stats()
        assert_closed(stats)
        assert dict(stats.lost) == {"shutdown_timeout": 61}
        await until(lambda: not connections_to(url))
        assert not [task for task in asyncio.all_tasks() if "lumina" in task.get_name()]


async def test_two_shutdowns_at_once_are_one() -> None:
    """Called twice at once and once more later, shutdown happens once (FAULTS Q18)."""
    transport = MemoryTransport(hang=asyncio.Event())
    client = await LuminaClient(config(), transport=lambda _: transport).__aenter__()
    await record(client, 3)
    await asyncio.gather(client.shutdown(0.1), client.shutdown(0.1))
    await client.shutdown()
    assert_closed(await client.stats())
    assert transport.opened == transport.closed == 1


async def test_a_flush_during_a_shutdown_tells_the_truth() -> None:
    """While a shutdown still sends, flush is false; one that waited before it ends with it, false too (Q17, Q18)."""
    transport = MemoryTransport(hang=asyncio.Event())
    client = await LuminaClient(config(), transport=lambda _: transport).__aenter__()
    await record(client, 3)
    waiting = asyncio.create_task(client.flush())
    await until(lambda: transport.payloads)
    closing = asyncio.create_task(client.shutdown(0.1))
    await until(lambda: not client.is_initialized)
    assert not await client.flush()
    await closing
    assert not await asyncio.wait_for(waiting, 1)
    assert await client.flush()
    assert_closed(await client.stats())


async def test_a_server_that_answers_late_but_in_time_loses_nothing() -> None:
    """What is answered within the deadline is stored (FAULTS Q18)."""
    async with FaultyIngest(always=Reply(delay_ms=200)) as ingest:
        async with LuminaClient(config(endpoint=ingest.url)) as client:
            await record(client, 20)
        stats = await client.stats()
        assert_closed(stats)
        assert (stats.stored, len(ingest.events)) == (21, 21)


class Slow:
    """A system provider whose hooks take a moment."""

    name = "slow"

    def __init__(self, seconds: float) -> None:
        self.seconds, self.calls = seconds, list[str]()

    async def start_turn(self, context: Any) -> str:
        return "ref"

    async def end_turn(self, ref: Any, status: str, meta: Any) -> None:
        await asyncio.sleep(self.seconds)
        self.calls.append("end_turn")

    async def start_span(self, context: Any) -> str:
        return "span"

    async def end_span(self, ref: Any, status: str, meta: Any) -> None:
        self.calls.append("end_span")

    async def shutdown(self) -> None:
        self.calls.append("shutdown")


@pytest.mark.parametrize(("seconds", "told"), [(0.05, ["end_turn"] * 3), (30.0, [])], ids=["slow", "hangs"])
async def test_shutdown_waits_for_the_hooks_as_long_as_it_may(seconds: float, told: list[str]) -> None:
    """Hooks in hand end before the provider does, or are cut at the deadline; no task stays (FAULTS V13, Q18)."""
    provider = Slow(seconds)
    client = LuminaClient(config(system_analytics=provider), transport=lambda _: MemoryTransport())
    await client.init(client._config)
    await record(client, 3)
    began = time.monotonic()
    await client.shutdown(1.0)
    assert time.monotonic() - began <= 1.0 + GRACE_S
    assert provider.calls == [*told, "shutdown"]
    assert asyncio.all_tasks() == {asyncio.current_task()}


class Lingering(MemoryTransport):
    """A transport that takes its time to give up."""

    async def post(self, payload: Payload, sent_at: str) -> Answer:
        try:
            return await super().post(payload, sent_at)
        except asyncio.CancelledError:
            await asyncio.sleep(0.05)
            raise


async def test_a_second_cancellation_during_shutdown_leaves_nothing_uncounted() -> None:
    """Every task cancelled while shutdown waits for a send to give up: what it had is counted (FAULTS Q6)."""
    client = LuminaClient(config(), transport=lambda _: Lingering(hang=asyncio.Event()))
    session = await client.session.start()
    async with session.turn():
        pass
    await until(lambda: client.recorder.stats().in_flight > 0)
    shutdown = asyncio.create_task(client.shutdown(0))
    [flusher] = [task for task in asyncio.all_tasks() if task.get_name() == "lumina-flusher"]
    await until(lambda: flusher.cancelling() > 0)
    await asyncio.sleep(0)
    flusher.cancel()
    await shutdown
    await until(flusher.done)
    await asyncio.sleep(0.1)
    assert_closed(await client.stats())
