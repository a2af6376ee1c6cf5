"""`lumina collector`: the server form, which asks who comes."""

import asyncio
import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click

from lumina_async.collector.access import Access
from lumina_async.collector.addresses import Hosts, Proxies
from lumina_async.collector.commands import retention_option, stop_signals
from lumina_async.collector.descriptors import allow_many
from lumina_async.collector.errors import KeysError, StartError
from lumina_async.collector.keyring import Keyring, keys_from
from lumina_async.collector.keys import KeyFile
from lumina_async.collector.page_access import PageAccess, new_token
from lumina_async.collector.serve import LOOPBACK, Collector

KEYS_VARIABLE = "LUMINA_COLLECTOR_KEYS"
TOKEN_VARIABLE = "LUMINA_PAGE_TOKEN"  # noqa: S105  (the name of one)


@click.command()
@click.option("--store", required=True, metavar="URL", help="sqlite:///lumina.db, or sqlite:////var/lib/lumina.db.")
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0 and :: are all addresses.")
@click.option("--port", type=click.IntRange(0, 65535), default=4600, show_default=True, help="0 takes a free one.")
@click.option("--allowed-host", multiple=True, metavar="NAME", help="A name it is asked for by. Several are possible.")
@click.option("--trusted-proxy", multiple=True, metavar="ADDRESS", help="A proxy whose X-Forwarded-For is believed.")
@retention_option
def collector(
    *,
    store: str,
    host: str,
    port: int,
    allowed_host: Sequence[str],
    trusted_proxy: Sequence[str],
    retention: timedelta | None,
) -> None:
    """Collect events for whoever has a key, and show them to whoever has the page token.

    LUMINA_COLLECTOR_KEYS (project=key, several with commas) adds keys to those of `lumina keys`. LUMINA_PAGE_TOKEN is
    the page token; without it one is made and printed.
    """
    allow_many()
    try:
        database = database_of(store)
        token = os.environ.get(TOKEN_VARIABLE, "")
        proxies = Proxies.of(trusted_proxy)
        page = PageAccess(token or new_token(), proxies)
        hosts = Hosts([*allowed_host, *own_name(host)])
        access = Access(writers=_keyring(database), page=page, hosts=hosts, proxies=proxies)
        serving = Collector(db=database, host=host, port=port, access=access, retention=retention)
        asyncio.run(_serve(serving, page, is_told=not token))
    except (StartError, KeysError) as error:
        raise click.ClickException(str(error)) from None


def database_of(store: str) -> Path:
    """Return the file that a store's URL names, as SQLAlchemy reads it: three slashes and a path from here.

    Raises:
        StartError: It names no store that this version has. The URL is not repeated, for it may hold a password.
    """
    url = urlsplit(store)
    if url.scheme != "sqlite":
        kind = f"No store is called {url.scheme}:// here" if url.scheme.isalnum() else "--store is no URL"
        raise StartError(f"{kind}. Use sqlite:///lumina.db, or with four slashes a path from the root.")
    path = unquote(url.path.removeprefix("/"))
    if url.netloc or url.query or url.fragment or not path or path.startswith(":"):
        raise StartError("A store of SQLite is sqlite:///lumina.db, or with four slashes a path from the root.")
    return Path(path).expanduser().resolve()


def _keyring(database: Path) -> Keyring:
    keyring = Keyring(KeyFile(database), keys_from(os.environ.get(KEYS_VARIABLE, "")))
    keyring.open()
    if not keyring.projects:
        raise StartError(
            f"There is no write key yet, so nobody could send an event. Make one:\n\n"
            f"    lumina keys create --project default --db {database}\n\nor set {KEYS_VARIABLE} to project=key."
        )
    return keyring


def own_name(host: str) -> Sequence[str]:
    """Return the name of the one address that is served, where it is one and not this machine's alone.

    It may be asked for: nobody else's name can stand for it, since then `Host` has that name.
    """
    if host in LOOPBACK or host in ("0.0.0.0", "::"):  # noqa: S104
        return ()
    return (f"[{host}]" if ":" in host else host,)


async def _serve(collector: Collector, page: PageAccess, *, is_told: bool) -> None:
    with stop_signals() as stop:
        async with collector:
            login = f"/?token={page.token}" if is_told else f"/ (log in with {TOKEN_VARIABLE})"
            click.echo(f"The page:     {collector.url}{login}")
            click.echo(f"Events go to: {collector.url} with a key of {', '.join(sorted(_projects(collector)))}")
            click.echo(f"The store:    {collector.db}")
            if collector.host not in LOOPBACK:
                click.echo("This is plain HTTP: let a reverse proxy with TLS stand between it and a network.", err=True)
            click.echo("Ctrl-C ends it; what was accepted is on disk.")
            await stop.wait()


def _projects(collector: Collector) -> frozenset[str]:
    return collector.access.writers.projects
