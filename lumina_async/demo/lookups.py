"""What the assistant looks up before it answers: orders, payments, and the passages of a help text."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import attrs

from lumina_async import RetrievalResult

SOURCE = "help.txt"
_TEXT = Path(__file__).with_name(SOURCE).read_text("utf-8")
_FOUND = 3
_LEAST_SCORE = 0.2
_EVERYWHERE = frozenset(
    re.findall(r"\w+", "a and are can do for i in is it my of on or our the to up we with you your")
)

_ORDERS = {
    1042: {"state": "on its way", "due": "Thursday, before noon"},
    1057: {"state": "packed", "due": "tomorrow"},
}


class PaymentsError(Exception):
    """The payment service did not answer."""


@attrs.frozen
class Passage:
    """A paragraph of the help text."""

    id: str
    text: str

    @property
    def words(self) -> frozenset[str]:
        """What it can be found by."""
        return _words(f"{self.id} {self.text}")


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z]+", text.lower())) - _EVERYWHERE


def _passages() -> Iterator[Passage]:
    for paragraph in _TEXT.strip().split("\n\n"):
        title, _, text = paragraph.partition(": ")
        yield Passage(title.lower().replace(" ", "-"), text)


PASSAGES = tuple(_passages())


async def find_order(number: int) -> dict[str, str] | None:
    """Return the state of an order, if there is such an order."""
    await asyncio.sleep(0.04)
    return _ORDERS.get(number)


async def find_payments() -> list[str]:
    """Return the payments of the last days.

    Raises:
        PaymentsError: Always: the service is down today.
    """
    await asyncio.sleep(0.06)
    raise PaymentsError("no answer within 60 ms")


def search(question: str) -> list[RetrievalResult]:
    """Return the passages that share most words with a question, the best first."""
    asked = _words(question)
    scores = {passage: len(asked & passage.words) / len(asked) for passage in PASSAGES} if asked else {}
    best = sorted(scores.items(), key=lambda scored: -scored[1])[:_FOUND]
    return [RetrievalResult(one.id, round(score, 2), one.text) for one, score in best if score >= _LEAST_SCORE]
