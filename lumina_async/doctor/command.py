"""The command `lumina doctor`."""

import asyncio

import attrs
import click
import orjson

from lumina_async.doctor.checks import Check, Mark, diagnose

_COLOURS = {Mark.OK: "green", Mark.WARN: "yellow", Mark.FAIL: "red", Mark.UNKNOWN: None}


@click.command()
@click.option("--endpoint", help="Origin of the ingest server; LUMINA_ENDPOINT when not given.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(endpoint: str | None, as_json: bool) -> None:
    """Find out why events do not arrive. The write key is taken from LUMINA_WRITE_KEY and never shown."""
    checks = asyncio.run(_examined(endpoint, as_json))
    failed = any(check.mark is Mark.FAIL for check in checks)
    if as_json:
        report = {"ok": not failed, "checks": [attrs.asdict(check) for check in checks]}
        click.echo(orjson.dumps(report, option=orjson.OPT_INDENT_2).decode())
    raise SystemExit(int(failed))


async def _examined(endpoint: str | None, silent: bool) -> list[Check]:
    checks: list[Check] = []
    async for check in diagnose(endpoint):
        checks.append(check)
        if not silent:
            mark = click.style(f"{check.mark.value:<4}", fg=_COLOURS[check.mark])
            click.echo(f"{mark}  {check.name:<13}  {check.sentence}")
    return checks
