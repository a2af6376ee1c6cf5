"""The scope: who, and which session, for a request, a job or a process; and the turn that is current."""

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import attrs

from lumina_async._log import Once
from lumina_async._trace import new_anonymous_id

if TYPE_CHECKING:
    from lumina_async._session import Session
    from lumina_async._turn import Turn

# What a bug sends for everybody, so that strangers would become one person; PostHog refuses them too.
_GENERIC = frozenset(
    {"0", "1", "anon", "anonymous", "distinct_id", "distinctid", "email", "false", "guest", "id", "nan", "nil", "none"}
    | {"null", "true", "undefined", "unknown", "user", "user_id", "[object object]", "{}", "[]"}
)


def is_id(value: object) -> bool:
    """Tell whether this may be an id: 1 to 200 printable characters, and no generic word."""
    if not isinstance(value, str) or not 0 < len(value) <= 200:
        return False
    return value.isprintable() and value.strip().casefold() not in _GENERIC


@attrs.define(eq=False, repr=False)
class Scope:
    """Who, and which session, mutable so that what a nested task finds out is seen by the whole request.

    Attributes:
        user_id: The known user, or None.
        anonymous_id: The visitor; made on first use.
        session: The session in force.
        session_id: The app's own id for the next session, or None.
        trace_id: The conversation that the visitor's cookie names; the next `start` goes on with it.
        is_proven: Whether that cookie was signed. One that was not could be anybody's.
        links: The `traceparent` that came with the request: turns name it, and never join it.
        epoch: Grows when the session is cleared: a `Session` of an earlier epoch is another person's.
    """

    user_id: str | None = None
    anonymous_id: str | None = None
    session: "Session | None" = None
    session_id: str | None = None
    trace_id: str | None = None
    is_proven: bool = False
    links: Sequence[Mapping[str, str]] = ()
    epoch: int = 0

    @property
    def distinct_id(self) -> str:
        """The known user's id, else the visitor's."""
        if self.user_id is not None:
            return self.user_id
        if self.anonymous_id is None:
            self.anonymous_id = new_anonymous_id()
        return self.anonymous_id

    @classmethod
    def begin(cls, user_id: str | None, session_id: str | None, anonymous_id: str | None, once: Once) -> "Scope":
        """Return a scope of this user or visitor; an id that is none is warned of, and left out."""
        scope = cls(session_id=session_id)
        if anonymous_id is not None:
            scope.recognise(anonymous_id, once)
        if user_id is not None:
            scope.become(user_id, once)
        return scope

    def become(self, user_id: str, once: Once) -> None:
        """Make this user the scope's. Another known user's session does not go on."""
        if not is_id(user_id):
            once.warn("user_id", "a user id was refused: it must be 1 to 200 printable characters that name one person")
            return
        if self.user_id is not None and self.user_id != user_id:
            self.clear_session()
        self.user_id = user_id

    def recognise(self, anonymous_id: str, once: Once) -> None:
        """Make this visitor the scope's."""
        if is_id(anonymous_id) and anonymous_id.startswith("anon_"):
            self.anonymous_id = anonymous_id
        else:
            once.warn("anonymous_id", "an anonymous id was refused: it is one that get_distinct_id() gave, `anon_...`")

    def found_trace_id(self) -> str | None:
        """Return the trace id to go on with. One without proof counts for visitors only: nobody is harmed by theirs."""
        return self.trace_id if self.is_proven or self.user_id is None else None

    def clear_session(self) -> None:
        """End the conversation here: the next `start` begins another."""
        self.session = self.session_id = self.trace_id = None
        self.epoch += 1


Opening = Callable[[], Scope]
"""Gives a scope to whoever asks first, and the same one to all who ask after: nothing is made that nobody needs."""

Opened = Mapping["Scopes", Scope | Opening]

_EMPTY: Opened = MappingProxyType({})
_scopes: ContextVar[Opened] = ContextVar("lumina_scopes", default=_EMPTY)


@attrs.define(eq=False, repr=False)
class Scopes:
    """The scopes of one client: one for each task that opened one, with its children, or one for the process."""

    kind: Literal["task", "process"] = "task"
    process: Scope = attrs.Factory(Scope)

    def current(self) -> Scope:
        """Return the scope in force here; where there is none, open one for this task and its children."""
        scope = _scopes.get().get(self)
        if isinstance(scope, Scope):
            return scope
        if scope is not None:
            return scope()
        if self.kind == "process":
            return self.process
        self.enter(scope := Scope())
        return scope

    def enter(self, scope: Scope | Opening) -> Opened:
        """Put a scope in force here; return what `leave` takes to undo it."""
        before = _scopes.get()
        _scopes.set(MappingProxyType({**before, self: scope}))
        return before

    def leave(self, before: Opened) -> None:
        """Put in force again what was before. Not by a token: a generator may be closed in another context."""
        _scopes.set(before)


_turn: "ContextVar[Turn | None]" = ContextVar("lumina_turn", default=None)


def current_turn() -> "Turn | None":
    """Return the turn whose `async with` block this code runs in, or None. A finished turn is never current."""
    turn = _turn.get()
    while turn is not None and turn.is_finished:
        turn = turn.parent
    return turn


def set_current_turn(turn: "Turn | None") -> None:
    """Make a turn current in this context and in the tasks started from it."""
    _turn.set(turn)
