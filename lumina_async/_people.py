"""What is told of persons: who they are, that they left, and what they think of an answer."""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from lumina_async import _identity_file as identity_file
from lumina_async._events import EventName, Origin
from lumina_async._identity import Scope, Scopes, is_id
from lumina_async._recorder import Recorder
from lumina_async._trace import new_anonymous_id
from lumina_async._values import fields_of, identifier, plain, snapshot

MAX_REMEMBERED = 10_000
FeedbackKind = Literal["feedback", "nps", "survey", "request"]


class People:
    """Identity in the scopes of one client."""

    def __init__(self, recorder: Recorder, scopes: Scopes) -> None:
        self._recorder, self._scopes = recorder, scopes
        self._file: Path | None = None
        # What was told of the last persons, so that identifying on every request is cheap.
        self._told: OrderedDict[bytes, None] = OrderedDict()

    def keep_in(self, path: Path | None) -> None:
        """Keep the user of the process in this file from now on."""
        self._file = path
        if path is not None:
            identity_file.load(path, self._scopes.process, self._recorder.once)

    def identify(self, user_id: str, properties: Mapping[str, Any] | None, new_session: bool | None) -> bool:
        """Make this user the scope's; tell whether there is news that should be sent at once."""
        once, scope = self._recorder.once, self._scopes.current()
        if not is_id(user_id):
            once.warn("user_id", "a user id was refused: it must be 1 to 200 printable characters that name one person")
            return False
        previous = scope.anonymous_id if scope.user_id is None else None
        changed = scope.user_id not in {None, user_id}
        if new_session or (new_session is None and changed):
            scope.clear_session()
        scope.user_id = user_id
        known = fields_of(properties, {}, once)
        facts = {"previous_id": previous, "properties": snapshot(known) if known else None}
        if not self._has_news(user_id, previous, known):
            return False
        self._keep(scope)
        self._recorder.emit(EventName.IDENTIFY, self._origin(scope), facts)
        if self._recorder.hooks is not None:
            if previous is not None:
                self._recorder.hooks.tell_ui("alias", previous, user_id)
            self._recorder.hooks.tell_ui("identify", user_id, known)
        return True

    def reset(self) -> None:
        """Make a new visitor the scope's."""
        scope = self._scopes.current()
        scope.user_id, scope.anonymous_id = None, new_anonymous_id()
        scope.clear_session()
        self._keep(scope)
        if self._recorder.hooks is not None:
            self._recorder.hooks.tell_ui("reset")

    async def feedback(
        self, turn_id: str, score: float | None, label: str | None, comment: str | None, source: str, kind: FeedbackKind
    ) -> None:
        """Send what somebody thinks of a turn."""
        privacy, notes = self._recorder.privacy, set[str]()
        facts = {
            "turn_id": identifier(turn_id),
            "kind": identifier(kind),
            "score": plain(score, notes=notes),
            "label": identifier(label),
            "comment": None if comment is None else await privacy.content(comment, notes),
            "feedback_source": identifier(source),
        }
        self._recorder.emit(EventName.FEEDBACK, self._origin(self._scopes.current()), facts)

    def _origin(self, scope: Scope) -> Origin:
        session = scope.session
        return Origin(
            distinct_id=scope.distinct_id,
            anonymous=scope.user_id is None,
            session_id=None if session is None else session.session_id,
            trace_id=None if session is None else session.trace_id,
        )

    def _keep(self, scope: Scope) -> None:
        if self._file is not None and scope is self._scopes.process:
            identity_file.save(self._file, scope, self._recorder.once)

    def _has_news(self, user_id: str, previous: str | None, known: dict[str, Any]) -> bool:
        """Tell whether the properties, or the visitor this was before, were not told yet; both are then."""
        news = [self._is_news(repr((user_id, plain(known))))]
        if previous is not None:
            news.append(self._is_news(repr((user_id, "was", previous))))
        return any(news)

    def _is_news(self, facts: str) -> bool:
        key = hashlib.blake2b(facts.encode("utf-8", "replace"), digest_size=16).digest()
        is_news = key not in self._told
        self._told[key] = None
        self._told.move_to_end(key)
        if len(self._told) > MAX_REMEMBERED:
            self._told.popitem(last=False)
        return is_news
