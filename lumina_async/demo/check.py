"""What is stored, read from the collector, and what of it is missing."""

from collections.abc import Sequence
from typing import Any

import orjson
from aiohttp import ClientSession

from lumina_async import Stats
from lumina_async.demo.people import PRIVATE, Said

Stored = dict[str, Any]
"""An event as the collector's read API shows it."""


async def read_events(url: str) -> list[Stored]:
    """Return every event that the collector at this address holds, the earliest first."""
    found: list[Stored] = []
    parameters = {"limit": "200"}
    async with ClientSession(url) as http:
        while True:
            async with http.get("/api/events", params=parameters) as answer:
                page = orjson.loads(await answer.read())
            found += page["items"]
            if page["next"] is None:
                return found[::-1]
            parameters["cursor"] = page["next"]


def expected_count(said: Sequence[Said]) -> int:
    """Return how many events the app must have captured: one for each turn, one for each conversation."""
    return len(said) + len({one.person for one in said})


def problems(said: Sequence[Said], events: Sequence[Stored], stats: Stats) -> list[str]:
    """Return a sentence for each thing that is not as it must be; empty when every event is stored.

    Args:
        said: What the people said, and the ids of the turns that the app told them.
        events: Everything that the collector holds.
        stats: The ledger of the app's client.
    """
    return [*_missing_turns(said, events), *_missing_sessions(said, events), *_ledger(events, stats), *_leaks(events)]


def ledger_closes(stats: Stats) -> bool:
    """Tell whether every captured event is in exactly one place."""
    places = stats.stored + stats.queued + stats.in_flight + stats.spooled + stats.lost_total
    return stats.captured + stats.adopted == places


def _missing_turns(said: Sequence[Said], events: Sequence[Stored]) -> list[str]:
    found: list[str] = []
    turns = [event for event in events if event["name"] == "turn"]
    for one in said:
        statuses = [turn["status"] for turn in turns if turn["turn_id"] == one.turn_id]
        if statuses != [one.say.ends]:
            stored = " and ".join(statuses) or "nowhere"
            found.append(f"turn {one.turn_id or 'without id'} ({one.say.text!r}): stored {stored}, not {one.say.ends}")
    return found


def _missing_sessions(said: Sequence[Said], events: Sequence[Stored]) -> list[str]:
    started = {event["session_id"] for event in events if event["name"] == "session_started"}
    conversations = {one.person.conversation for one in said}
    return [f"conversation {name}: its beginning is not stored" for name in sorted(conversations - started)]


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
