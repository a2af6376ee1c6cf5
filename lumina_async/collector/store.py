"""What a store takes and gives, whatever engine is behind it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

import attrs

from lumina_async.collector.costs import TurnCost

Item = TypeVar("Item")


@attrs.frozen(kw_only=True)
class Row:
    """One event on its way into a store: its JSON text and the few facts that are looked up or counted.

    Every text is valid UTF-8, every number fits 64 bits. An id that the event does not carry is None.
    """

    event_id: str
    name: str
    body: str
    """The event's JSON text as it was sent."""
    session_id: str | None = None
    trace_id: str | None = None
    distinct_id: str | None = None
    anonymous: bool | None = None
    turn_id: str | None = None
    status: str | None = None
    started_at: str = ""
    """The client's time (RFC 3339 UTC) where it is well formed, otherwise empty: a hint for order, never a key."""
    seq: int = 0
    preview: str | None = None
    pointers: Mapping[str, Any] | None = None
    client_id: str | None = None
    lost: Mapping[str, int] | None = None
    properties: Mapping[str, Any] | None = None
    """What an `identify` says of the known user who is its `distinct_id`; None when the event identifies nobody."""
    alias: str | None = None
    """The anonymous id that an `identify` says its user had before."""
    cost: TurnCost | None = None
    """What the calls of models in a turn cost, found as it arrives."""


@attrs.frozen(kw_only=True)
class Added:
    """What became of a batch."""

    stored: tuple[Row, ...]
    """The rows that are new and now durable."""
    duplicates: int

    @property
    def accepted(self) -> int:
        """How many rows are new."""
        return len(self.stored)


@attrs.frozen(kw_only=True)
class StoredEvent:
    """An event as it was sent, and when it arrived (RFC 3339 UTC, milliseconds, this machine's clock)."""

    body: str
    received_at: str
    feedback: "Sequence[StoredEvent]" = ()
    """Of a turn: what was said of it, in order of arrival; the latest when there is too much."""
    cost: str | None = None
    """Of a turn: the JSON of `TurnCost.fields`; None without calls of models, and for what came before version 3."""


@attrs.frozen(kw_only=True)
class SessionSummary:
    """One line of the list of sessions."""

    session_id: str
    trace_id: str | None = None
    distinct_id: str | None = None
    """As it was sent."""
    user_id: str | None = None
    """The known user that it belongs to: `distinct_id`, or who that turned out to be; found when it is read."""
    anonymous: bool | None = None
    started_at: str
    """The earliest time that its events claim; the time of arrival when they claim none."""
    last_at: str
    """When its latest event arrived."""
    turns: int = 0
    errors: int = 0
    cancelled: int = 0
    feedback: int = 0
    """How often something was said of it or of its turns."""
    pointers: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    preview: str | None = None
    """The beginning of the last message of the user, when text is captured."""
    cost_usd: float | None = None
    """What its calls of models cost, as far as it is known; None when nothing is."""
    unpriced: int = 0
    """How many of them have no known cost."""


@attrs.frozen(kw_only=True)
class UserSummary:
    """Who a user is, and what their sessions add up to, with those from before they were known."""

    distinct_id: str
    """As it was asked for."""
    user_id: str | None
    """The known user that it is or turned out to be; None for a visitor."""
    anonymous: bool | None
    properties: Mapping[str, Any]
    """What the latest `identify` that has any says of them."""
    aliases: Sequence[str]
    """The anonymous ids that turned out to be this user, the latest first; no more than a store looks up at once."""
    first_at: str
    last_at: str
    sessions: int
    turns: int
    errors: int
    cancelled: int
    feedback: int


@attrs.frozen(kw_only=True)
class Totals:
    """Counts over everything a project ever sent."""

    events: Mapping[str, int]
    sessions: int
    errors: int
    cancelled: int
    duplicates: int
    conflicts: int
    """Duplicates whose text differs from what is stored; the first one stands."""
    rejected: int
    lost: Mapping[str, int]
    """By reason, the sum over the latest `sdk_report` of each sending process."""


@attrs.frozen(kw_only=True)
class Health:
    """Whether a store takes events, and what it stands on."""

    error: str | None
    """Why the latest commit failed; None as soon as one succeeds."""
    alarm: str | None
    """What somebody should look after, though events are taken."""
    free_bytes: int | None
    """Of the disk; None where that is not known."""
    log_bytes: int
    """Of changes that may not be in their place yet."""


