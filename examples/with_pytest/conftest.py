"""Fixtures for apps that know their visitors by cookies: a browser of each, with the app as it runs in production."""

import sys
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import CookieJar
from aiohttp.test_utils import TestClient as AiohttpBrowser, TestServer as AiohttpServer
from fastapi.testclient import TestClient as FastapiBrowser

from lumina_async.testing import Recording

# The apps are the examples beside this folder.
sys.path.insert(0, str(Path(__file__).parent.parent))


@pytest.fixture
def fastapi_browser(lumina: Recording) -> Generator[FastapiBrowser, None, None]:
    """A browser of the FastAPI app, which runs with its lifespan."""
    from fastapi_identity import app

    with FastapiBrowser(app) as browser:
        yield browser


@pytest_asyncio.fixture
async def aiohttp_browser(lumina: Recording) -> AsyncGenerator[AiohttpBrowser[Any, Any], None]:
    """A browser of the aiohttp app, which runs on a free port."""
    from aiohttp_identity import create_app

    # On a bare address, from which a careful jar takes no cookies.
    jar = CookieJar(unsafe=True)
    async with AiohttpBrowser(AiohttpServer(create_app()), cookie_jar=jar) as browser:
        yield browser
