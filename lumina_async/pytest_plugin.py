"""The fixtures `lumina` and `lumina_collector`; pytest finds them by itself where the package is installed.

They are plain fixtures without an event loop, so every test can use them: async ones under pytest-asyncio (strict or
auto, whatever the scope of its loops) and under anyio, and those that are no coroutines. Nothing but this module is
loaded before a test uses one.
"""

from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from lumina_async import LuminaConfig
    from lumina_async.collector import Collector
    from lumina_async.testing import Recording


@pytest.fixture
def lumina_config() -> "LuminaConfig | None":
    """Return the options of `lumina`; override it to choose them, or with None where the app awaits `Lumina.init`."""
    from lumina_async.testing import memory_config

    return memory_config()


@pytest.fixture
def lumina(lumina_config: "LuminaConfig | None") -> "Generator[Recording, None, None]":
    """Let the process-wide `Lumina` record into memory for this test, and give what it recorded."""
    from lumina_async.testing import recording_process

    with recording_process(lumina_config) as recording:
        yield recording


@pytest.fixture
def lumina_collector() -> "Generator[Collector, None, None]":
    """Run a real collector for this test, on a free port and in memory; `lumina_collector.url` is its address.

    It has a thread and a loop of its own: talk to it over HTTP, its `store` is not for the test's loop.
    """
    try:
        from lumina_async.collector import Collector
    except ModuleNotFoundError as error:
        pytest.fail(
            f"lumina_collector needs {error.name}, which the SDK alone does without. "
            "Install it with: pip install 'lumina-async[collector]'",
            pytrace=False,
        )
    from anyio.from_thread import start_blocking_portal

    with (
        start_blocking_portal("asyncio") as portal,
        portal.wrap_async_context_manager(Collector(db=":memory:", port=0)) as collector,
    ):
        yield collector