@attrs.frozen(kw_only=True)
class Forgotten:
    """What was deleted of a user."""

    events: int
    sessions: int
    is_erased: bool
    """Whether no byte of it is left in the files. If not, there was no room to write them anew, or another program
    reads them: see to that, and delete any user."""


@attrs.frozen(kw_only=True)
class Page(Generic[Item]):
    """Some items of a list, and the cursor that asks for those after them."""

    items: Sequence[Item]
    next: str | None


class Store(Protocol):
    """Where events are kept.

    Lists are paged: `cursor` is the `next` of the page before, opaque to everyone but the store, and a cursor it never
    gave raises `CursorError`. Everything else that goes wrong raises `StoreError`.
    """

    @property
    def engine(self) -> Mapping[str, str]:
        """What to show about the engine, such as `{"sqlite_version": "3.45.1"}`."""
        ...

    async def health(self) -> Health:
        """Return how it is, having tried a commit if the latest one failed."""
        ...

    async def open(self) -> None:
        """Make it ready, creating or migrating what it keeps; raises `StartError` when that is not possible."""
        ...

    async def aclose(self) -> None:
        """Finish the commits under way and let go of everything; later calls raise `StoreError`."""
        ...

    async def add(self, project: str, rows: Sequence[Row], *, received_at: str, rejected: int = 0) -> Added:
        """Store the rows whose (project, event id) is new; durable when it returns, all of them or none.

        Args:
            project: Whose rows they are.
            rows: Any number of rows, possibly none.
            received_at: The time of arrival (RFC 3339 UTC, milliseconds).
            rejected: How many lines came with them that are no rows, for the totals.
        """
        ...

    async def expire(self, before: datetime) -> int:
        """Delete some of the events that arrived before a time, and what is left of sessions and users without any.

        Args:
            before: A time with a zone.

        Returns:
            How many were deleted; 0 when no event is that old.
        """
        ...

    async def forget(self, project: str, distinct_id: str) -> Forgotten | None:
        """Delete everything of a user: their events, from before they were known too, and whole sessions.

        A session with a turn of theirs goes as a whole, since each turn may repeat what was said before. What arrives
        meanwhile or later is stored anew. Counts over everything that was ever sent stay. Since no byte is to be left,
        this takes as long as the file is large, and senders wait.

        Returns:
            None when nothing is known of them.
        """
        ...

    async def sessions(
        self, project: str, *, limit: int, cursor: str | None = None, text: str | None = None
    ) -> Page[SessionSummary]:
        """Return sessions, latest activity first; with `text`, those with it in an id, their user or preview."""
        ...

    async def session(self, project: str, session_id: str) -> SessionSummary | None:
        """Return one session."""
        ...

    async def session_turns(
        self, project: str, session_id: str, *, limit: int, cursor: str | None = None
    ) -> Page[StoredEvent]:
        """Return the turns of a session with their feedback, ordered by `started_at`, `seq`, `event_id`."""
        ...

    async def turn(self, project: str, turn_id: str) -> StoredEvent | None:
        """Return the turn of this id with its feedback, the first that arrived should there be several."""
        ...

    async def user(self, project: str, distinct_id: str) -> UserSummary | None:
        """Return what is known of a user; an anonymous id that turned out to be somebody's stands for that user."""
        ...

    async def user_sessions(
        self, project: str, distinct_id: str, *, limit: int, cursor: str | None = None
    ) -> Page[SessionSummary]:
        """Return the sessions of a user, those from before they were known among them, latest activity first."""
        ...

    async def events(
        self, project: str, *, limit: int, cursor: str | None = None, name: str | None = None
    ) -> Page[StoredEvent]:
        """Return events of any kind or of one, latest arrival first."""
        ...

    async def projects(self) -> Sequence[str]:
        """Return the names of the projects that ever stored an event."""
        ...

    async def totals(self, project: str) -> Totals:
        """Return the counts."""
        ...

    def export(self, project: str) -> AsyncIterator[Sequence[StoredEvent]]:
        """Yield every event in order of arrival, some at a time, without its feedback."""
        ...
