"""The end under load, retries across restarts, slow disks, odd clocks, values without end (FAULTS C9, C12, C28-C31)."""

import asyncio
import gc
import random
import resource
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession
from faults.forms import form

from lumina_async._trace import new_event_id
from lumina_async.collector import Collector
from lumina_async.collector.decode import Limits
from lumina_async.collector.sqlite import SqliteStore

from .kit import NDJSON, event, items, lines, post, raw, request, send, turn
from .processes import served, stored_ids
from .test_crash import Senders
from .test_store import AT, row

VALUES = form(20_000, 1_000_000)
RANDOM = random.Random(9)


async def test_a_signal_under_load_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    """SIGTERM ends a busy collector in time and well, and each answered event is stored once (FAULTS C31)."""
    db, senders = tmp_path / "lumina.db", Senders()
    async with served(db) as (process, url):
        sending = [asyncio.create_task(senders.send(url)) for _ in range(8)]
        while len(senders.acked) < 1000:
            await asyncio.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await process.wait() == 0
        await asyncio.gather(*sending)
    stored = stored_ids(db)
    assert set(senders.acked) <= set(stored)
    assert len(stored) == len(set(stored))


async def test_a_retry_storm_across_restarts_leaves_one_row_each(tmp_path: Path) -> None:
    """Batches of any age, five times each, shuffled, over many restarts, are stored once (FAULTS C9, G15)."""
    db, month_ns = tmp_path / "lumina.db", 30 * 24 * 3600 * 10**9
    ages = [new_event_id(time.time_ns() - RANDOM.randrange(24 * month_ns)) for _ in range(600)]
    batches = [lines(*[turn(event_id=one) for one in ages[start : start + 30]]) for start in range(0, 600, 30)] * 5
    RANDOM.shuffle(batches)
    accepted = 0
    for start in range(0, 100, 5):
        async with Collector(db=db, port=0) as collector:
            async with ClientSession(collector.url, headers={"X-Api-Key": "k"}) as client:
                answers = await asyncio.gather(*[post(client, body) for body in batches[start : start + 5]])
                accepted += sum(answer["accepted"] for _, answer in answers)
    assert accepted == 600
    assert sorted(stored_ids(db)) == sorted(ages)


async def test_a_slow_disk_makes_senders_wait_and_memory_does_not_grow(tmp_path: Path) -> None:
    """While a commit takes its time, so many bytes wait and no more; others get 503 unread (FAULTS C12)."""
    db, body = tmp_path / "lumina.db", lines(turn("x" * 90_000))
    async with Collector(db=db, port=0, limits=Limits(held_bytes=1_000_000)) as collector:
        async with ClientSession(collector.url, headers={"X-Api-Key": "k"}) as client:
            with closing(sqlite3.connect(db, isolation_level=None)) as disk:
                disk.execute("BEGIN IMMEDIATE")
                waiting = [asyncio.create_task(post(client, lines(turn("x" * 90_000)))) for _ in range(60)]
                done, waiting_on = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                head = request(
                    "POST /v1/ingest HTTP/1.1", "X-Api-Key: k", f"Content-Type: {NDJSON}", "Content-Length: 90000"
                )
                refused = await raw(collector.port, head)
                assert refused.startswith(b"HTTP/1.1 503 ")
                assert 1 <= int(refused.partition(b"Retry-After: ")[2].partition(b"\r\n")[0]) <= 5
                assert await items(client, "/api/events") == []
                disk.execute("ROLLBACK")
            statuses = [status for status, _ in await asyncio.gather(*done, *waiting_on)]
            assert 10 <= statuses.count(200) <= 13
            assert statuses.count(503) == 60 - statuses.count(200)
            assert (await post(client, body))[0] == 200


@pytest.mark.parametrize(
    "started_at",
    [
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999Z",
        "-1",
        "soon",
        2**63,
        -1,
        1e308,
        None,
        "2026-01-01T10:00:00.000Z",
    ],
)
async def test_the_clock_of_a_sender_does_not_rule_the_order(client: ClientSession, started_at: Any) -> None:
    """Sessions are in the order in which they came, whatever time they claim, which is kept as sent (FAULTS C28)."""
    body = lines(event("turn", session_id="odd")).replace(b'"v":1', b'"v":1,"started_at":%b' % orjson.dumps(started_at))
    assert (await post(client, body))[1]["accepted"] == 1
    await send(client, turn(session_id="even", started_at="2000-01-01T00:00:00.000Z"))
    assert [one["session_id"] for one in await items(client, "/api/sessions")] == ["even", "odd"]
    _, stored = await items(client, "/api/events")
    assert stored["started_at"] == started_at
    assert abs(time.time() - time.mktime(time.strptime(stored["received_at"][:19], "%Y-%m-%dT%H:%M:%S"))) < 14 * 3600


async def test_new_values_without_end_cost_no_memory(tmp_path: Path) -> None:
    """Names, models, sessions, users and senders that never repeat leave nothing in memory (FAULTS C29)."""
    store = SqliteStore(tmp_path / "lumina.db")
    await store.open()
    await _store_values(store, 0, 5000)
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await _store_values(store, 5000, VALUES)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000
    totals = await store.totals("p")
    assert len(totals.events) == 100
    assert len((await store.sessions("p", limit=10)).items) == 10
    await store.aclose()


async def _store_values(store: SqliteStore, start: int, stop: int) -> None:
    for first in range(start, stop, 1000):
        rows = [
            row(
                name=f"n{n}",
                session_id=f"s{n}",
                distinct_id=f"d{n}",
                client_id=f"c{n}",
                lost={f"r{n}": 1},
                body=f'{{"m":{n}}}',
            )
            for n in range(first, first + 1000)
        ]
        await store.add("p", rows, received_at=AT)
