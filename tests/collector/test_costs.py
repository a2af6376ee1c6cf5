"""What a turn costs: known or not, found once, and added up."""

from collections.abc import Iterator
from importlib import metadata
from typing import Any

import pytest
from aiohttp import ClientSession
from genai_prices.data_snapshot import DataSnapshot, set_custom_snapshot

from lumina_async.collector import costs
from lumina_async.collector.costs import TurnCost, cost_of

from .kit import get, items, send, turn

TOKENS = {"input_tokens": 1_000_000, "output_tokens": 100_000}
AT = "2025-06-01T10:00:00.000Z"
LIST = f"genai-prices {metadata.version('genai-prices')}"


def call(**fields: Any) -> dict[str, Any]:
    return {
        "span_id": "b6e574ad548e7aeb",
        "status": "ok",
        "started_at": AT,
        "model": "gpt-4o",
        "usage": TOKENS,
        **fields,
    }


def usd(*calls: Any) -> list[object]:
    cost = cost_of({"llm": list(calls)})
    assert cost is not None
    return [one and one["usd"] for one in cost.calls]


def test_a_call_costs_what_its_tokens_cost() -> None:
    """By the model that answered, else the one that was asked; what came from a cache costs less."""
    assert usd(call(provider="openai"), call()) == [3.5, 3.5]
    assert usd(call(model="chat", response_model="gpt-4o-2024-08-06")) == [3.5]
    assert usd(call(usage={**TOKENS, "cached_input_tokens": 1_000_000, "reasoning_tokens": 5})) == [2.25]


def test_the_price_is_that_of_the_day_of_the_call() -> None:
    """Not the one of the day on which it arrives."""
    before, after = call(model="o3"), call(model="o3", started_at="2025-07-01T10:00:00.000Z")
    assert usd(before, after) == [14.0, 2.8]


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "my-own-model"},
        {"provider": "my-own-server"},
        {"model": None},
        {"model": ["gpt-4o"]},
        {"model": "gpt-4o" * 1_000},
        {"usage": None},
        {"usage": {}},
        {"usage": "many"},
        {"usage": {"total_tokens": 12}},
        {"usage": {"input_tokens": -1}},
        {"usage": {"input_tokens": True}},
        {"usage": {"input_tokens": 2**70}},
        {"usage": {"input_tokens": 1, "cached_input_tokens": 5}},
        {"usage": {**TOKENS, "audio_tokens": 3}},
        {"usage": {**TOKENS, "output_image_tokens": 3}},
        {"usage": {**TOKENS, "cache_creation_input_tokens": 3, "cache_creation_1h_input_tokens": 3}},
        {"model": "whisper-large-v3", "provider": "groq"},
        {"model": "tts-1"},
        {"model": "text-embedding-3-small", "provider": "openai"},
        {"model": "gemini-2.5-flash-image"},
        {"model": "sonar", "provider": "perplexity"},
        {"model": "deepseek-r1:7b"},
        {"model": "claude-3-5-sonnet-my-finetune"},
        {"response_model": "no-such-model"},
        {"response_model": "gpt-4o-my-own"},
        {"cost": -1},
        {"cost": 1e308},
        {"started_at": "2025-06-01"},
    ],
    ids=str,
)
def test_what_is_not_known_is_not_guessed(fields: dict[str, Any]) -> None:
    """No cost, and the call is counted as one without; only a time that is none is taken for now."""
    cost = cost_of({"llm": [call(**fields)]})
    if "started_at" in fields:
        assert cost is not None
        assert cost.unpriced == 0
    else:
        assert cost == TurnCost(nano_usd=None, unpriced=1, calls=(None,), list=LIST)


CACHED = {"output_tokens": 50_000, "cached_input_tokens": 500_000, "cache_creation_input_tokens": 1_000_000}
CACHES: dict[str, tuple[str, dict[str, int], float]] = {
    "for five minutes": ("claude-haiku-4-5", {}, 1.65),
    "for an hour, in part": ("claude-haiku-4-5", {"cache_creation_1h_input_tokens": 600_000}, 2.1),
    "of a long prompt": ("claude-sonnet-4-5", {}, 9.525),
}


@pytest.mark.parametrize(("model", "more", "dollars"), CACHES.values(), ids=CACHES)
def test_what_is_written_to_a_cache_has_a_price_of_its_own(model: str, more: dict[str, int], dollars: float) -> None:
    """By how long it stays there, and by the length of the prompt: beside 100,000 tokens that no cache holds."""
    usage = {"input_tokens": 1_600_000, **CACHED, **more}
    assert usd(call(model=model, provider="anthropic", started_at="2025-12-01T10:00:00.000Z", usage=usage)) == [dollars]


def test_pictures_have_a_price_of_their_own() -> None:
    """Where the usage says which of the output they were."""
    usage = {"input_tokens": 1_000_000, "output_tokens": 110_000, "output_image_tokens": 100_000}
    assert usd(call(model="gemini-2.5-flash-image", provider="google", usage=usage)) == [3.325]


NAMED: dict[str, list[str]] = {
    "openai": ["gpt-4o", "gpt-4o-2024-08-06", "gpt-4o-mini", "GPT-4o", "o3-mini-2025-01-31", "gpt-3.5-turbo-0125"],
    "anthropic": ["claude-sonnet-4-5-20250929", "claude-3-5-sonnet-latest", "claude-sonnet-4@20250514"],
    "google": ["gemini-2.5-flash", "gemini-2.5-flash-001", "gemini-2.0-flash-001", "gemini-2.5-pro"],
    "mistral": ["mistral-large-latest", "mistral-small-2506"],
    "deepseek": ["deepseek-chat", "deepseek-r1"],
    "x-ai": ["grok-4", "grok-4-0709"],
}


