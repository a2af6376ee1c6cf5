"""The scope: who, and which session, for a request, a job or a process; and the turn that is current."""

from collections.abc import Mapping
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


@attrs.define(eq=False)
class Scope:
    """Who, and which session, mutable so that what a nested task finds out is seen by the whole request.

    Attributes:
        user_id: The known user, or None.
        anonymous_id: The visitor; made on first use.
        session: The session in force.
        session_id: The app's own id for the next session, or None.
        epoch: Grows when the session is cleared: a `Session` of an earlier epoch is another person's.
    """

    user_id: str | None = None
    anonymous_id: str | None = None
    session: "Session | None" = None
    session_id: str | None = None
    epoch: int = 0

    @property
    def distinct_id(self) -> str:
        """The known user's id, else the visitor's."""
        if self.user_id is not None:
            return self.user_id
        if self.anonymous_id is None:
            self.anonymous_id = new_anonymous_id()
        return self.anonymous_id

    def become(self, user_id: str, once: Once) -> None:
        """Make this user the scope's. Another known user's session does not go on."""
        if not is_id(user_id):
            once.warn("user_id", "a user id was refused: it must be 1 to 200 printable characters that name one person")
            return
        if self.user_id is not None and self.user_id != user_id:
            self.clear_session()
        self.user_id = user_id

    def clear_session(self) -> None:
        """End the conversation here: the next `start` begins another."""
        self.session = self.session_id = None
        self.epoch += 1


_EMPTY: "Mapping[Scopes, Scope]" = MappingProxyType({})
_scopes: "ContextVar[Mapping[Scopes, Scope]]" = ContextVar("lumina_scopes", default=_EMPTY)


@attrs.define(eq=False)
class Scopes:
    """The scopes of one client: one for each task that opened one, with its children, or one for the process."""

    kind: Literal["task", "process"] = "task"
    process: Scope = attrs.Factory(Scope)

    def current(self) -> Scope:
        """Return the scope in force here; where there is none, open one for this task and its children."""
        scope = _scopes.get().get(self)
        if scope is None:
            if self.kind == "process":
                return self.process
            scope = Scope()
            self.enter(scope)
        return scope

    def enter(self, scope: Scope) -> "Mapping[Scopes, Scope]":
        """Put a scope in force here; return what `leave` takes to undo it."""
        before = _scopes.get()
        _scopes.set(MappingProxyType({**before, self: scope}))
        return before

    def leave(self, before: "Mapping[Scopes, Scope]") -> None:
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
