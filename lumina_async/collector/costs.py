"""What the calls of models in a turn cost, in US dollars, as far as it is known: nothing is estimated.

A call that says its `cost` itself costs that. Any other is looked up by its model and its usage in the list of prices
that `genai-prices` brings (the extra `prices`), at the price that was in force when the call was made. A model, a
provider or a kind of token that the list does not price has no cost.

The model is the one that answered; the one that was asked only where the answer names none, or names a version of it.
Without a provider the name must be one that the list has, with a date or a version at most: lists match by the
beginning of a name, and `deepseek-r1:7b` on a machine of one's own begins like another company's product.

Costs are found once, when a turn arrives, and are stored beside it: another list changes nothing that is stored.
"""

import math
import re
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache, lru_cache
from importlib import import_module, metadata, util
from typing import Any, cast

import attrs

NANO = 1_000_000_000
"""Costs are added up in whole billionths of a dollar, so that a sum does not depend on its order."""
_MAX_USD = 10_000.0
"""Of one call; beyond it is a mistake of the sender, and no sum may overflow."""
_MAX_CALLS = 1_000
_MAX_TOKENS = 10**9
_NAME_CHARACTERS = 200

_TOKENS = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cached_input_tokens": "cache_read_tokens",
    "cache_creation_input_tokens": "cache_write_tokens",
    "cache_creation_1h_input_tokens": "cache_write_1h_tokens",
    "output_image_tokens": "output_image_tokens",
}
"""The parts of a usage that have a price, and how the list calls them. Reasoning is part of the output."""

_NEEDED = {
    "input_tokens": "input_mtok",
    "output_tokens": "output_mtok",
    "cache_write_1h_tokens": "cache_write_1h_mtok",
    "output_image_tokens": "output_image_mtok",
}
"""The prices that a model must have for such tokens: the list would take none, or that of other tokens, for one."""

_VERSION = re.compile(r"(-20\d{6}|-20\d\d-\d\d-\d\d|-latest|-0\d\d|@[\w.-]+)$")
"""What may follow the name of a model: a date, a number of Google's, or whatever Vertex has behind an @."""

_LOADING = threading.Lock()

Fields = Mapping[str, Any]
CallCost = Mapping[str, object]
"""`{"usd", "by"}`, where `by` is `sender`, or the list and its version; then also the list's `provider` and `model`."""


@attrs.frozen(kw_only=True)
class TurnCost:
    """What the calls of models in one turn cost."""

    nano_usd: int | None
    """The sum of what is known; None when nothing is."""
    unpriced: int
    """How many calls have no known cost, but for those that failed."""
    calls: tuple[CallCost | None, ...]
    """Of each call, in the order of `llm`."""
    list: str | None = None
    """The list of prices that was asked; None where there is none."""

    @property
    def fields(self) -> dict[str, object]:
        """What is stored and shown."""
        asked = {} if self.list is None else {"list": self.list}
        return {"usd": usd_of(self.nano_usd), "unpriced": self.unpriced, "calls": self.calls, **asked}


def usd_of(nano_usd: int | None) -> float | None:
    """Return a sum in dollars."""
    return None if nano_usd is None else nano_usd / NANO


def is_ready() -> bool:
    """Tell whether costs are found at once: before that, reading the list takes a third of a second."""
    return _providers.cache_info().currsize > 0


def load() -> None:
    """Read the list, where there is one; several threads that ask at once wait for one of them to read it."""
    with _LOADING:
        _providers()


def cost_of(turn: Fields) -> TurnCost | None:
    """Return what the calls in a turn cost, given its event; None when it has none."""
    given = turn.get("llm")
    if not isinstance(given, list) or not given:
        return None
    calls = [_fields(call) for call in cast("list[object]", given)]
    costs = tuple(_cost(call) for call in calls[:_MAX_CALLS])
    known = [round(cast("float", cost["usd"]) * NANO) for cost in costs if cost is not None]
    unknown = [call for call, cost in zip(calls, costs, strict=False) if cost is None and call.get("status") != "error"]
    unpriced = len(unknown) + max(0, len(calls) - _MAX_CALLS)
    asked = None if _providers() is None else _list_name()
    return TurnCost(nano_usd=sum(known) if known else None, unpriced=unpriced, calls=costs, list=asked)