@pytest.mark.parametrize(("owner", "model"), [(owner, model) for owner, models in NAMED.items() for model in models])
def test_a_name_that_the_list_has_needs_no_provider(owner: str, model: str) -> None:
    """With a date, a version or `-latest`."""
    cost = cost_of({"llm": [call(model=model)]})
    assert cost is not None
    assert cost.calls[0] is not None
    assert cost.calls[0]["provider"] == owner


HOSTED = [
    ("aws", "bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
    ("aws", "amazon_bedrock", "anthropic.claude-3-haiku-20240307-v1:0"),
    ("google", "vertex_ai", "claude-sonnet-4-5@20250929"),
    ("google", "google-gla", "gemini-2.5-flash-lite"),
    ("azure", "azure", "gpt-4o-2024-11-20"),
    ("openrouter", "openrouter", "openai/gpt-4o"),
    ("openai", "litellm", "openai/gpt-4o"),
]


@pytest.mark.parametrize(("owner", "provider", "model"), HOSTED)
def test_a_provider_has_names_and_prices_of_its_own(owner: str, provider: str, model: str) -> None:
    """Also those of other makers' models; there the list decides what a name means."""
    cost = cost_of({"llm": [call(model=model, provider=provider)]})
    assert cost is not None
    assert cost.calls[0] is not None
    assert cost.calls[0]["provider"] == owner


def test_the_model_that_was_asked_counts_where_its_answer_names_a_version_of_it() -> None:
    """One that the list does not have yet; or where no answer names any."""
    assert usd(call(response_model="gpt-4o-2031-01-01"), call(response_model=None)) == [3.5, 3.5]


def test_what_the_sender_says_it_cost_wins() -> None:
    """Zero is a cost as well; each says who it is from, and of whose list."""
    cost = cost_of({"llm": [call(cost=0.25), call(cost=0), call(provider="openai"), call(usage=None, status="error")]})
    assert cost is not None
    sent, free, listed, failed = cost.calls
    assert (sent, free, failed) == ({"usd": 0.25, "by": "sender"}, {"usd": 0, "by": "sender"}, None)
    assert listed is not None
    assert str(listed["by"]).startswith("genai-prices ")
    assert (listed["provider"], listed["model"]) == ("openai", "gpt-4o")
    assert (cost.nano_usd, cost.unpriced) == (3_750_000_000, 0)
    assert usd(call(meta={"cost": 0.125})) == [0.125]


@pytest.mark.parametrize("llm", [None, [], "gpt-4o", {}])
def test_a_turn_without_calls_has_no_cost(llm: Any) -> None:
    """Nor has one whose calls are no list; a call that is no object is one without a price."""
    assert cost_of({"llm": llm}) is None
    assert cost_of({"llm": [7]}) == TurnCost(nano_usd=None, unpriced=1, calls=(None,), list=LIST)


def test_looking_up_many_models_takes_no_memory() -> None:
    """Senders choose the names; only a thousand are remembered."""
    for number in range(3_000):
        assert usd(call(model=f"model-{number}")) == [None]
    assert costs._found.cache_info().currsize <= 1_024


@pytest.fixture
async def stored(client: ClientSession) -> ClientSession:
    await send(
        client,
        turn(turn_id="00f067aa0ba902b1", llm=[call(), call(model="my-own-model")]),
        turn(turn_id="00f067aa0ba902b2", llm=[call(cost=0.5)]),
        turn(turn_id="00f067aa0ba902b3"),
    )
    return client


async def test_turns_and_sessions_show_their_cost(stored: ClientSession) -> None:
    """A turn its calls', a session the sum; the export has events as they were sent."""
    _, first = await get(stored, "/api/turns/00f067aa0ba902b1")
    _, last = await get(stored, "/api/turns/00f067aa0ba902b3")
    assert (first["cost"]["usd"], first["cost"]["unpriced"], first["cost"]["calls"][1]) == (3.5, 1, None)
    assert "cost" not in last
    [session] = await items(stored, "/api/sessions")
    assert (session["cost_usd"], session["unpriced"]) == (4.0, 1)
    turns = await items(stored, "/api/sessions/chat_1")
    assert [one.get("cost", {}).get("usd") for one in turns] == [3.5, 0.5, None]
    async with stored.get("/api/export") as answer:
        assert "unpriced" not in await answer.text()


@pytest.fixture
def another_list() -> Iterator[None]:
    """One that knows nothing, as after an upgrade and a restart."""

    def forget() -> None:
        costs._providers.cache_clear()
        costs._found.cache_clear()

    set_custom_snapshot(DataSnapshot(providers=[], from_auto_update=False))
    forget()
    yield
    set_custom_snapshot(None)
    forget()


async def test_another_list_changes_nothing_that_is_stored(
    client: ClientSession, request: pytest.FixtureRequest
) -> None:
    """Costs are found as a turn arrives; the same event once more is a duplicate and no news."""
    again = turn(turn_id="00f067aa0ba902b4", llm=[call()])
    await send(client, again)
    request.getfixturevalue("another_list")
    assert usd(call()) == [None]
    answer = await send(client, again)
    assert (answer["accepted"], answer["duplicates"]) == (0, 1)
    _, shown = await get(client, "/api/turns/00f067aa0ba902b4")
    assert shown["cost"]["usd"] == 3.5
