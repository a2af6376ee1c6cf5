from collections.abc import AsyncIterator

import pytest_asyncio
from e2e.browsing import chromium
from e2e.visiting import Visit, watch
from playwright.async_api import Browser

from lumina_async.collector import Collector


@pytest_asyncio.fixture(loop_scope="module")
async def collector() -> AsyncIterator[Collector]:
    async with Collector(db=":memory:", port=0) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def visit(collector: Collector, browser: Browser) -> AsyncIterator[Visit]:
    """Every test also asks for a clean console, no dialog, and no request to anywhere else."""
    page = await browser.new_page(viewport={"width": 1280, "height": 800})
    visit = Visit(collector, page)
    await watch(visit)
    yield visit
    await page.close()
    assert visit.problems == []
