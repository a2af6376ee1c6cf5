"""A hundred thousand values nobody planned for: no exception reaches the app, and no turn is lost for one bad field."""

import datetime as dt
import decimal
import math
import random
import string
import uuid
from collections.abc import Callable
from typing import Any

from support import recording

COUNT = 102_000


class Hostile:
    """Raises wherever it is touched."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __repr__(self) -> str:
        raise RuntimeError("repr")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("eq")

    def __hash__(self) -> int:
        return 1


class LyingDict(dict[str, Any]):
    def __len__(self) -> int:
        return 10**9

    def items(self) -> Any:
        raise RuntimeError("items")


class LyingText(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise RuntimeError("str")


def text(rng: random.Random) -> str:
    alphabet = [string.printable, "äöü€日本", "\ud800\udfff\x00\u2028\ufeff", "😀\u200b\u202e"]
    return "".join(rng.choice(rng.choice(alphabet)) for _ in range(rng.randrange(12)))


LEAVES: list[Callable[[random.Random], Any]] = [
    text,
    lambda rng: LyingText(text(rng)),
    lambda rng: rng.choice([math.nan, math.inf, -math.inf, -0.0, 1e308]),
    lambda rng: rng.choice([1, -1]) * rng.getrandbits(rng.choice([1, 31, 64, 65, 200, 20_000])),
    lambda rng: rng.randbytes(rng.randrange(9)),
    lambda rng: decimal.Decimal(rng.choice(["NaN", "1E+999", "-0", "1.10"])),
    lambda rng: dt.timedelta(rng.randrange(-999_999, 999_999)),
    lambda rng: dt.datetime(rng.randrange(1, 9_999), 1, 1, tzinfo=rng.choice([None, dt.UTC])),
    lambda rng: uuid.UUID(int=rng.getrandbits(128)),
    lambda rng: rng.choice([None, True, False, ..., NotImplemented, object(), Hostile, print, 1j, range(3)]),
    lambda rng: Hostile(),
    lambda rng: LyingDict(a=1),
    lambda rng: rng.choice([ValueError("\ud800"), KeyError(), BaseException(Hostile())]),
    lambda rng: (number for number in range(3)),
    lambda rng: memoryview(b"abc"),
]


def value(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.randrange(10 + depth * 3)
    if kind == 0:
        return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    if kind == 1:
        return {rng.choice(LEAVES[:2])(rng): value(rng, depth + 1) for _ in range(rng.randrange(4))}
    if kind == 2:
        return {key: value(rng, depth + 1) for key in (None, 1, 1.5, b"k", (1,), "1")}
    if kind == 3:
        return (value(rng, depth + 1), {1, "a"})
    if kind == 4:
        cycle: list[Any] = [value(rng, depth + 1)]
        cycle.append(cycle)
        return cycle
    return rng.choice(LEAVES)(rng)


async def test_no_value_costs_a_turn_or_raises_into_the_app() -> None:
    """Each value goes into another method, under every capture mode; every turn is stored (FAULTS G10, V1-V6)."""
    rng = random.Random(20_261_121)
    for mode in ("full", "masked", "none"):
        async with recording(capture_transcript=mode, max_batch_bytes=1_000_000) as (client, transport):
            session = await client.session.start()
            for _ in range(COUNT // 12 // 3):
                async with session.turn() as t:
                    await t.annotate(a=value(rng), b=value(rng), c=value(rng))
                    await t.set_messages([{"role": value(rng), "content": value(rng)}, value(rng)])
                    await t.wrap_llm(lambda: 1, {"model": value(rng), "k": value(rng)})
                    await t.record_tool("x", lambda: 1, type=value(rng), input=value(rng), output=lambda _: value(rng))
                    await t.add_retrieval(source=value(rng), query=value(rng), results=[value(rng)])
            assert await client.flush(60)
            assert (await client.stats()).lost_total == 0
        assert len(transport.turns) == COUNT // 12 // 3
