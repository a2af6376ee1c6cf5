"""Event loops that come and go: what waits moves along, and nothing is left behind."""

import asyncio
import gc
import logging
import subprocess
import sys

import pytest
from support import KEY, MemoryTransport, config

from lumina_async import LuminaClient
from lumina_async.testing import FaultyIngest, assert_ledger_closed


def run(code: str, *options: str) -> "subprocess.CompletedProcess[str]":
    """Run a script as a user would, with every warning an error unless told otherwise."""
    options = options or ("-X", "dev", "-W", "error")
    return subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, check=False)


async def record(client: LuminaClient, count: int = 1) -> None:
    session = await client.session.start()
    for _ in range(count):
        async with session.turn():
            pass


# A loop that is closed while its tasks are pending: asyncio.run never does that, older code does.
CLOSED_UNDER_US = f"""
import asyncio
from lumina_async import Lumina

async def main():
    await Lumina.init(endpoint="http://127.0.0.1:9", write_key={KEY!r})
    async with (await Lumina.session.start()).turn():
        pass
    await asyncio.sleep(0.01)

loop = asyncio.new_event_loop()
loop.set_debug(False)
loop.run_until_complete(main())
loop.close()
"""


def test_a_loop_that_is_closed_without_shutdown_leaves_one_line() -> None:
    """A loop closed under the client: no traceback, no destroyed task, no warning, and the number lost (FAULTS Q19)."""
    result = run(CLOSED_UNDER_US)
    assert result.stderr.startswith("2 events were never sent")
    assert (result.stderr.count("\n"), result.returncode) == (1, 0)


@pytest.mark.parametrize("is_closed", [True, False], ids=["closed", "idle"])
async def test_a_client_that_moves_off_a_loop_leaves_no_task_there(
    is_closed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The task on a former loop, closed or merely idle, ends; asyncio tells of nothing destroyed (FAULTS Q12)."""
    caplog.set_level(logging.DEBUG, "asyncio")
    async with FaultyIngest() as ingest:
        client = LuminaClient(config(endpoint=ingest.url, flush_interval_ms=60_000))

        def on_a_loop_of_its_own() -> asyncio.AbstractEventLoop:
            loop = asyncio.new_event_loop()
            loop.run_until_complete(record(client))
            if is_closed:
                loop.close()
            return loop

        former = await asyncio.to_thread(on_a_loop_of_its_own)
        assert await client.flush()
        if not is_closed:
            [task] = [task for task in asyncio.all_tasks(former) if task.get_name() == "lumina-flusher"]
            await asyncio.to_thread(former.run_until_complete, asyncio.wait({task}))
            assert task.cancelled()
            former.close()
        await client.shutdown()
        assert_ledger_closed(await client.stats(), ingest)
    gc.collect()
    assert "destroyed" not in caplog.text
    assert "Unclosed" not in caplog.text


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_an_eager_task_factory_changes_nothing() -> None:
    """Where tasks run their first step at once, events are sent all the same."""
    transport = MemoryTransport()
    client = LuminaClient(config(), transport=lambda _: transport)

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
        async with client:
            await record(client)
            assert await client.flush()

    asyncio.run(main())
    assert transport.opened == transport.closed == 1
