"""What the benchmarks share: the turn they record, the same by hand (the floor), and a sink in a process of its own."""

import asyncio
import gzip
import random
import statistics
import subprocess
import sys
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from time import perf_counter_ns
from typing import Any

import aiohttp
import orjson

BATCH_BYTES = 100_000
SINK_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"

DELAY_MS = 0.0
"""Of the sink's answers, in its process."""

QUESTION = (
    "Hello! I ordered the large blue kettle from your shop two weeks ago, and it still has not come. The page says it "
    "left the warehouse, but the parcel service knows nothing of it. Could you please find out where it is?"
)
REPLY = (
    "Thank you for telling us, and I am sorry for the trouble. I have looked at your order: the kettle left our "
    "warehouse on a lorry of the second carrier, whose numbers the parcel service does not show. It should reach you "
    "by the end of this week. If it has not come by then, please answer here, and we will either send another one at "
    "once or return the money, whichever you prefer. Is there anything else that I can do for you in the meantime?"
)
MESSAGES = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": REPLY}]


class Watch:
    """Adds up the time that a turn takes from its caller: all of it but what the model and the tool take."""

    __slots__ = ("began", "spent")

    def __init__(self) -> None:
        self.spent, self.began = 0, perf_counter_ns()

    async def model(self) -> str:
        """Answer as a model would, after others had their turn."""
        self.spent += perf_counter_ns() - self.began
        await asyncio.sleep(0)
        self.began = perf_counter_ns()
        return REPLY

    async def tool(self) -> int:
        """Answer as a tool would, after others had their turn."""
        self.spent += perf_counter_ns() - self.began
        await asyncio.sleep(0)
        self.began = perf_counter_ns()
        return 3

    def stop(self) -> int:
        """Return the nanoseconds."""
        return self.spent + perf_counter_ns() - self.began


class Floor:
    """The same by hand: the same dict, `orjson.dumps`, a list, and a POST with aiohttp for each 100 KB of it."""

    def __init__(self, url: str, *, compressed: bool = True, capture: str = "full") -> None:
        self._url, self._compressed, self._capture = url, compressed, capture
        self._lines: list[bytes] = []
        self._bytes = self._seq = 0
        self._batches: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
        self.stored = 0

    async def turn(self, watch: Watch) -> None:
        """Record one turn."""
        started = datetime.now(UTC)
        turn_id = f"{random.getrandbits(64):016x}"
        llm_started = datetime.now(UTC)
        reply = await watch.model()
        llm_ended = datetime.now(UTC)
        tool_started = datetime.now(UTC)
        await watch.tool()
        tool_ended = datetime.now(UTC)
        messages = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": reply}]
        ended = datetime.now(UTC)
        self._seq += 1
        fields: dict[str, Any] = {
            "v": 1,
            "event_id": f"{random.getrandbits(128):032x}",
            "name": "turn",
            "source": "lumina-async",
            "sdk_version": "0.1.0",
            "ts": _text(ended),
            "distinct_id": "user_1",
            "anonymous": False,
            "session_id": "chat_1",
            "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
            "turn_id": turn_id,
            "seq": self._seq,
            "status": "ok",
            "started_at": _text(started),
            "ended_at": _text(ended),
            "latency_ms": _ms(started, ended),
            "llm": [
                {
                    "span_id": f"{random.getrandbits(64):016x}",
                    "model": "gpt-4o",
                    "prompt_id": "greeting",
                    "started_at": _text(llm_started),
                    "latency_ms": _ms(llm_started, llm_ended),
                    "status": "ok",
                }
            ],
            "tools": [
                {
                    "span_id": f"{random.getrandbits(64):016x}",
                    "name": "search",
                    "status": "ok",
                    "started_at": _text(tool_started),
                    "latency_ms": _ms(tool_started, tool_ended),
                    "type": "retrieval",
                    "target": "db",
                }
            ],
            "capture": self._capture,
        }
        if self._capture != "none":
            fields["messages"] = messages
        self._keep(orjson.dumps(fields))

    def _keep(self, line: bytes) -> None:
        self._lines.append(line)
        self._bytes += len(line) + 1
        if self._bytes >= BATCH_BYTES:
            self.hand_over()

    def hand_over(self) -> None:
        """Give what waits to `post`."""
        if self._lines:
            self._batches.put_nowait((len(self._lines), b"\n".join(self._lines)))
            self._lines, self._bytes = [], 0

    async def post(self) -> None:
        """Send what is handed over, until cancelled."""
        headers = {"Content-Type": "application/x-ndjson", "X-Api-Key": "gi_bench"}
        if self._compressed:
            headers["Content-Encoding"] = "gzip"
        async with aiohttp.ClientSession(headers=headers) as http:
            while True:
                count, body = await self._batches.get()
                body = gzip.compress(body, 1, mtime=0) if self._compressed else body
                async with http.post(self._url, data=body) as answer:
                    answer.raise_for_status()
                    await answer.read()
                self.stored += count
                self._batches.task_done()

    async def flush(self) -> None:
        """Wait until all of it is sent; `post` has to run."""
        self.hand_over()
        await self._batches.join()


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def _ms(began: datetime, ended: datetime) -> float:
    return (ended - began).total_seconds() * 1000


async def by_tasks(tasks: int, count: int, turn: Callable[[Watch], Awaitable[None]]) -> list[int]:
    """Record that many turns in that many tasks; return what each took from its caller, in nanoseconds, sorted."""
    spent: list[int] = []

    async def work(share: int) -> None:
        for _ in range(share):
            watch = Watch()
            await turn(watch)
            spent.append(watch.stop())

    async with asyncio.TaskGroup() as group:
        for number in range(tasks):
            group.create_task(work(count // tasks + (number < count % tasks)))
    return sorted(spent)


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def is_quick() -> bool:
    """Tell whether a few rounds will do: `--quick`, to see that the benchmark runs."""
    return "--quick" in sys.argv[1:]


@contextmanager
def sink(delay_ms: float = 0) -> Generator[str, None, None]:
    """Serve HTTP in a process of its own that answers every request with 200; give its origin.

    Args:
        delay_ms: How long each answer takes; infinity for one that never comes.
    """
    command = [sys.executable, __file__, str(delay_ms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None  # noqa: S101
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


class _Sink(asyncio.Protocol):
    """Reads a body of the length that is told, and answers; no more, so that the producer is what is measured."""

    def __init__(self) -> None:
        self._received, self._wanted = bytearray(), -1

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while True:
            if self._wanted < 0:
                head, separator, _ = self._received.partition(b"\r\n\r\n")
                if not separator:
                    return
                length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
                self._wanted = len(head) + 4 + int(length or 0)
            if len(self._received) < self._wanted:
                return
            del self._received[: self._wanted]
            self._wanted = -1
            if not DELAY_MS:
                self._transport.write(SINK_ANSWER)
            elif float("inf") > DELAY_MS:
                asyncio.get_running_loop().call_later(DELAY_MS / 1000, self._transport.write, SINK_ANSWER)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Sink, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    DELAY_MS = float(sys.argv[1])
    asyncio.run(_serve())
