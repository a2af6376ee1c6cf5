"""What a browser says of the session replay that it records: read from a request, asked for by a provider.

All of it is the browser's word. It is checked in form and length, it links a turn to a replay, and it never says who
somebody is.
"""

import re
import urllib.parse
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, cast

import attrs
import orjson

from lumina_async._identity import is_id
from lumina_async._trace import event_id_ms

MAX_COOKIE = 8_192
"""Characters. A browser keeps 4,096 bytes for a cookie; this leaves room for what a proxy adds."""

_ID = re.compile(r"[0-9A-Za-z_-]{1,100}")
_COOKIE = re.compile(r"ph_[0-9A-Za-z_-]{1,100}_posthog")
_LATEST_MS = 4_102_444_800_000  # the year 2100


@attrs.frozen(kw_only=True)
class Replay:
    """A replay that a browser records, as far as it tells.

    Attributes:
        session_id: The session in the product that records; safe to put into a URL.
        window_id: The tab.
        distinct_id: Who the product takes the person for. Never a proof of who that is.
        started_ms: When the session began, in milliseconds since the epoch.
    """

    session_id: str | None = None
    window_id: str | None = None
    distinct_id: str | None = None
    started_ms: int | None = None

    @property
    def began_ms(self) -> int | None:
        """When the session began: as told, else the time that a UUIDv7 as session id holds."""
        return self.started_ms if self.started_ms is not None else event_id_ms(self.session_id)


def replay_of(
    headers: Mapping[str, str], cookies: Mapping[str, str], posthog_project_key: str | None = None
) -> Replay | None:
    """Return what a request says of PostHog's replay, or None where it says nothing.

    The headers are of this moment and win; the cookie adds what they do not have.
    """
    told, kept = replay_in_headers(headers), replay_in_cookies(cookies, posthog_project_key)
    if told is None or kept is None:
        return told or kept
    is_same = told.session_id in {None, kept.session_id}
    return Replay(
        session_id=told.session_id or kept.session_id,
        window_id=told.window_id or (kept.window_id if is_same else None),
        distinct_id=told.distinct_id or kept.distinct_id,
        started_ms=kept.started_ms if is_same else None,
    )


def replay_in_headers(headers: Mapping[str, str]) -> Replay | None:
    """Return what posthog-js says in its tracing headers (`X-POSTHOG-SESSION-ID`, ..., in any case)."""
    given = {key.lower(): value for key, value in headers.items()}
    return _replay(
        given.get("x-posthog-session-id"), given.get("x-posthog-window-id"), given.get("x-posthog-distinct-id")
    )


def replay_in_cookies(cookies: Mapping[str, str], posthog_project_key: str | None = None) -> Replay | None:
    """Return what posthog-js keeps in its cookie: JSON in URL encoding, with `$sesid` and `distinct_id`.

    Args:
        cookies: Names and values, as the browser sent them.
        posthog_project_key: Names the cookie, `ph_<key>_posthog`. None takes the only one of that form; where there
            are several, nobody knows whose is meant, and none is taken.
    """
    if posthog_project_key is not None:
        value = cookies.get(f"ph_{posthog_project_key}_posthog")
    else:
        found = [cookies[name] for name in cookies if _COOKIE.fullmatch(name)]
        value = found[0] if len(found) == 1 else None
    kept = _json_object(value)
    session: Any = kept.get("$sesid")
    # [last activity, session id, start]: times in milliseconds.
    _, session_id, started_ms = (*(session if session.__class__ is list else ()), None, None, None)[:3]
    return _replay(session_id, kept.get("$window_id"), kept.get("distinct_id"), started_ms)


def _json_object(cookie: str | None) -> dict[str, Any]:
    if cookie is None or len(cookie) > MAX_COOKIE:
        return {}
    try:
        kept = orjson.loads(urllib.parse.unquote(cookie))
    except ValueError:
        return {}
    return cast("dict[str, Any]", kept) if isinstance(kept, dict) else {}


def _replay(session_id: object, window_id: object, distinct_id: object, started_ms: object = None) -> Replay | None:
    """Return what of this has the right form; None where nothing has."""
    is_moment = type(started_ms) is int and 0 < started_ms < _LATEST_MS
    replay = Replay(
        session_id=replay_id(session_id),
        window_id=replay_id(window_id),
        distinct_id=distinct_id if isinstance(distinct_id, str) and is_id(distinct_id) else None,
        started_ms=cast("int", started_ms) if is_moment and replay_id(session_id) else None,
    )
    return None if replay == Replay() else replay


def replay_id(value: object) -> str | None:
    """Return an id of a session or a window, where it has the form of one."""
    return value if isinstance(value, str) and _ID.fullmatch(value) else None


_current: ContextVar[Callable[[], Replay | None] | None] = ContextVar("lumina_replay", default=None)


def current_replay() -> Replay | None:
    """Return what the browser of this request says of its replay, or None."""
    read = _current.get()
    return None if read is None else read()


def set_replay(read: Callable[[], Replay | None] | None) -> None:
    """Say how the replay of this request is found out. Nothing is read before somebody asks; the answer is kept.

    Args:
        read: Called once at most; None where there is no request (any more).
    """
    _current.set(None if read is None else _Kept(read))


@attrs.define(eq=False)
class _Kept:
    _read: Callable[[], Replay | None] | None
    _replay: Replay | None = None

    def __call__(self) -> Replay | None:
        if self._read is not None:
            self._replay, self._read = self._read(), None
        return self._replay
