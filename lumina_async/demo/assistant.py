"""A stand-in for a model provider: it answers from a script, takes its time, and now and then fails."""

import asyncio
from collections.abc import AsyncGenerator

LARGE = "quill-large"
SMALL = "quill-small"

_CALL_S = {LARGE: 0.3, SMALL: 0.15}
_LETTER_S = 0.002
_WORD_S = 0.03

# The first row with a word of the question answers it.
_SCRIPT = (
    ("address", "I have noted the new address. The parcel has not been sorted yet, so it will go there."),
    ("receipt", "The receipt is on its way to the address that you gave."),
    ("card", "The payment was taken twice, you are right. The second charge is cancelled and back in two days."),
    ("grind", "For a French press grind coarse, like sea salt: fine grounds pass the sieve and make the cup bitter."),
    ("water", "Just off the boil, about 94 degrees. Count sixty grams of coffee for each litre of water."),
    ("decaf", "Yes: Oaxaca and Huila are both decaf, washed with spring water and without any solvent."),
    ("subscription", "You can pause it for up to three months, or skip a single parcel; nothing is charged then."),
    ("kettle", "It is a gooseneck of 0.8 litres, holds the temperature for an hour and is quiet enough for dawn."),
    ("wholesale", "From five kilograms a week we deliver at wholesale prices, roasted the day before."),
    ("thank", "You are welcome. Enjoy the coffee!"),
)
_UNKNOWN = "I am only a script and know little beyond coffee. Ask me about your order, the grind or the kettle."


class ProviderError(Exception):
    """The provider could not answer."""


class OverloadedError(ProviderError):
    """This model is overloaded; another may answer."""


async def complete(model: str, text: str, facts: str | None = None) -> str:
    """Answer in one piece.

    Args:
        model: One of the two.
        text: The question.
        facts: What was looked up for it.

    Raises:
        OverloadedError: The large model was asked about wholesale.
        ProviderError: The question has the word invoice in it.
    """
    await asyncio.sleep(_CALL_S[model] + _LETTER_S * len(text))
    if "wholesale" in text and model == LARGE:
        raise OverloadedError(f"429: {model} is overloaded")
    if "invoice" in text:
        raise ProviderError("503: upstream connect error")
    return _answer(text, facts)


async def stream(model: str, text: str, facts: str | None = None) -> AsyncGenerator[str, None]:
    """Answer word by word; see `complete`.

    Raises:
        ProviderError: The question has the word invoice in it; this comes after a few words.
    """
    await asyncio.sleep(_CALL_S[model] / 3 + _LETTER_S * len(text))
    for number, word in enumerate(_answer(text, facts).split(" ")):
        if number == 6 and "invoice" in text:
            raise ProviderError("502: the stream was cut by the upstream")
        yield f"{word} "
        await asyncio.sleep(_WORD_S)


def _answer(text: str, facts: str | None) -> str:
    # Like a real one it believes what it was given, fitting or not, where it knows nothing better.
    return next((answer for word, answer in _SCRIPT if word in text.lower()), facts or _UNKNOWN)
