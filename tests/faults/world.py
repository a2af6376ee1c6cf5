"""A client, a server and a random life for both, decided by a seed: what happens when, and what each still knows."""

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import attrs
import orjson

from faults.virtual import VirtualTime
from lumina_async import LuminaClient, Stats, testing
from lumina_async._outcome import Answer
from lumina_async._transport import Payload
from lumina_async.testing.memory import events_of

Events = list[dict[str, Any]]

MOODS = (
    "fine",
    "fine",
    "500",
    "503",
    "429",
    "busy",
    "hang",
    "refused",
    "reset",
    "cut",
    "portal",
    "key",
    "gone",
    "small",
)
"""How a server may be for a while; `cut` stores and then breaks the connection."""


@attrs.define(eq=False)
class MoodyServer:
    """A transport and the server behind it: each mood lasts a few requests or seconds.

    Attributes:
        held: The events it stores, by id.
        told: The ids of which its answer said that they are stored.
    """

    dice: random.Random
    time: VirtualTime
    is_well: bool = False
    held: dict[str, dict[str, Any]] = attrs.Factory(dict[str, dict[str, Any]])
    told: set[str] = attrs.Factory(set[str])
    most_at_once: int = 0
    _at_once: int = 0
    _mood: str = "fine"
    _until: float = 0.0
    _knows_gzip: bool = True

    def __attrs_post_init__(self) -> None:
        self._knows_gzip = self.dice.random() < 0.8

    async def open(self) -> None:
        """Nothing to do."""

    async def aclose(self) -> None:
        """Nothing to do."""

    async def post(self, payload: Payload, sent_at: str) -> Answer:
        """Take a payload, in the mood of this moment."""
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            return await self._answer(payload)
        finally:
            self._at_once -= 1

    async def _answer(self, payload: Payload) -> Answer:
        await asyncio.sleep(self.dice.uniform(0, 0.2))
        if payload.encoding is not None and not self._knows_gzip:
            return Answer(status=415)
        if self.time.now >= self._until:
            self._mood, self._until = self.dice.choice(MOODS), self.time.now + self.dice.expovariate(1 / 8)
        mood = "fine" if self.is_well else self._mood
        events = events_of(payload)
        assert payload.count == len(events)
        if mood in {"fine", "cut"}:
            answer = self._judge(events)
            return Answer(failure="ServerDisconnectedError") if mood == "cut" else answer
        if mood == "small" and len(payload.body) > 1_500:
            return Answer(status=413)
        if mood == "hang":
            await asyncio.sleep(10)
            return Answer(failure="TimeoutError")
        return {
            "500": Answer(status=500),
            "503": Answer(status=503, retry_after=str(self.dice.randrange(20))),
            "429": Answer(status=429, retry_after="2"),
            "busy": Answer(status=429),
            "refused": Answer(failure="ClientConnectorError"),
            "reset": Answer(failure="ClientOSError"),
            "portal": Answer(status=200, content_type="text/html"),
            "key": Answer(status=401),
            "gone": Answer(status=404),
        }.get(mood) or self._judge(events)

    def _judge(self, events: Events) -> Answer:
        kinds = [event.get("annotations", {}).get("kind") for event in events]
        if "crashes" in kinds:
            return Answer(status=500)
        if "malformed" in kinds:
            return Answer(status=400)
        rejected = [number for number, kind in enumerate(kinds, 1) if kind == "rejected"]
        for number, event in enumerate(events, 1):
            if number not in rejected:
                self._store(event)
        body = orjson.dumps({"accepted": 0, "rejected": [{"line": number, "code": "bad_id"} for number in rejected]})
        if self._mood != "cut" or self.is_well:
            self.told.update(e["event_id"] for n, e in enumerate(events, 1) if n not in rejected)
        return Answer(status=200, content_type="application/json", body=body)

    def _store(self, event: dict[str, Any]) -> None:
        if event["name"] != "sdk_report":
            self.held.setdefault(event["event_id"], event)


