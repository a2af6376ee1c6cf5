"""Lines and requests that no sender would write (FAULTS C6, C32, G11)."""

import asyncio
import gzip
import random
import resource
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import orjson
from faults.forms import form

from lumina_async.collector import Collector
from lumina_async.collector.decode import Limits, decode
from lumina_async.collector.sqlite import SqliteStore

from .kit import event, event_id, raw, request, turn
from .processes import stored_ids
from .test_store import AT

LINES = form(200_000, 1_000_000)
REQUESTS = form(2000, 100_000)
AT_ONCE = 20
CODES = {"bad_json", "bad_event", "bad_id", "unsupported_version"}

ODD = [None, True, -1, 0, 2**63, 2**64, -(2**63), 1e308, 5e-324, "", "\0", "\u202e", "null", "\U0001f600" * 300, [], {}]
ODD += [[[[[]]]], {"": {"": 1}}, "a" * 201, "2026-13-45T99:99:99Z", [{"role": 7}], {"a": "b" * 20_000}, [None] * 100]
TOKENS = [b"{", b"}", b"[", b"]", b'"', b"\\", b"\\ud800", b"\\u0000", b"1e999", b"NaN", b"\xff", b"\xed\xa0\x80", b","]
TOKENS += [b"\r", b"\0", b"\xef\xbb\xbf", b":", b"-", b"[" * 300, b'{"a":' * 300, b'"event_id":null,', b'"v":2,', b"\n"]


class Fuzzer:
    """Makes lines: good ones whose fields, bytes or order are not what they should be."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.seeds = [turn(), event("identify", previous_id="anon_1", properties={"a": 1}), event("feedback", score=1)]
        self.seeds += [event("session_started", pointers={"a": "b"}), event("sdk_report", client_id="c", lost={"x": 1})]
        self.kinds: list[Callable[[bytearray], object]] = [self.flip, self.cut, self.insert, self.repeat]

    def line(self) -> bytes:
        made = {**self.random.choice(self.seeds), "event_id": event_id()}
        for _ in range(self.random.randrange(3)):
            made[self.random.choice(list(made))] = self.random.choice(ODD)
        try:
            line = bytearray(orjson.dumps(made))
        except TypeError:  # An integer that only others can write.
            line = bytearray(b'{"name":%d}' % 2**80)
        for _ in range(self.random.choice([0, 0, 1, 1, 3])):
            self.random.choice(self.kinds)(line)
        return bytes(line)

    def body(self, count: int) -> bytes:
        return b"\n".join(self.line() for _ in range(count))

    def flip(self, line: bytearray) -> None:
        if line:
            line[self.random.randrange(len(line))] ^= 1 << self.random.randrange(8)

    def cut(self, line: bytearray) -> None:
        start = self.random.randrange(len(line) + 1)
        del line[start : start + self.random.randrange(1, 30)]

    def insert(self, line: bytearray) -> None:
        at = self.random.randrange(len(line) + 1)
        line[at:at] = self.random.choice(TOKENS)

    def repeat(self, line: bytearray) -> None:
        start = self.random.randrange(len(line) + 1)
        line += line[start : start + 200] * self.random.randrange(3)


async def test_no_line_is_too_odd_to_be_stored_or_rejected(tmp_path: Path) -> None:
    """Each fuzzed line is a row that the store takes, or a rejection with a code, and memory stays (FAULTS G11)."""
    store, fuzzer, taken, used = SqliteStore(tmp_path / "lumina.db"), Fuzzer(1), 0, 0
    await store.open()
    for number in range(LINES // 1000):
        decoded = decode(fuzzer.body(1000), time.time_ns(), Limits())
        assert {one.code for one in decoded.rejections} <= CODES
        added = await store.add("p", decoded.rows, received_at=AT, rejected=len(decoded.rejections))
        taken += added.accepted
        if number == LINES // 10_000:
            used = memory_kb()
    assert memory_kb() - used < 50_000
    await store.aclose()
    assert len(stored_ids(store.path)) == taken > LINES // 10


def fuzzed_request(fuzzer: Fuzzer) -> bytes:
    """Return a request whose body, or now and then whose head, is odd."""
    chance, body = fuzzer.random.random(), fuzzer.body(20)
    head = ["X-Api-Key: k", "Content-Type: text/plain"]
    if chance < 0.3:
        packed = bytearray(gzip.compress(body, 1))
        if chance < 0.2:
            fuzzer.flip(packed)
        body, head = bytes(packed), [*head, "Content-Encoding: gzip"]
    head.append(f"Content-Length: {len(body)}")
    sent = bytearray(request("POST /v1/ingest HTTP/1.1", *head, body=body))
    if chance > 0.8:
        at = fuzzer.random.randrange(len(sent) - len(body))
        sent[at : at + 1] = fuzzer.random.choice(TOKENS)
    return bytes(sent)


async def test_no_request_makes_the_collector_fail_or_stall(collector: Collector) -> None:
    """Fuzzed requests get an answer below 500 or none, and the loop goes on meanwhile (FAULTS C32, G11)."""
    fuzzer, statuses, used = Fuzzer(2), set[bytes](), memory_kb()

    async def ask(count: int) -> None:
        for _ in range(count):
            # One whose length is not that of its body may wait for the rest: it is left, and the server cuts it off.
            with suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    statuses.add((await raw(collector.port, fuzzed_request(fuzzer)))[9:12])

    watching = asyncio.create_task(longest_stall())
    await asyncio.gather(*[ask(REQUESTS // AT_ONCE) for _ in range(AT_ONCE)])
    watching.cancel()
    assert await watching < 1.0
    assert {b"200", b"400", b"408"} <= statuses
    assert not [status for status in statuses if status >= b"500"]
    assert memory_kb() - used < 50_000


async def longest_stall() -> float:
    """Return, once cancelled, for how long at most the loop did nothing else."""
    longest = 0.0
    with suppress(asyncio.CancelledError):
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            longest = max(longest, time.monotonic() - began)
    return longest


def memory_kb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