def _cost(call: Fields) -> CallCost | None:
    sent, usage = call.get("cost", _fields(call.get("meta")).get("cost")), call.get("usage")
    # 1. What the sender says stands, also as metadata: `wrap_llm(..., cost=0.01)`.
    if isinstance(sent, int | float) and not isinstance(sent, bool):
        is_sum = math.isfinite(sent) and 0 <= sent <= _MAX_USD
        return {"usd": sent, "by": "sender"} if is_sum else None
    # 2. Else what its tokens cost, if it is said which they are and the list knows all of them.
    tokens = _tokens(_fields(usage))
    provider, at = _name(call.get("provider")), _moment(call.get("started_at"))
    if tokens is None:
        return None
    return next((cost for name in _models(call) if (cost := _priced(name, provider, tokens, at)) is not None), None)


def _models(call: Fields) -> Iterator[str]:
    asked, answered = _name(call.get("model")), _name(call.get("response_model"))
    if answered is not None:
        yield answered
    # A gateway may answer with a model of another family, and price, than was asked.
    if asked is not None and (answered is None or _VERSION.sub("", answered) == asked):
        yield asked


def _tokens(usage: Fields) -> dict[str, int] | None:
    # Sound has another price than text, and it is not said how much of it came and how much went.
    if usage.get("audio_tokens"):
        return None
    found = {name: usage[part] for part, name in _TOKENS.items() if usage.get(part) is not None}
    is_known = "input_tokens" in found or "output_tokens" in found
    is_sound = all(type(tokens) is int and 0 <= tokens <= _MAX_TOKENS for tokens in found.values())
    return found if is_known and is_sound else None


def _priced(model: str, provider: str | None, tokens: dict[str, int], at: datetime | None) -> CallCost | None:
    if (found := _found(model, provider)) is None:
        return None
    owner, entry = found
    prices: Any = import_module("genai_prices")
    at = at or datetime.now(tz=UTC)
    if not _prices_all(entry.get_prices(at), tokens):
        return None
    try:
        price = entry.calc_price(prices.Usage(**tokens), owner, genai_request_timestamp=at)
    # Another package's: more tokens from the cache than there were, or whatever else it finds wrong.
    except Exception:  # noqa: BLE001
        return None
    usd = float(price.total_price)
    return {"usd": usd, "by": _list_name(), "provider": owner.id, "model": entry.id} if usd <= _MAX_USD else None


def _prices_all(prices: Any, tokens: dict[str, int]) -> bool:
    """Tell whether a model has a price for each kind of token that was used, and none for what is not told."""
    if any(tokens.get(name) and getattr(prices, price, None) is None for name, price in _NEEDED.items()):
        return False
    # 1. A request that costs something itself costs more or less by what it searched.
    # 2. What a model of pictures made is mostly pictures.
    makes_images = tokens.get("output_tokens") and getattr(prices, "output_image_mtok", None) is not None
    is_silent = makes_images and "output_image_tokens" not in tokens
    return getattr(prices, "requests_kcount", None) is None and not is_silent


@lru_cache(maxsize=1024)
def _found(model: str, provider: str | None) -> tuple[Any, Any] | None:
    """Return the provider and the model of the list; without a provider, the one that the model's name belongs to."""
    if (providers := _providers()) is None:
        return None
    snapshots: Any = import_module("genai_prices.data_snapshot")
    # A snapshot remembers all that it was ever asked for, so this question has one of its own.
    snapshot = snapshots.DataSnapshot(providers, from_auto_update=False)
    # Google has each model also under the number of its version, which the list may leave out.
    for name in (model, re.sub(r"^(gemini-.+)-0\d\d$", r"\1", model)):
        try:
            found = cast("tuple[Any, Any]", snapshot.find_provider_model(name, None, provider, None))
        except LookupError:
            continue
        return found if provider is not None or _is_named(name, found[1]) else None
    return None


def _is_named(model: str, entry: Any) -> bool:
    """Tell whether the list has this very name, but for a version, and not only one that it begins with."""
    names = {str(entry.id).lower(), *_words(entry.match)}
    return not names.isdisjoint({model.lower(), _VERSION.sub("", model.lower())})


def _words(clause: Any) -> Iterator[str]:
    """Return the words that the list compares a name with."""
    for part in (*getattr(clause, "or_", ()), *getattr(clause, "and_", ())):
        yield from _words(part)
    for kind in ("equals", "starts_with", "ends_with", "contains"):
        if word := getattr(clause, kind, None):
            yield str(word).lower()


@cache
def _providers() -> Any:
    if util.find_spec("genai_prices") is None:
        return None
    return import_module("genai_prices.data_snapshot").get_snapshot().providers


@cache
def _list_name() -> str:
    return f"genai-prices {metadata.version('genai-prices')}"


def _fields(value: object) -> Fields:
    return cast("Fields", value) if isinstance(value, dict) else {}


def _name(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= _NAME_CHARACTERS else None


def _moment(value: object) -> datetime | None:
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return at if at is not None and at.tzinfo is not None else None
