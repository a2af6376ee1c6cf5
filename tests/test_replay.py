"""What a browser says of its replay: read from headers and PostHog's cookie, checked, and asked for late."""

import asyncio
import json
import urllib.parse
from typing import Any

import pytest

from lumina_async._replay import Replay, current_replay, replay_in_cookies, replay_in_headers, replay_of, set_replay

SESSION = "019a0000-0000-7000-8000-000000000001"
START_MS = 0x019A00000000


def cookie(**kept: Any) -> dict[str, str]:
    """PostHog's cookie, as posthog-js writes it."""
    return {"ph_phc_test_posthog": urllib.parse.quote(json.dumps(kept))}


def test_the_tracing_headers_are_read_in_any_case() -> None:
    """posthog-js writes them in capitals, HTTP/2 and ASGI in small letters."""
    headers = {"X-POSTHOG-SESSION-ID": SESSION, "x-posthog-window-id": "w1", "X-PostHog-Distinct-Id": "ada@example.com"}
    assert replay_in_headers(headers) == Replay(session_id=SESSION, window_id="w1", distinct_id="ada@example.com")


def test_the_cookie_of_posthog_is_read() -> None:
    """`$sesid` is last activity, session id and start; `distinct_id` stands beside it."""
    kept = cookie(**{"$sesid": [START_MS + 9, SESSION, START_MS], "distinct_id": "ada", "$window_id": "w1"})
    expected = Replay(session_id=SESSION, window_id="w1", distinct_id="ada", started_ms=START_MS)
    assert replay_in_cookies(kept, "phc_test") == replay_in_cookies(kept) == expected
    assert replay_in_cookies(kept, "phc_other") is None


def test_of_two_projects_cookies_none_is_guessed() -> None:
    """Two PostHog projects on one site: only the key tells whose session is meant."""
    kept = cookie(distinct_id="ada")
    both = kept | {"ph_phc_other_posthog": next(iter(kept.values()))}
    assert replay_in_cookies(both) is None
    assert replay_in_cookies(both, "phc_test") == Replay(distinct_id="ada")


def test_the_headers_win_and_the_cookie_adds_the_start() -> None:
    """The start of another session is not taken for this one's."""
    kept = cookie(**{"$sesid": [START_MS, SESSION, START_MS - 5], "distinct_id": "ada"})
    replay = replay_of({"x-posthog-session-id": SESSION}, kept)
    assert replay == Replay(session_id=SESSION, distinct_id="ada", started_ms=START_MS - 5)
    other = replay_of({"x-posthog-session-id": "other"}, kept)
    assert other == Replay(session_id="other", distinct_id="ada")
    assert replay_of({}, {}) is None


def test_the_start_is_in_the_session_id_where_nobody_tells_it() -> None:
    """A UUIDv7 holds its time; another id holds none."""
    assert Replay(session_id=SESSION).began_ms == START_MS
    assert Replay(session_id=SESSION, started_ms=7).began_ms == 7
    assert Replay(session_id="other").began_ms is None


HOSTILE = {
    "no json": "%7Bnot",
    "no object": "%5B1%5D",
    "bad escapes": "%ZZ%",
    "no utf-8": "%FF%FE",
    "deep": "[" * 8_000,
    "long": urllib.parse.quote(json.dumps({"distinct_id": "a", "x": "y" * 9_000})),
    "session no list": urllib.parse.quote(json.dumps({"$sesid": {"1": SESSION}})),
    "session too short": urllib.parse.quote(json.dumps({"$sesid": [1]})),
    "session a number": urllib.parse.quote(json.dumps({"$sesid": [1, 2, 3]})),
    "session a path": urllib.parse.quote(json.dumps({"$sesid": [1, "../../x?t=1#", 3]})),
    "session with a line": urllib.parse.quote(json.dumps({"$sesid": [1, "a\r\nb", 3]})),
    "generic id": urllib.parse.quote(json.dumps({"distinct_id": "undefined"})),
    "long id": urllib.parse.quote(json.dumps({"distinct_id": "a" * 201})),
}


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_cookie_says_nothing(value: str) -> None:
    """What has not the right form and length is as if it were not there (FAULTS I2)."""
    assert replay_in_cookies({"ph_phc_test_posthog": value}, "phc_test") is None


@pytest.mark.parametrize("started", [True, -1, 0, 1.5, "1", 10**18, None])
def test_an_impossible_start_is_no_start(started: object) -> None:
    """The session id is still good."""
    assert replay_in_cookies(cookie(**{"$sesid": [1, SESSION, started]})) == Replay(session_id=SESSION)


async def test_nothing_is_read_before_it_is_asked_for_and_then_once() -> None:
    """A request that asks for no replay pays for none; tasks of the request share the answer."""
    reads: list[int] = []

    def read() -> Replay:
        reads.append(1)
        return Replay(session_id=SESSION)

    async def ask() -> Replay | None:
        return current_replay()

    set_replay(read)
    assert reads == []
    assert await asyncio.create_task(ask()) == current_replay() == Replay(session_id=SESSION)
    assert reads == [1]
    set_replay(None)
    assert current_replay() is None
