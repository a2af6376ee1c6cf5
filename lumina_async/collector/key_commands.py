"""`lumina keys`: make, list and revoke write keys."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from lumina_async.collector.errors import KeysError
from lumina_async.collector.keys import Key, KeyFile

_Command = Callable[..., Any]


class _Reported(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what goes wrong with the file of keys is one line and a status."""
        try:
            return super().invoke(ctx)
        except KeysError as error:
            raise click.ClickException(str(error)) from None


def _of_database(command: _Command) -> _Command:
    return click.option("--db", default="lumina.db", show_default=True, help="The database of the collector.")(command)


def _file(db: str) -> KeyFile:
    return KeyFile(Path(db).expanduser().resolve())


@click.group(cls=_Reported)
def keys() -> None:
    """Make, list and revoke the write keys of `lumina collector`.

    A collector that runs takes a new key, and refuses a revoked one, a second later. Only the SHA-256 of a key is
    kept, beside the database in a file that ends with .keys.
    """


@keys.command()
@click.option("--project", required=True, metavar="NAME", help="The project whose events the key brings.")
@click.option("--label", default="", help="Who or what uses it, for the list.")
@click.option("--events-per-minute", type=click.IntRange(1), help="Beyond it the key gets 429. No limit by default.")
@_of_database
def create(project: str, label: str, events_per_minute: int | None, db: str) -> None:
    """Make a key and print it, this once."""
    file = _file(db)
    key, secret = file.create(project, label=label, events_per_minute=events_per_minute)
    click.echo(secret)
    # On the other stream, so that `KEY=$(lumina keys create ...)` gets the key and nothing else.
    click.echo(f"Key {key.id} of the project {key.project}. It is shown this once: {file.path} has its hash.", err=True)


@keys.command(name="list")
@_of_database
def list_keys(db: str) -> None:
    """Show all keys, by their first characters."""
    found = _file(db).read()
    if not found:
        click.echo(f"No keys in {_file(db).path}. Make one: lumina keys create --project NAME --db {db}", err=True)
        return
    rows = [("ID", "PROJECT", "KEY", "CREATED", "PER MINUTE", "STATE", "LABEL"), *(_row(key) for key in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


@keys.command()
@click.argument("key_id", metavar="ID")
@_of_database
def revoke(key_id: str, db: str) -> None:
    """Make a key worthless, for good."""
    key = _file(db).revoke(key_id)
    click.echo(f"Key {key.id} of the project {key.project} is revoked. Its senders keep their events and log a 401.")


def _row(key: Key) -> tuple[str, ...]:
    limit = "-" if key.events_per_minute is None else f"{key.events_per_minute:,}"
    state = "good" if key.revoked_at is None else f"revoked {key.revoked_at}"
    return key.id, key.project, f"{key.start}...", key.created_at, limit, state, key.label
