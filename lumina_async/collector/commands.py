"""The commands of `lumina` that serve."""

import asyncio
import signal
import threading
import webbrowser
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import timedelta

import click

from lumina_async._version import __version__
from lumina_async.collector.descriptors import allow_many
from lumina_async.collector.errors import StartError
from lumina_async.collector.serve import Collector

DEV_KEY = "gi_dev"
"""The write key that `lumina dev` names; any other is accepted too."""


def _days(context: click.Context, parameter: click.Parameter, value: int | None) -> timedelta | None:
    del context, parameter
    return None if value is None else timedelta(days=value)


retention_option = click.option(
    "--retention-days",
    "retention",
    type=click.IntRange(1, 36500),
    callback=_days,
    help="Delete events after so many days; without it none is.",
)


@click.group()
@click.version_option(__version__, prog_name="lumina")
def lumina() -> None:
    """Record every exchange of a user and an AI assistant, and look at them."""


@lumina.command()
@click.option("--port", type=click.IntRange(0, 65535), default=4600, show_default=True, help="0 takes a free one.")
@click.option("--db", default="lumina.db", show_default=True, help="The file to keep events in, or :memory:.")
@retention_option
@click.option("--no-open", is_flag=True, help="Do not open the page in a browser.")
def dev(port: int, db: str, retention: timedelta | None, no_open: bool) -> None:
    """Collect events on this machine and show them, until Ctrl-C."""
    allow_many()
    try:
        asyncio.run(_dev(Collector(db=db, port=port, retention=retention), opens=not no_open))
    except StartError as error:
        raise click.ClickException(str(error)) from None


async def _dev(collector: Collector, *, opens: bool) -> None:
    with stop_signals() as stop:
        async with collector:
            click.echo(f"The page:     {collector.url}/")
            click.echo(f"Write key:    {DEV_KEY} (any other works too)")
            click.echo(f"Point at it:  LUMINA_ENDPOINT={collector.url} LUMINA_WRITE_KEY={DEV_KEY} python your_app.py")
            click.echo("Ctrl-C ends it; what was accepted is on disk.")
            if opens:
                open_in_browser(collector.url)
            await stop.wait()


@contextmanager
def stop_signals() -> Generator[asyncio.Event, None, None]:
    """Give an event that Ctrl-C and SIGTERM set; after the first of them the next one ends the process as usual."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    signals = (signal.SIGINT, signal.SIGTERM)

    def on_signal() -> None:
        stop.set()
        for number in signals:
            loop.remove_signal_handler(number)

    # Windows has no handlers on its loop: there Ctrl-C cancels the main task, which ends it as well.
    with suppress(NotImplementedError):
        for number in signals:
            loop.add_signal_handler(number, on_signal)
    try:
        yield stop
    finally:
        with suppress(NotImplementedError):
            for number in signals:
                loop.remove_signal_handler(number)


def open_in_browser(url: str) -> None:
    """Open a page in a browser from a thread of its own, since some browsers only return when they are closed."""

    def run() -> None:
        with suppress(webbrowser.Error, OSError):
            webbrowser.open(url)

    threading.Thread(target=run, daemon=True, name="lumina-browser").start()
