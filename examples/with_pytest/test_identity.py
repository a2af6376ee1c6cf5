"""How an app that knows its visitors by cookies is tested: with a browser as a fixture, on FastAPI and on aiohttp.

    pip install pytest pytest-asyncio httpx2 'lumina-async[fastapi]'
    pytest examples/with_pytest

The fixtures are in conftest.py.
"""

# ruff: noqa: S101

from typing import Any

import pytest
from aiohttp.test_utils import TestClient as AiohttpBrowser
from fastapi.testclient import TestClient as FastapiBrowser

from lumina_async.testing import Recording

VISIT = ("/chat", "/login", "/chat", "/logout", "/chat")


@pytest.fixture
def lumina_config() -> None:
    """Let the apps await `Lumina.init` themselves: it then records into memory all the same."""


def check(lumina: Recording, who: list[str]) -> None:
    """The visitor's turn is Ada's by her login; after the logout it is another visitor, in another session."""
    visitor, ada, stranger = lumina.turns
    assert [visitor.distinct_id, ada.distinct_id, stranger.distinct_id] == [who[0], "ada", who[4]]
    assert visitor.session_id == ada.session_id != stranger.session_id
    [login] = lumina.identified
    assert (login.distinct_id, login.previous_id) == ("ada", visitor.distinct_id)


def test_fastapi(fastapi_browser: FastapiBrowser, lumina: Recording) -> None:
    """Come, log in, log out."""
    who = [fastapi_browser.post(path, json={"text": "Hello", "user": "ada"}).json()["who"] for path in VISIT]
    assert fastapi_browser.portal is not None
    # The app runs on a loop of its own, and so does what it records.
    check(fastapi_browser.portal.call(lumina.settled), who)


@pytest.mark.asyncio
async def test_aiohttp(aiohttp_browser: AiohttpBrowser[Any, Any], lumina: Recording) -> None:
    """Come, log in, log out."""
    who = []
    for path in VISIT:
        async with aiohttp_browser.post(path, json={"text": "Hello", "user": "ada"}) as answer:
            who.append((await answer.json())["who"])
    check(await lumina.settled(), who)
