"""Whose events a write key brings."""

import hmac
import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import attrs

from lumina_async.collector.errors import KeysError
from lumina_async.collector.keys import Key, KeyFile, checked_project, digest
from lumina_async.collector.quota import Quota

logger = logging.getLogger("lumina_async.collector")

DEFAULT_PROJECT = "default"
"""The one of `lumina dev`."""

_LOOK_S = 1.0
_SHORTEST = 20


@attrs.frozen
class Writer:
    """Who sends with a key."""

    project: str
    quota: Quota | None = None


class Writers(Protocol):
    """Who may write."""

    @property
    def projects(self) -> frozenset[str]:
        """The projects of those who may, with events or without."""
        ...

    def find(self, presented: Sequence[str]) -> Writer | None:
        """Return who presents these keys, which are the right one alone or nobody's."""
        ...


@attrs.frozen
class AnyKey:
    """The writers of `lumina dev`: whoever has a key at all writes into the one project."""

    projects: frozenset[str] = frozenset({DEFAULT_PROJECT})

    def find(self, presented: Sequence[str]) -> Writer | None:
        """Return the one writer."""
        return Writer(DEFAULT_PROJECT) if len(presented) == 1 and presented[0].strip() else None


@attrs.define(eq=False)
class Keyring:
    """The writers of the server form: those with a key of the file, or with one that the environment gives.

    Whether the file changed is looked at when a key is presented, once a second at most: a new key is good and a
    revoked one is bad a second later, without a restart. A file that has become unreadable changes nothing.
    """

    file: KeyFile
    fixed: Sequence[Key] = ()
    clock: Callable[[], float] = time.monotonic
    _keys: Sequence[Key] = attrs.field(init=False, default=())
    _quotas: dict[str, Quota] = attrs.field(init=False, factory=dict[str, Quota])
    _state: object = attrs.field(init=False, default=None)
    _looked_s: float = attrs.field(init=False, default=float("-inf"))

    def open(self) -> None:
        """Read the file for the first time; raises `KeysError` where that is not possible."""
        self._state = self._state_of_file()
        self._take(self.file.read())

    @property
    def projects(self) -> frozenset[str]:
        """The projects that have a key."""
        self._look()
        return frozenset(key.project for key in self._keys)

    def find(self, presented: Sequence[str]) -> Writer | None:
        """Return who presents these keys.

        A missing key, two, an empty and a wrong one take the same time: each is hashed, and compared with every hash
        there is, without a way out before the last (FAULTS C1).
        """
        self._look()
        found: Key | None = None
        shown = digest(presented[0] if len(presented) == 1 else "")
        for key in self._keys:
            if hmac.compare_digest(key.sha256, shown):
                found = key
        return None if found is None else Writer(found.project, self._quotas.get(found.id))

    def _look(self) -> None:
        now_s = self.clock()
        if now_s - self._looked_s < _LOOK_S:
            return
        self._looked_s = now_s
        state = self._state_of_file()
        if state == self._state:
            return
        self._state = state
        try:
            self._take(self.file.read())
        except KeysError as error:
            logger.error("The keys stay as they were: %s", error)

    def _take(self, keys: Sequence[Key]) -> None:
        self._keys = [key for key in (*self.fixed, *keys) if key.revoked_at is None]
        old = self._quotas
        self._quotas = {}
        for key in self._keys:
            if (limit := key.events_per_minute) is not None:
                before = old.get(key.id)
                self._quotas[key.id] = before if before and before.per_minute == limit else Quota(limit, self.clock)

    def _state_of_file(self) -> object:
        try:
            status = self.file.path.stat()
        except OSError as error:
            return error.errno
        return status.st_mtime_ns, status.st_size, status.st_ino


def keys_from(text: str) -> Sequence[Key]:
    """Return the keys of `LUMINA_COLLECTOR_KEYS`: `project=key`, several with commas between them.

    Raises:
        KeysError: An entry has another form; the message says which by its number and never shows it.
    """
    entries = [entry.strip() for entry in text.split(",")]
    return [_fixed(number, entry) for number, entry in enumerate(entries, start=1) if entry]


def _fixed(number: int, entry: str) -> Key:
    project, _, secret = entry.partition("=")
    if len(secret) < _SHORTEST or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise KeysError(
            f"Entry {number} of LUMINA_COLLECTOR_KEYS is not `project=key` with a key of at least {_SHORTEST} "
            "printable characters. `lumina keys create` makes one that is."
        )
    try:
        name = checked_project(project.strip())
    except KeysError as error:
        raise KeysError(f"Entry {number} of LUMINA_COLLECTOR_KEYS: {error}") from None
    return Key(id=f"environment-{number}", project=name, start="", sha256=digest(secret), created_at="")
