"""A conversation: its ids, its turns, and how it begins, or is found again."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import attrs
import orjson

from lumina_async._events import EventName, Origin
from lumina_async._identity import Scope, Scopes, is_id
from lumina_async._log import logger
from lumina_async._recorder import Recorder
from lumina_async._trace import new_trace_id, parse_traceparent, session_span_id, trace_id_of, traceparent
from lumina_async._turn import Turn
from lumina_async._values import fields_of, identifier

MAX_REMEMBERED = 10_000
MAX_SEQ = 1_000_000_000


@attrs.define(eq=False, repr=False)
class Known:
    """What this process knows of a session: the number of its last turn, and the pointers it has told."""

    last: int = 0
    pointers: dict[str, bytes] = attrs.Factory(dict[str, bytes])

    def next(self) -> int:
        """Return the number of another turn."""
        self.last += 1
        return self.last


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
    _home: "Sessions" = attrs.field(repr=False)
    _scope: Scope = attrs.field(repr=False)
    _known: Known = attrs.field(repr=False)
    _epoch: int = attrs.field(repr=False)
    _origin: Origin | None = attrs.field(default=None, init=False, repr=False)

    @property
    def traceparent(self) -> str:
        """The W3C `traceparent` header value of the session itself."""
        return traceparent(self.trace_id, session_span_id(self.trace_id))

    @property
    def headers(self) -> dict[str, str]:
        """What another service of yours gives to `Lumina.session.resume` to go on with this conversation."""
        return {"traceparent": self.traceparent, "tracestate": f"lumina=1;{self._known.last + 1}"}

    def turn(self) -> Turn:
        """Begin a turn, for `async with` or for use by hand. It belongs to the user in force now."""
        if self._epoch != self._scope.epoch:
            return self._home.after(self, self._scope).turn()
        return Turn(self._home.recorder, self.origin(), self._known.next(), self._scope.links)

    def origin(self) -> Origin:
        """Return who and which session an event of this moment belongs to."""
        distinct_id = self._scope.distinct_id
        if self._origin is None or self._origin.distinct_id != distinct_id:
            self._origin = Origin(
                distinct_id=distinct_id,
                anonymous=self._scope.user_id is None,
                session_id=self.session_id,
                trace_id=self.trace_id,
            )
        return self._origin

    async def point(self, pointers: Mapping[str, Any] | None) -> bool:
        """Add pointers to where the conversation takes place; tell whether any of them is news."""
        known, before = self._known.pointers, dict(self._known.pointers)
        for key, value in fields_of(pointers, {}, self._home.recorder.once).items():
            told = await self._home.recorder.privacy.metadata(value, set())
            known[identifier(key) or "_"] = orjson.dumps(told)
        return known != before

    def announce(self) -> None:
        """Tell that the session has begun, and all pointers there are."""
        pointers = {key: orjson.Fragment(data) for key, data in self._known.pointers.items()} or None
        self._home.recorder.emit(EventName.SESSION_STARTED, self.origin(), {"pointers": pointers})


class Sessions:
    """`Lumina.session`: begins conversations and finds them again."""

    def __init__(self, recorder: Recorder, scopes: Scopes) -> None:
        self.recorder, self.scopes = recorder, scopes
        # The last conversations of this process: a request that finds one again by its id neither announces it a second
        # time nor begins at 1.
        self._known: OrderedDict[str, Known] = OrderedDict()

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
            scope.become(user_id, self.recorder.once)
        wanted = self._checked(session_id if session_id is not None else scope.session_id)
        session = scope.session
        if session is None or new or wanted not in {None, session.session_id}:
            session = self._next(scope, wanted, is_new=new)
        has_news = await session.point(pointers)
        if self._is_news(session) or has_news:
            session.announce()
        return session

    async def resume(self, headers: Mapping[str, str]) -> Session:
        """Go on with a conversation that another service of yours began. An act of trust: never on a browser's headers.

        Args:
            headers: A mapping with the `traceparent` and `tracestate` of `Session.headers`, in any case. Without a
                valid `traceparent` this is `start()`.
        """
        given = {str(key).lower(): value for key, value in fields_of(headers, {}, self.recorder.once).items()}
        parsed = parse_traceparent(given.get("traceparent"))
        if parsed is None:
            return await self.start()
        scope, trace_id = self.scopes.current(), parsed[0]
        session = scope.session
        if session is None or session.trace_id != trace_id:
            self._remember(trace_id, _seq_of(given.get("tracestate")) - 1)
            session = self._begin(scope, trace_id, trace_id)
        return session

    def after(self, former: Session, scope: Scope) -> Session:
        """Return the session that took the place of one whose user has changed; begin it where there is none."""
        hint = (
            "a Session was used after its user had changed: its turns go to the new session; call session.start() again"
        )
        self.recorder.once.warn("session of another user", hint)
        logger.debug("session %s ended with its user", former.session_id)
        if scope.session is not None:
            return scope.session
        session = self._begin(scope, None, new_trace_id())
        self._is_news(session)
        session.announce()
        return session

    def _checked(self, session_id: str | None) -> str | None:
        if session_id is not None and not is_id(session_id):
            hint = "a session id was refused: it must be 1 to 200 printable characters that name one conversation"
            self.recorder.once.warn("session_id", hint)
            return None
        return session_id

    def _next(self, scope: Scope, wanted: str | None, *, is_new: bool) -> Session:
        if wanted is not None:
            return self._begin(scope, wanted, trace_id_of(wanted))
        trace_id = None if is_new else scope.found_trace_id()
        if trace_id is None:
            return self._begin(scope, None, new_trace_id())
        # The one that the visitor's cookie names; it was announced when it began.
        self._remember(trace_id)
        return self._begin(scope, trace_id, trace_id)

    def _begin(self, scope: Scope, session_id: str | None, trace_id: str) -> Session:
        known = self._known.get(session_id or trace_id) or Known()
        scope.session = Session(session_id or trace_id, trace_id, self, scope, known, scope.epoch)
        return scope.session

    def _is_news(self, session: Session) -> bool:
        is_news = session.session_id not in self._known
        self._known[session.session_id] = session._known
        self._remember(session.session_id)
        return is_news

    def _remember(self, session_id: str, last: int = 0) -> None:
        """Take a session for one that was announced, here or elsewhere, up to this number."""
        self._known.setdefault(session_id, Known(last))
        self._known.move_to_end(session_id)
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)


def _seq_of(tracestate: object) -> int:
    """Return the number that `lumina=1;<n>` in a `tracestate` gives the next turn; 1 where it gives none."""
    for member in str(tracestate or "")[:600].split(","):
        key, _, value = member.strip().partition("=")
        number = value.removeprefix("1;")
        if key == "lumina" and number.isascii() and number.isdecimal():
            return min(max(int(number), 1), MAX_SEQ)
    return 1
