"""How an app that records is tested: with the fixtures that come with the package.

    pip install pytest pytest-asyncio 'lumina-async[collector]'
    pytest examples/with_pytest

`lumina` lets the process-wide `Lumina` record into memory; nothing is mocked, only the last step to the network is
another one. `lumina_collector` is a real collector, for tests of the whole way.
"""

# ruff: noqa: S101

import asyncio
import json
import urllib.request
from typing import Any

import pytest
from support_bot import answer

from lumina_async import Lumina
from lumina_async.collector import Collector
from lumina_async.testing import Recording

pytestmark = pytest.mark.asyncio


async def test_an_answer_is_recorded(lumina: Recording) -> None:
    """One turn, with the user, the chat, the tool, the model and what was said."""
    assert await answer("ada", "chat_1", "Hello") == "You said: Hello"
    [turn] = (await lumina.settled()).turns
    assert (turn.status, turn.distinct_id, turn.session_id) == ("ok", "ada", "chat_1")
    assert (turn.llm[0].prompt_id, turn.tools[0].name) == ("support_v1", "look_up_customer")
    assert turn.annotations == {"plan": "pro"}
    assert [message["content"] for message in turn.messages] == ["Hello", "You said: Hello"]


async def test_a_model_that_fails_is_apologised_for(lumina: Recording) -> None:
    """The call is an error, the turn is not: the person got an answer."""
    assert (await answer("ben", "chat_2", "")).startswith("Sorry")
    [turn] = (await lumina.settled()).turns
    assert (turn.status, turn.llm[0].status) == ("ok", "error")
    assert turn.annotations == {"plan": "free", "fallback_used": True}


async def test_personal_data_is_masked(lumina: Recording) -> None:
    """What the tests see is what would be on the wire."""
    await answer("ada", "chat_1", "I am ada@example.com")
    [turn] = (await lumina.settled()).turns
    assert turn.messages[0]["content"] == "I am [EMAIL]"


async def test_the_whole_way(lumina_collector: Collector) -> None:
    """Over HTTP into a database, and read back."""
    await Lumina.init(endpoint=lumina_collector.url, write_key="gi_test")
    await answer("ada", "chat_1", "Hello")
    assert await Lumina.flush()
    await Lumina.shutdown()
    [stored] = await asyncio.to_thread(read, f"{lumina_collector.url}/api/events?name=turn")
    assert stored["messages"][1]["content"] == "You said: Hello"


def read(url: str) -> list[Any]:
    """Return the items of a list that the collector serves."""
    with urllib.request.urlopen(url) as answer:  # noqa: S310  (our own collector, on loopback)
        return list(json.loads(answer.read())["items"])
