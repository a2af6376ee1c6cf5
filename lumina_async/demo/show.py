"""What `lumina demo` prints: a progress line, a table, the ledger."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

import attrs
import click

from lumina_async import Stats
from lumina_async.demo.check import Held, Stored, ledger_closes
from lumina_async.demo.people import Said

_HEAD = ("user", "conversation", "turns", "ok", "error", "cancelled", "look-ups", "models", "latency", "first word")
_NUMBERS = {2, 3, 4, 5, 6, 8, 9}
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
        who, text = _VISITOR if said.was_visitor else said.who, said.say.text[:48]
        if self.is_terminal:
            click.echo(f"\r\033[2K  {count}  {who}: {text}", nl=self.done == self.total)
        else:
            click.echo(f"  {count}  {said.say.ends:<9}  {who}: {text}")


def table(held: Held) -> str:
    """Return the stored turns as a table, a row for each conversation."""
    turns: dict[str, list[Stored]] = {session["session_id"]: [] for session in held.sessions}
    for turn in held.named("turn"):
        turns[turn["session_id"]].append(turn)
    users = {session["session_id"]: session["user_id"] or _VISITOR for session in held.sessions}
    rows = sorted(_row(users[session_id], session_id, of_session) for session_id, of_session in turns.items())
    widths = [max(len(row[column]) for row in (_HEAD, *rows)) for column in range(len(_HEAD))]
    return "\n".join((click.style(_line(_HEAD, widths), bold=True), *(_line(row, widths) for row in rows)))


def _row(who: str, session_id: str, turns: Sequence[Stored]) -> tuple[str, ...]:
    calls: list[Stored] = list(chain.from_iterable(turn["llm"] for turn in turns))
    statuses = [turn["status"] for turn in turns]
    counts = (str(statuses.count(status) or "-") for status in _STATUSES)
    used = sum(len(turn.get("tools", ())) + len(turn.get("retrievals", ())) for turn in turns)
    models = ", ".join(sorted({call["model"] for call in calls}))
    latency, first = _average(turn["latency_ms"] for turn in turns), _average(call.get("ttft_ms") for call in calls)
    return (who, session_id, str(len(turns)), *counts, str(used), models, latency, first)


def _average(values: Iterable[float | None]) -> str:
    numbers = [value for value in values if value is not None]
    return f"{sum(numbers) / len(numbers):.0f} ms" if numbers else "-"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (
        cell.rjust(width) if column in _NUMBERS else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  " + "  ".join(padded).rstrip()


def logins(held: Held) -> str:
    """Return who the visitors turned out to be, and what they had asked before."""
    lines: list[str] = []
    for event in held.named("identify"):
        before = event.get("previous_id", "")
        asked = [turn["messages"][0]["content"] for turn in held.named("turn") if turn["distinct_id"] == before]
        lines += [f"  login   {before[:13]}\u2026 is {click.style(event['distinct_id'], fg='cyan')}"]
        lines += [f"  before  {text}" for text in asked]
    return "\n".join(lines)


def opinions(held: Held, said: Sequence[Said]) -> str:
    """Return what people thought of which answer."""
    asked = {one.turn_id: one.say.text for one in said}
    lines: list[str] = []
    for event in held.named("feedback"):
        color = "green" if event["score"] > 0 else "red"
        label = click.style(event["label"].replace("_", " "), fg=color)
        lines.append(f"  {label} for the answer to: {asked.get(event['turn_id'])}")
    return "\n".join(lines)


def masked(held: Held, said: Sequence[Said]) -> str:
    """Return, for each text that the mask changed, what was said and what is stored."""
    stored = {turn["turn_id"]: turn["messages"][0]["content"] for turn in held.named("turn") if turn.get("messages")}
    lines: list[str] = []
    for one in said:
        text = stored.get(one.turn_id, one.say.text)
        if text != one.say.text:
            lines += [f"  said    {one.say.text}", f"  stored  {click.style(text, fg='cyan')}"]
    return "\n".join(lines)


def sentence(counts: Mapping[str, int]) -> str:
    """Return how many events there are of each kind, in words."""
    names = {"turn": "turn", "session_started": "conversation", "identify": "login", "feedback": "opinion"}
    parts = [f"{count} {names[name]}{'' if count == 1 else 's'}" for name, count in counts.items()]
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def ledger(stats: Stats) -> str:
    """Return the ledger as a sum."""
    waiting = stats.queued + stats.in_flight + stats.spooled
    places = f"stored {stats.stored} + waiting {waiting} + lost {stats.lost_total}"
    closes = "it closes" if ledger_closes(stats) else click.style("it does not close", fg="red")
    return f"  captured {stats.captured} = {places}: {closes}"
