from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession

from lumina_async.collector import Collector

from .served import Served, served


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with Collector(db=":memory:", port=0) as running:
        yield running


@pytest.fixture
async def client(collector: Collector) -> AsyncIterator[ClientSession]:
    async with ClientSession(collector.url, headers={"X-Api-Key": "gi_test"}) as session:
        yield session


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as running:
        yield running
