"""A conversation: its ids, its turns, and how it begins."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

import attrs
import orjson

from lumina_async._events import EventName, Origin, PlainEvent
from lumina_async._identity import Scope, Scopes, is_id
from lumina_async._recorder import Recorder
from lumina_async._trace import new_event_id, new_trace_id, session_span_id, trace_id_of, traceparent
from lumina_async._turn import Turn
from lumina_async._values import identifier

MAX_REMEMBERED = 10_000


@attrs.define(eq=False)
class Session:
    """A conversation: turns under one trace id. `Lumina.session.start()` gives one.

    Attributes:
        session_id: The app's own id for the conversation, or the trace id.
        trace_id: 32 hex digits, the W3C trace id of all its turns. For a session id of the app's own it is derived
            from that id, so every worker agrees on it.
    """

    session_id: str
    trace_id: str
    _scope: Scope = attrs.field(repr=False)
    _recorder: Recorder = attrs.field(repr=False)
    _numbers: Iterator[int] = attrs.field(repr=False)
    _pointers: dict[str, orjson.Fragment] = attrs.field(factory=dict[str, orjson.Fragment], init=False, repr=False)

    @property
    def traceparent(self) -> str:
        """The W3C `traceparent` header value of the session itself."""
        return traceparent(self.trace_id, session_span_id(self.trace_id))

    def turn(self) -> Turn:
        """Begin a turn, for `async with` or for use by hand. It belongs to the user in force now."""
        return Turn(self._recorder, self.origin(), next(self._numbers))

    def origin(self) -> Origin:
        """Return who and which session an event of this moment belongs to."""
        return Origin(
            distinct_id=self._scope.distinct_id,
            anonymous=self._scope.user_id is None,
            session_id=self.session_id,
            trace_id=self.trace_id,
        )

    async def point(self, pointers: Mapping[str, Any]) -> orjson.Fragment | None:
        """Add pointers to where the conversation takes place; return all of them, or None where there are none."""
        for key, value in pointers.items():
            self._pointers[identifier(key) or "_"] = await self._recorder.privacy.metadata(value, set())
        return orjson.Fragment(orjson.dumps(self._pointers)) if self._pointers else None


class Sessions:
    """`Lumina.session`: begins conversations and finds them again."""

    def __init__(self, recorder: Recorder, scopes: Scopes) -> None:
        self._recorder, self.scopes = recorder, scopes
        # The last conversations of this process, each with the counter of its turns: a request that finds one again by
        # its id neither announces it a second time nor begins at 1.
        self._known: OrderedDict[str, Iterator[int]] = OrderedDict()

    async def start(
        self,
        pointers: Mapping[str, Any] | None = None,
        session_id: str | None = None,
        user_id: str | None = None,
        new: bool = False,
    ) -> Session:
        """Return the session of this scope, or begin one; repeated calls give the same one.

        Args:
            pointers: Where the conversation takes place, like a replay URL or a ticket. Those of later calls are
                merged and sent again.
            session_id: The app's own id, at most 200 characters, unique within the project. Another one than before
                begins another session.
            user_id: The known user this conversation is with.
            new: Begin another session in any case.
        """
        scope = self.scopes.current()
        if user_id is not None:
            scope.become(user_id, self._recorder.once)
        wanted = self._checked(session_id if session_id is not None else scope.session_id)
        session = scope.session
        if session is None or new or wanted not in {None, session.session_id}:
            session = scope.session = self._begin(scope, wanted)
        if self._is_news(session) or pointers:
            told = await session.point(pointers or {})
            now = self._recorder.clock.wall_ns()
            self._recorder.submit(
                PlainEvent(
                    event_id=new_event_id(now),
                    name=EventName.SESSION_STARTED,
                    origin=session.origin(),
                    at_ns=now,
                    fields={"pointers": told},
                )
            )
        return session

    def _checked(self, session_id: str | None) -> str | None:
        if session_id is not None and not is_id(session_id):
            hint = "a session id was refused: it must be 1 to 200 printable characters that name one conversation"
            self._recorder.once.warn("session_id", hint)
            return None
        return session_id

    def _begin(self, scope: Scope, session_id: str | None) -> Session:
        trace_id = new_trace_id() if session_id is None else trace_id_of(session_id)
        numbers = self._known.get(session_id or trace_id) or count(1)
        return Session(session_id or trace_id, trace_id, scope, self._recorder, numbers)

    def _is_news(self, session: Session) -> bool:
        is_news = session.session_id not in self._known
        self._known[session.session_id] = session._numbers
        self._known.move_to_end(session.session_id)
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)
        return is_news
