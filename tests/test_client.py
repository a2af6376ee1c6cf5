"""The life of a client: init, misuse, shutdown, and what it costs to import."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from support import KEY, MemoryTransport, assert_closed, config, recording

from lumina_async import ConfigError, Lumina, LuminaClient, LuminaConfig


def client_of(transport: MemoryTransport) -> LuminaClient:
    return LuminaClient(transport=lambda _: transport)


async def test_init_twice_with_one_configuration_is_one_init() -> None:
    """The same configuration again does nothing; another names its fields and hides their values (FAULTS Q8)."""
    client = client_of(MemoryTransport())
    assert await client.init(config()) is client
    await client.init(config())
    with pytest.raises(ConfigError, match="another write_key, flush_interval_ms") as caught:
        await client.init(config(write_key="gi_another_secret_key", flush_interval_ms=7))
    assert "secret" not in str(caught.value)
    await client.shutdown()


async def test_after_shutdown_init_starts_anew() -> None:
    """A client may be shut down and initialised again, also with another configuration."""
    transport = MemoryTransport()
    client = client_of(transport)
    for interval in (1, 2):
        await client.init(config(flush_interval_ms=interval))
        async with (await client.session.start(new=True)).turn():
            pass
        await client.shutdown()
        assert not client.is_initialized
    assert len(transport.turns) == 2


async def test_unknown_options_are_a_clear_error() -> None:
    """A misspelt keyword is a ConfigError that names it."""
    with pytest.raises(ConfigError, match="flush_intervall_ms"):
        await client_of(MemoryTransport()).init(endpoint="http://127.0.0.1:1", write_key=KEY, flush_intervall_ms=1)


async def test_before_init_everything_works_and_counts_as_lost(caplog: pytest.LogCaptureFixture) -> None:
    """Without init a turn runs its function; its event is lost as `not_initialised`, with one warning (FAULTS Q9)."""
    client = LuminaClient()
    for _ in range(3):
        async with (await client.session.start()).turn() as t:
            assert await t.wrap_llm(lambda: 42) == 42
    assert await client.flush()
    await client.shutdown()
    assert dict((await client.stats()).lost) == {"not_initialised": 4}
    assert len([record for record in caplog.records if "Lumina.init" in record.message]) == 1


async def test_after_shutdown_events_count_as_lost(caplog: pytest.LogCaptureFixture) -> None:
    """What is recorded after shutdown is lost as `after_shutdown`, with one warning (FAULTS Q9)."""
    client = client_of(MemoryTransport())
    await client.init(config())
    session = await client.session.start()
    await client.shutdown()
    for _ in range(3):
        async with session.turn():
            pass
    stats = await client.stats()
    assert dict(stats.lost) == {"after_shutdown": 3}
    assert_closed(stats)
    assert caplog.text.count("after Lumina.shutdown()") == 1


async def test_disabled_everything_runs_and_nothing_is_recorded() -> None:
    """With enabled=False no key is needed, functions run, and the ledger stays empty."""
    async with LuminaClient(LuminaConfig(enabled=False)) as client:
        async with (await client.session.start(pointers={"a": 1})).turn() as t:
            assert await t.wrap_llm(lambda: 42, model="m") == 42
            await t.set_messages([{"role": "user", "content": "x"}])
        assert await client.flush()
        assert (await client.stats()).captured == 0


async def test_the_pasted_shape_works() -> None:
    """The process-wide client is an instance of LuminaClient, used by awaiting its methods."""
    assert isinstance(Lumina, LuminaClient)
    assert not Lumina.is_initialized
    await Lumina.init(enabled=False)
    assert Lumina.is_initialized
    await Lumina.shutdown()


async def test_debug_shows_operations_without_the_key(caplog: pytest.LogCaptureFixture) -> None:
    """With debug=True batches and their answers are logged, the key masked."""
    async with recording(debug=True) as (client, _):
        async with (await client.session.start()).turn():
            pass
    assert "status 200" in caplog.text
    assert KEY not in caplog.text


def test_a_client_may_be_built_without_a_loop() -> None:
    """Built at import time, the first use inside a loop starts it (FAULTS Q11)."""
    transport = MemoryTransport()
    client = LuminaClient(config(), transport=lambda _: transport)

    async def main() -> None:
        async with (await client.session.start()).turn():
            pass
        assert await client.flush()

    asyncio.run(main())
    assert len(transport.turns) == 1


def run(code: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )


def test_importing_loads_neither_aiohttp_nor_a_provider() -> None:
    """`import lumina_async` stays cheap: no web client, no analytics client, no collector."""
    heavy = ["aiohttp", "posthog", "openai", "fastapi", "sqlite3", "click", "lumina_async.collector"]
    code = f"import sys, lumina_async; print([name for name in {heavy!r} if name in sys.modules])"
    assert run(code).stdout.strip() == "[]"


def test_an_app_that_only_flushes_ends_without_a_word() -> None:
    """asyncio.run, flush and exit, without shutdown: no warning, no traceback (SPEC 9)."""
    code = f"""
import asyncio
from lumina_async import Lumina
from aiohttp import web

async def main():
    async def store(request):
        await request.read()
        return web.json_response({{}})
    app = web.Application()
    app.router.add_post("/v1/ingest", store)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    await Lumina.init(endpoint=f"http://127.0.0.1:{{port}}", write_key={KEY!r})
    async with (await Lumina.session.start()).turn():
        pass
    print(await Lumina.flush())
    await runner.cleanup()

# Debug mode would report the import of aiohttp as a slow step.
asyncio.run(main(), debug=False)
"""
    result = run(code)
    assert (result.stdout.strip(), result.stderr, result.returncode) == ("True", "", 0)


def test_an_app_that_forgets_even_to_flush_is_told_how_many_events_it_lost() -> None:
    """At exit one line names the number of unsent events (FAULTS Q19)."""
    code = f"""
import asyncio
from lumina_async import Lumina

async def main():
    await Lumina.init(endpoint="http://127.0.0.1:9", write_key={KEY!r})
    async with (await Lumina.session.start()).turn():
        pass

# Debug mode would report the import of aiohttp as a slow step.
asyncio.run(main(), debug=False)
"""
    result = run(code)
    assert result.stderr.strip().startswith("2 events were never sent: await Lumina.flush()")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("options", [{"write_key": KEY}, {"endpoint": "http://127.0.0.1:1"}], ids=["endpoint", "key"])
async def test_a_missing_option_is_named(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """init without an endpoint or a key says which, and how to give it."""
    for name in ("LUMINA_WRITE_KEY", "LUMINA_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match=r"is missing: pass .* or set LUMINA_"):
        await LuminaClient().init(**options)


async def test_init_without_options_keeps_the_configuration() -> None:
    """A client that was built with its options is started, and started again, by `init()` alone."""
    client = LuminaClient(config(release="7"), transport=lambda _: MemoryTransport())
    for _ in range(2):
        assert await client.init() is client
        await client.shutdown()
    with pytest.raises(ConfigError):
        await LuminaClient().init()
