"""Starts the collector and the chat app, lets the people talk, and shows what is stored."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import click
from aiohttp import web

from lumina_async import LuminaClient, LuminaConfig
from lumina_async.collector import Collector
from lumina_async.collector.commands import stop_signals
from lumina_async.demo import show
from lumina_async.demo.app import create_app
from lumina_async.demo.check import expected_counts, problems, read
from lumina_async.demo.people import PEOPLE, Said, Say
from lumina_async.demo.talk import talk

_HELLO = '{"text": "Which coffees are decaf?", "conversation": "mine", "user": "me"}'
_SETTLE_S = 10.0
_LOOK_S = 0.02
_SHUTDOWN_S = 1.0


def run_demo(*, once: bool) -> int:
    """Run the demo in this process until Ctrl-C, or with `once` until everything is shown.

    Returns:
        The status for the shell: not 0 if, with `once`, an event is missing.
    """
    # The demo shows the defaults, whatever this shell sets for an app of its own.
    for name in [name for name in os.environ if name.startswith("LUMINA_")]:
        del os.environ[name]
    return asyncio.run(_until_stopped(once=once))


async def _until_stopped(*, once: bool) -> int:
    with stop_signals() as stop:
        demo, stopped = asyncio.create_task(play(once=once)), asyncio.create_task(stop.wait())
        await asyncio.wait({demo, stopped}, return_when=asyncio.FIRST_COMPLETED)
        for task in (demo, stopped):
            task.cancel()
        await asyncio.wait({demo, stopped})
    # Stopped, `--once` has proven nothing.
    return int(once) if demo.cancelled() else demo.result()


async def play(*, once: bool, make_client: Callable[[LuminaConfig], LuminaClient] = LuminaClient) -> int:
    """Play the demo; see `run_demo`.

    Args:
        once: Return when everything is shown, not only when cancelled.
        make_client: Makes the client of the chat app.
    """
    async with Collector(db=":memory:", port=0) as collector:
        config = LuminaConfig(endpoint=collector.url, write_key="gi_demo", flush_interval_ms=500, environment="demo")
        lumina = make_client(config)
        async with _served(create_app(lumina)) as url:
            found = await _talks(lumina, url, collector.url)
            if once:
                return 1 if found else 0
            click.echo(f"\n  The page:       {collector.url}/")
            click.echo(f"  Say something:  curl {url}/chat -d '{_HELLO}'")
            click.echo("  Ctrl-C ends it; nothing is kept.")
            await asyncio.Event().wait()
    return 0


@asynccontextmanager
async def _served(app: web.Application) -> AsyncGenerator[str, None]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _talks(lumina: LuminaClient, app_url: str, collector_url: str) -> list[str]:
    """Let everybody talk, then print what is stored; return what is missing."""
    said: list[Said] = []
    count = sum(isinstance(step, Say) for person in PEOPLE for step in person.does)
    progress = show.Progress(count, sys.stdout.isatty())

    def tell(one: Said) -> None:
        said.append(one)
        progress.tell(one)

    click.echo("A chat app, a few people and a collector, all on this machine:\n")
    async with asyncio.TaskGroup() as talks:
        for person in PEOPLE:
            talks.create_task(talk(person, app_url, tell))
    counts = expected_counts(said)
    await _settled(lumina, sum(counts.values()))
    await lumina.flush()
    held, stats = await read(collector_url), await lumina.stats()
    found = problems(said, held, stats)
    shown = (
        show.table(held),
        show.logins(held),
        show.opinions(held, said),
        show.masked(held, said),
        show.ledger(stats),
    )
    for block in shown:
        click.echo(f"\n{block}")
    for problem in found:
        click.secho(f"  missing: {problem}", fg="red")
    if not found:
        click.echo(f"  Every event is stored: {show.sentence(counts)}.")
    return found


async def _settled(lumina: LuminaClient, count: int) -> None:
    """Wait until that many events are captured: the app notices a moment later that somebody has left."""
    for _ in range(round(_SETTLE_S / _LOOK_S)):
        if (await lumina.stats()).captured >= count:
            return
        await asyncio.sleep(_LOOK_S)
