"""The people who talk to the chat app, each with a connection of their own."""

import asyncio
import time
from collections.abc import Callable
from typing import Literal

import attrs
from aiohttp import ClientSession

PRIVATE = ("nora.lind@example.com", "farid@cafe.example", "4111 1111 1111 1111", "+44 20 7946 0958")
"""What the people say that must never reach the collector."""

_PAUSE_S = 0.15
_MAIL, _CAFE_MAIL, _CARD, _PHONE = PRIVATE


@attrs.frozen
class Say:
    """Something a person says, and how the turn is to end."""

    text: str
    stream: bool = False
    ends: Literal["ok", "error", "cancelled"] = "ok"
    leaves_after: int | None = None
    """Leave after that many pieces of the streamed answer."""


@attrs.frozen
class Person:
    """A person in a conversation; without a name it is a visitor."""

    user: str | None
    conversation: str
    says: tuple[Say, ...]
    comes_after_s: float = 0.0

    def replay_url(self, at_s: float) -> str:
        """Return where a session-replay product would show this person's screen at that second of the visit."""
        return f"https://posthog.example/project/1/replay/{self.conversation}?t={at_s:.0f}"


@attrs.frozen
class Said:
    """What came of something that was said."""

    person: Person
    say: Say
    turn_id: str


PEOPLE = (
    Person(
        "nora",
        "order-1042",
        (
            Say("Hello, where is my order 1042?"),
            Say(f"Can I still change the address? Write to {_MAIL} or call {_PHONE}.", stream=True),
            Say(f"And please send the receipt to {_MAIL}."),
            Say("Thank you!"),
        ),
    ),
    # These two talk at the same time, word by word.
    Person(
        "ben",
        "brewing",
        (
            Say("How coarse should I grind for a French press?", stream=True),
            Say("And how hot should the water be?", stream=True),
            Say("Thanks!", stream=True),
        ),
        0.2,
    ),
    Person(
        "chiara",
        "decaf",
        (
            Say("Which of your coffees are decaf?", stream=True),
            Say("Can I pause a subscription while I travel?", stream=True),
        ),
        0.2,
    ),
    Person(
        "farid",
        "billing",
        (
            Say(f"My card {_CARD} was charged twice."),
            Say("Can I have an invoice for it?", ends="error"),
            Say("Once more: the invoice, please. Was the card charged?", stream=True, ends="error"),
            Say("Fine, I will come back. Thank you."),
        ),
        0.3,
    ),
    Person(
        "mei",
        "kettle",
        (
            Say("Tell me about the kettle, please.", stream=True, ends="cancelled", leaves_after=3),
            Say("Sorry, I lost you. The kettle?", stream=True),
        ),
        0.4,
    ),
    Person(
        "farid",
        "cafe",
        (
            Say(f"Do you have wholesale prices for a small cafe? My mail is {_CAFE_MAIL}."),
            Say("Good, thank you."),
        ),
        0.5,
    ),
    Person(None, "visit-7", (Say("Do you ship to Norway?"), Say("Who am I talking to?", stream=True)), 0.6),
)


async def talk(person: Person, url: str, tell: Callable[[Said], None]) -> None:
    """Say everything a person has to say, one after the other, and tell what came of each."""
    await asyncio.sleep(person.comes_after_s)
    came = time.monotonic()
    async with ClientSession(url) as http:
        for say in person.says:
            replay = person.replay_url(time.monotonic() - came)
            tell(Said(person, say, await _say(http, person, say, replay)))
            await asyncio.sleep(_PAUSE_S)


async def _say(http: ClientSession, person: Person, say: Say, replay: str) -> str:
    body = {
        "user": person.user,
        "conversation": person.conversation,
        "text": say.text,
        "stream": say.stream,
        "replay": replay,
    }
    async with http.post("/chat", json=body) as answer:
        if say.leaves_after is None:
            await answer.read()
        else:
            for _ in range(say.leaves_after):
                await answer.content.readany()
            answer.close()
        return answer.headers.get("X-Turn-Id", "")
