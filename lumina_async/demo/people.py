"""The people who talk to the chat app, and what is to be stored of it."""

from typing import Literal

import attrs

PRIVATE = ("nora.lind@example.com", "farid@cafe.example", "4111 1111 1111 1111", "+44 20 7946 0958", "ines@example.org")
"""What the people say that must never reach the collector."""

_MAIL, _CAFE_MAIL, _CARD, _PHONE, _INES_MAIL = PRIVATE


@attrs.frozen
class Thought:
    """What a person thinks of an answer."""

    label: Literal["thumbs_up", "thumbs_down"]
    comment: str | None = None

    @property
    def score(self) -> int:
        """The same as a number."""
        return 1 if self.label == "thumbs_up" else -1


@attrs.frozen
class Say:
    """Something a person says, and how the turn is to end."""

    text: str
    stream: bool = False
    ends: Literal["ok", "error", "cancelled"] = "ok"
    leaves_after: int | None = None
    """Leave after that many pieces of the streamed answer."""
    tool: str | None = None
    """The tool that has to be used for it."""
    finds: str | None = None
    """The passage of the help text that has to be found first."""
    thinks: Thought | None = None


@attrs.frozen
class LogIn:
    """Where a visitor says who they are, and goes on in another conversation."""

    user: str
    conversation: str
    plan: str


@attrs.frozen
class Person:
    """A person with a browser of their own; without a name it is a visitor."""

    user: str | None
    conversation: str
    does: tuple[Say | LogIn, ...]
    comes_after_s: float = 0.0


@attrs.frozen
class Said:
    """What came of something that was said."""

    who: str | None
    """The user it was, or that the visitor turned out to be later."""
    was_visitor: bool
    conversation: str
    say: Say
    turn_id: str


PEOPLE = (
    Person(
        "nora",
        "order-1042",
        (
            Say("Hello, where is my order 1042?", tool="find_order"),
            Say(f"Can I still change the address? Write to {_MAIL} or call {_PHONE}.", stream=True),
            Say(f"And please send the receipt to {_MAIL}."),
            Say("Thank you!", thinks=Thought("thumbs_up")),
        ),
    ),
    # These two talk at the same time, word by word.
    Person(
        "ben",
        "brewing",
        (
            Say("How coarse should I grind for a French press?", stream=True, finds="brewing-with-a-french-press"),
            Say("And how hot should the water be?", stream=True),
            Say("Thanks!", stream=True),
        ),
        0.2,
    ),
    Person(
        "chiara",
        "decaf",
        (
            Say("Which of your coffees are decaf?", stream=True, finds="decaf"),
            Say("Can I pause a subscription while I travel?", stream=True, finds="pausing-a-subscription"),
        ),
        0.2,
    ),
    Person(
        "farid",
        "billing",
        (
            Say(f"My card {_CARD} was charged twice.", tool="find_payments"),
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
    # A visitor first: what was asked before the login belongs to the user as well.
    Person(
        None,
        "visit-7",
        (
            Say("Do you ship to Norway?", finds="shipping"),
            LogIn("ines", "returns", plan="monthly"),
            Say("It is me, Ines. Where is my order 1057?", tool="find_order"),
            Say(
                "Can I return an opened bag of beans?",
                stream=True,
                finds="returning-a-grinder",
                thinks=Thought("thumbs_down", f"That is about grinders, I asked about beans. Write to {_INES_MAIL}."),
            ),
        ),
        0.1,
    ),
    Person(None, "visit-8", (Say("Who am I talking to?", stream=True),), 0.6),
)