@attrs.define(eq=False)
class World:
    """One random life. `live` returns what the client's ledger says at its end."""

    seed: int
    dice: random.Random = attrs.field(init=False)
    time: VirtualTime = attrs.Factory(VirtualTime)
    server: MoodyServer = attrs.field(init=False)
    client: LuminaClient = attrs.field(init=False)
    made: dict[str, int] = attrs.Factory(dict[str, int])
    is_drained: bool = False
    most_in_flight: int = 0

    def __attrs_post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        random.seed(self.seed)
        self.server = MoodyServer(self.dice, self.time)
        self.most_in_flight = self.dice.choice((1, 2, 8))
        config = testing.memory_config(
            flush_interval_ms=self.dice.choice((1, 100, 5_000)),
            # Below what is compressed in a thread: this time does not wait for threads.
            max_batch_bytes=self.dice.choice((1_000, 4_000, 15_000)),
            max_in_flight=self.most_in_flight,
            compression=self.dice.choice(("gzip", "none")),
            retry_delays_ms=self.dice.choice(((300, 600, 900), (), (0, 0, 0))),
            max_queue_bytes=self.dice.choice((10_000, 1 << 26, 1 << 26, 1 << 26)),
        )
        self.client = LuminaClient(config, transport=lambda _: self.server, clock=self.time.clock())

    def live(self) -> Stats:
        """Live through several loops, the last of which ends in a shutdown."""
        for _ in range(self.dice.randrange(3)):
            self.time.run(self._days)
        return self.time.run(self._last_days)

    async def _last_days(self) -> Stats:
        await self._days()
        self.is_drained = self.dice.random() < 0.7
        if self.is_drained:
            self.server.is_well = True
            async with asyncio.timeout(4 * 3_600):
                # What is refused alone is only lost once something else was stored, so life has to go on.
                while await self._waits():
                    async with (await self.client.session.start()).turn():
                        pass
                    await asyncio.sleep(60)
                    await self.client.flush(600)
        await self.client.shutdown(self.dice.choice((0.0, 0.5, 5.0)))
        await asyncio.sleep(1)
        return await self.client.stats()

    async def _waits(self) -> bool:
        """Tell whether anything waits but what the server always fails on."""
        stats = await self.client.stats()
        return stats.queued + stats.in_flight > self.made.get("crashes", 0)

    async def _days(self) -> None:
        background: list[asyncio.Task[bool]] = []
        for _ in range(self.dice.randrange(1, 12)):
            match self.dice.randrange(6):
                case 0 | 1:
                    await self._turns(self.dice.randrange(1, 25))
                case 2:
                    await asyncio.sleep(self.dice.choice((0, 0.1, 3, 30, 100)))
                case 3:
                    await self.client.flush(self.dice.choice((0, 0.5, 10)))
                case 4:
                    background.append(asyncio.create_task(self.client.flush(30)))
                case _:
                    _cancel(self.dice.sample(_others(), k=min(1, len(_others()))))
            self.check(await self.client.stats())
        _cancel(background)

    async def _turns(self, count: int) -> None:
        session = await self.client.session.start()
        for _ in range(count):
            async with session.turn() as t:
                kind = self.dice.choices(("fine", "rejected", "malformed", "crashes"), (96, 2, 1, 1))[0]
                self.made[kind] = self.made.get(kind, 0) + 1
                await t.annotate(kind=kind, text="x" * self.dice.choice((0, 50, 900)))
            if self.dice.random() < 0.1:
                await asyncio.sleep(self.dice.uniform(0, 1))

    def check(self, stats: Stats) -> None:
        """Whatever is going on: every event is in exactly one place, and no more requests run than may."""
        places = stats.stored + stats.queued + stats.in_flight + stats.spooled + stats.lost_total
        assert stats.captured + stats.adopted == places, stats
        assert min(stats.stored, stats.queued, stats.in_flight) >= 0, stats

    def check_end(self, stats: Stats) -> None:
        """At the end: nothing is on its way; what is called stored is held; what is held and not called so is lost."""
        self.check(stats)
        assert not stats.queued, stats
        assert not stats.in_flight, stats
        assert self.server.most_at_once <= self.most_in_flight
        known = self.server.told & set(self.server.held)
        held = len(self.server.held)
        assert stats.stored <= len(known) <= held <= stats.stored + stats.lost_total, (stats, len(known), held)
        if self.is_drained and "queue_overflow" not in stats.lost:
            # What is bad may have been lost as too large before the server saw what is wrong with it.
            bad = sum(count for kind, count in self.made.items() if kind != "fine")
            assert bad <= stats.lost_total <= bad + stats.lost.get("too_large", 0), (stats, self.made)
            assert stats.lost.get("shutdown_timeout", 0) <= self.made.get("crashes", 0), stats
            assert stats.stored == held, stats


def _others() -> list["asyncio.Task[Any]"]:
    return sorted(asyncio.all_tasks() - {asyncio.current_task()}, key=lambda task: task.get_name())


def _cancel(tasks: Sequence["asyncio.Task[Any]"]) -> None:
    for task in tasks:
        with suppress(RuntimeError):
            task.cancel()
