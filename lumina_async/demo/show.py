"""What `lumina demo` prints: a progress line, a table, the ledger."""

from collections.abc import Iterable, Sequence
from itertools import chain

import attrs
import click

from lumina_async import Stats
from lumina_async.demo.check import Stored, ledger_closes
from lumina_async.demo.people import Said

_HEAD = ("user", "conversation", "turns", "ok", "error", "cancelled", "models", "latency", "first word")
_NUMBERS = {2, 3, 4, 5, 7, 8}
_STATUSES = ("ok", "error", "cancelled")
_VISITOR = "a visitor"


@attrs.define
class Progress:
    """Tells of each turn as it ends: in one line that is written over on a terminal, in a line each elsewhere."""

    total: int
    is_terminal: bool
    done: int = 0

    def tell(self, said: Said) -> None:
        """Tell of one more turn."""
        self.done += 1
        count = f"{self.done:>3} of {self.total}"
        who, text = said.person.user or _VISITOR, said.say.text[:48]
        if self.is_terminal:
            click.echo(f"\r\033[2K  {count}  {who}: {text}", nl=self.done == self.total)
        else:
            click.echo(f"  {count}  {said.say.ends:<9}  {who}: {text}")


def table(events: Sequence[Stored]) -> str:
    """Return the stored turns as a table, a row for each conversation."""
    turns: dict[str, list[Stored]] = {}
    for event in events:
        if event["name"] == "turn":
            turns.setdefault(event["session_id"], []).append(event)
    rows = sorted(_row(session_id, of_session) for session_id, of_session in turns.items())
    widths = [max(len(row[column]) for row in (_HEAD, *rows)) for column in range(len(_HEAD))]
    return "\n".join((click.style(_line(_HEAD, widths), bold=True), *(_line(row, widths) for row in rows)))


def _row(session_id: str, turns: Sequence[Stored]) -> tuple[str, ...]:
    calls: list[Stored] = list(chain.from_iterable(turn["llm"] for turn in turns))
    statuses = [turn["status"] for turn in turns]
    counts = (str(statuses.count(status) or "-") for status in _STATUSES)
    models = ", ".join(sorted({call["model"] for call in calls}))
    latency, first = _average(turn["latency_ms"] for turn in turns), _average(call.get("ttft_ms") for call in calls)
    who = _VISITOR if turns[0]["anonymous"] else turns[0]["distinct_id"]
    return (who, session_id, str(len(turns)), *counts, models, latency, first)


def _average(values: Iterable[float | None]) -> str:
    numbers = [value for value in values if value is not None]
    return f"{sum(numbers) / len(numbers):.0f} ms" if numbers else "-"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (
        cell.rjust(width) if column in _NUMBERS else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  " + "  ".join(padded).rstrip()


def masked(events: Sequence[Stored], said: Sequence[Said]) -> list[str]:
    """Return, for each question that the mask changed, what was said and what is stored."""
    stored = {event.get("turn_id"): event["messages"][0]["content"] for event in events if event.get("messages")}
    lines: list[str] = []
    for one in said:
        text = stored.get(one.turn_id, one.say.text)
        if text != one.say.text:
            lines += [f"  said    {one.say.text}", f"  stored  {click.style(text, fg='cyan')}"]
    return lines


def ledger(stats: Stats) -> str:
    """Return the ledger as a sum."""
    waiting = stats.queued + stats.in_flight + stats.spooled
    places = f"stored {stats.stored} + waiting {waiting} + lost {stats.lost_total}"
    closes = "it closes" if ledger_closes(stats) else click.style("it does not close", fg="red")
    return f"  captured {stats.captured} = {places}: {closes}"
