"""What is stored, read from the collector, and what of it is missing."""

from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import orjson
from aiohttp import ClientSession

from lumina_async import Stats
from lumina_async.demo.people import PEOPLE, PRIVATE, LogIn, Said

Stored = dict[str, Any]
"""An event, or a session, as the collector's read API shows it."""

LOGINS = tuple(step for person in PEOPLE for step in person.does if isinstance(step, LogIn))


@attrs.frozen
class Held:
    """Everything that the collector holds, the earliest first."""

    events: Sequence[Stored]
    sessions: Sequence[Stored]

    def named(self, name: str) -> list[Stored]:
        """Return the events of one kind."""
        return [event for event in self.events if event["name"] == name]


async def read(url: str) -> Held:
    """Return what the collector at this address holds."""
    async with ClientSession(url) as http:
        return Held(await _items(http, "/api/events"), await _items(http, "/api/sessions"))


async def _items(http: ClientSession, path: str) -> list[Stored]:
    found: list[Stored] = []
    parameters = {"limit": "200"}
    while True:
        async with http.get(path, params=parameters) as answer:
            page = orjson.loads(await answer.read())
        found += page["items"]
        if page["next"] is None:
            return found[::-1]
        parameters["cursor"] = page["next"]


def expected_counts(said: Sequence[Said]) -> dict[str, int]:
    """Return how many events of each kind the app must have captured."""
    return {
        "turn": len(said),
        "session_started": len({one.conversation for one in said}),
        "identify": len(LOGINS),
        "feedback": sum(one.say.thinks is not None for one in said),
    }


def problems(said: Sequence[Said], held: Held, stats: Stats) -> list[str]:
    """Return a sentence for each thing that is not as it must be; empty when every event is stored.

    Args:
        said: What the people said, and the ids of the turns that the app told them.
        held: Everything that the collector holds.
        stats: The ledger of the app's client.
    """
    found: list[str] = []
    for one in said:
        turns = [turn for turn in held.named("turn") if turn["turn_id"] == one.turn_id]
        found += [*_turn(one, turns), *_feedback(one, held)]
    return [*found, *_sessions(said, held), *_logins(held), *_ledger(held.events, stats), *_leaks(held.events)]


def ledger_closes(stats: Stats) -> bool:
    """Tell whether every captured event is in exactly one place."""
    places = stats.stored + stats.queued + stats.in_flight + stats.spooled + stats.lost_total
    return stats.captured + stats.adopted == places


def _turn(one: Said, turns: Sequence[Stored]) -> list[str]:
    name = f"turn {one.turn_id or 'without id'} ({one.say.text!r})"
    statuses = [turn["status"] for turn in turns]
    if statuses != [one.say.ends]:
        return [f"{name}: stored {' and '.join(statuses) or 'nowhere'}, not {one.say.ends}"]
    return [f"{name}: {problem}" for problem in _inside(one, turns[0])]


def _inside(one: Said, turn: Stored) -> Iterator[str]:
    tools = [tool["name"] for tool in turn.get("tools", ())]
    if one.say.tool and one.say.tool not in tools:
        yield f"its tool {one.say.tool}"
    found = [result["id"] for look_up in turn.get("retrievals", ()) for result in look_up["results"]]
    if one.say.finds and found[:1] != [one.say.finds]:
        yield f"its passage {one.say.finds}"
    if turn["anonymous"] is not one.was_visitor:
        yield "whether a visitor said it or a user"


def _feedback(one: Said, held: Held) -> list[str]:
    stored = [(said["label"], said["score"]) for said in held.named("feedback") if said["turn_id"] == one.turn_id]
    expected = [(one.say.thinks.label, one.say.thinks.score)] if one.say.thinks else []
    return [] if stored == expected else [f"turn {one.turn_id} ({one.say.text!r}): what was thought of it"]


def _sessions(said: Sequence[Said], held: Held) -> list[str]:
    started = {event["session_id"] for event in held.named("session_started")}
    owners = {session["session_id"]: session["user_id"] for session in held.sessions}
    found: list[str] = []
    for name, who in sorted({one.conversation: one.who for one in said}.items()):
        if name not in started:
            found.append(f"conversation {name}: its beginning is not stored")
        if owners.get(name) != who:
            found.append(f"conversation {name}: it belongs to {owners.get(name)}, not to {who}")
    return found


def _logins(held: Held) -> list[str]:
    stored = [(event["distinct_id"], event["properties"]) for event in held.named("identify")]
    return [f"the login of {one.user}" for one in LOGINS if (one.user, {"plan": one.plan}) not in stored]


def _ledger(events: Sequence[Stored], stats: Stats) -> list[str]:
    found: list[str] = []
    if not ledger_closes(stats):
        found.append("the ledger does not close")
    if stats.lost_total:
        found.append(f"{stats.lost_total} events are lost: {dict(stats.lost)}")
    ids = {event["event_id"] for event in events}
    if not len(ids) == len(events) == stats.captured:
        found.append(f"{stats.captured} events were captured, {len(events)} are stored, {len(ids)} different ones")
    return found


def _leaks(events: Sequence[Stored]) -> list[str]:
    text = orjson.dumps(events).decode()
    return [f"a text that has to be masked is stored: {private!r}" for private in PRIVATE if private in text]
