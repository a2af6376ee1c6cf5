"""The queries for one user, who may have been an anonymous visitor before: for the readers' threads."""

import sqlite3
from collections.abc import Iterator, Sequence
from heapq import nlargest
from operator import itemgetter
from typing import Any

import attrs
import orjson

from lumina_async.collector.cursors import key_of
from lumina_async.collector.sqlite_read import LAST, SESSIONS, session_page
from lumina_async.collector.store import Page, SessionSummary, UserSummary

_MAX_ALIASES = 1000
"""Looked up for one user: more is a visitor count, or a sender that takes everybody for one person."""

_ALIAS = "SELECT user_id FROM aliases WHERE project = ? AND anonymous_id = ?"
_ALIASES = "SELECT anonymous_id FROM aliases WHERE project = ? AND user_id = ? ORDER BY arrival DESC LIMIT ?"
_IDENTIFIED = "SELECT identified_at, properties FROM users WHERE project = ? AND user_id = ?"
_SUMS = """
SELECT COUNT(*), MIN(anonymous), MIN(started_at), MAX(last_at), SUM(turns), SUM(errors), SUM(cancelled), SUM(feedback)
FROM sessions INDEXED BY sessions_user WHERE project = ? AND distinct_id = ?
"""
_USER_SESSIONS = f"""
{SESSIONS} WHERE sessions.project = ? AND distinct_id = ? AND last_arrival < ?
ORDER BY last_arrival DESC LIMIT ?
"""


@attrs.frozen
class _Ids:
    main: str
    """Of the user, or of a visitor who is not known."""
    aliases: Sequence[str]

    @property
    def all(self) -> Sequence[str]:
        return [self.main, *self.aliases]


def user(connection: sqlite3.Connection, project: str, distinct_id: str) -> UserSummary | None:
    """Return who a user is and what all their sessions add up to."""
    ids = _ids(connection, project, distinct_id)
    identified = connection.execute(_IDENTIFIED, (project, ids.main)).fetchone()
    sums = [row for one in ids.all if (row := connection.execute(_SUMS, (project, one)).fetchone())[0]]
    if not sums and identified is None:
        return None
    sessions, anonymous, first, last, turns, errors, cancelled, feedback = zip(*sums, strict=True) if sums else [()] * 8
    identified_at, properties = identified or ("", "{}")
    is_known = identified is not None or 0 in anonymous
    return UserSummary(
        distinct_id=distinct_id,
        user_id=ids.main if is_known else None,
        anonymous=False if is_known else (True if 1 in anonymous else None),
        properties=orjson.loads(properties),
        aliases=ids.aliases,
        # Someone who logged in and has not said a word yet has no session.
        first_at=min(first, default=identified_at),
        last_at=max(last, default=identified_at),
        sessions=sum(sessions),
        turns=sum(turns),
        errors=sum(errors),
        cancelled=sum(cancelled),
        feedback=sum(feedback),
    )


def user_sessions(
    connection: sqlite3.Connection, project: str, distinct_id: str, limit: int, cursor: str | None
) -> Page[SessionSummary]:
    """Return a page of the sessions of a user under all their ids, latest activity first."""
    before = key_of(cursor, int)[0] if cursor else LAST

    def rows() -> Iterator[Sequence[Any]]:
        # One id after the other: each is read off the index, where all at once would be sorted.
        for one in _ids(connection, project, distinct_id).all:
            yield from connection.execute(_USER_SESSIONS, (project, one, before, limit + 1))

    return session_page(nlargest(limit + 1, rows(), key=itemgetter(-1)), limit)


def _ids(connection: sqlite3.Connection, project: str, distinct_id: str) -> _Ids:
    alias = connection.execute(_ALIAS, (project, distinct_id)).fetchone()
    # A user is never an alias of another, so one step leads to them.
    main: str = alias[0] if alias else distinct_id
    return _Ids(main, [row[0] for row in connection.execute(_ALIASES, (project, main, _MAX_ALIASES))])
