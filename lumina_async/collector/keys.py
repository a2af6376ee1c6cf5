"""Write keys at rest: a small file beside the database, which lets nobody in who reads it (FAULTS C2).

They are not in the database because one process alone may write that (FAULTS C11), and keys are made and revoked while
a collector runs. The file is replaced as a whole, so whoever reads it finds the old one or the new one.
"""

import hashlib
import os
import re
import secrets
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import attrs
import orjson
from attrs.validators import deep_iterable, ge, instance_of, matches_re, optional

from lumina_async.collector.errors import KeysError

_PREFIX = "gi_"
_RANDOM_BYTES = 24
_SHOWN = len(_PREFIX) + 6
"""Characters of a key that lists show: 36 of its 192 bits."""
_VERSION = 1
_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_MAX_LABEL = 100


def digest(secret: str) -> str:
    """Return what is kept of a key: its SHA-256. It needs no salt, for nobody can guess 192 random bits."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def checked_project(name: str) -> str:
    """Return the name of a project, or raise `KeysError` where it is none."""
    if not _PROJECT.fullmatch(name):
        raise KeysError("A project is named by 1 to 64 letters, digits, dots, dashes and underscores (shop, web-2).")
    return name


@attrs.frozen(kw_only=True)
class Key:
    """What is kept of a key: enough to recognise it in a list, and when it is presented."""

    id: str = attrs.field(validator=instance_of(str))
    project: str = attrs.field(validator=matches_re(_PROJECT))
    start: str = attrs.field(validator=instance_of(str))
    """Its first characters."""
    sha256: str = attrs.field(validator=matches_re(r"[0-9a-f]{64}"))
    created_at: str = attrs.field(validator=instance_of(str))
    label: str = attrs.field(default="", validator=instance_of(str))
    events_per_minute: int | None = attrs.field(default=None, validator=optional([instance_of(int), ge(1)]))
    revoked_at: str | None = attrs.field(default=None, validator=optional(instance_of(str)))


@attrs.frozen
class _Content:
    version: int = attrs.field(validator=instance_of(int))
    keys: tuple[Key, ...] = attrs.field(validator=deep_iterable(instance_of(Key)))


@attrs.frozen
class KeyFile:
    """The keys of one database.

    Args:
        database: The path of the database; the file has its name and `.keys`.
    """

    database: Path

    @property
    def path(self) -> Path:
        """Where the keys are."""
        return self.database.with_name(f"{self.database.name}.keys")

    def read(self) -> Sequence[Key]:
        """Return all keys in the order in which they were made, revoked ones included; none without a file.

        Raises:
            KeysError: The file cannot be read, is damaged, or is of a later version.
        """
        try:
            content = _parsed(self.path.read_bytes())
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise KeysError(f"Cannot read {self.path}: {error.strerror}.") from None
        except (ValueError, TypeError, LookupError):
            raise KeysError(f"{self.path} is no file of keys, or damaged. Restore it from a backup.") from None
        if content.version > _VERSION:
            raise KeysError(f"{self.path} was written by a later version of lumina_async. Upgrade lumina_async.")
        return content.keys

    def create(self, project: str, *, label: str = "", events_per_minute: int | None = None) -> tuple[Key, str]:
        """Make a key and return it with its secret, which is nowhere from then on.

        Raises:
            KeysError: The name or the label is none, or the file cannot be read or written.
        """
        if len(label) > _MAX_LABEL or not label.isprintable():
            raise KeysError(f"A label has at most {_MAX_LABEL} printable characters.")
        secret = _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
        key = Key(
            id=secrets.token_hex(4),
            project=checked_project(project),
            start=secret[:_SHOWN],
            sha256=digest(secret),
            created_at=_now(),
            label=label,
            events_per_minute=events_per_minute,
        )
        with self._locked():
            self._write([*self.read(), key])
        return key, secret

    def revoke(self, key_id: str) -> Key:
        """Make a key worthless, for good; one that is revoked already stays as it is.

        Raises:
            KeysError: There is no such key, or the file cannot be read or written.
        """
        with self._locked():
            keys = list(self.read())
            for at, key in enumerate(keys):
                if key.id == key_id:
                    keys[at] = attrs.evolve(key, revoked_at=key.revoked_at or _now())
                    self._write(keys)
                    return keys[at]
        raise KeysError(f"{self.path} has no key with the id {key_id}; `lumina keys list` shows those that it has.")

    def _write(self, keys: Sequence[Key]) -> None:
        content = {"version": _VERSION, "keys": [attrs.asdict(key) for key in keys]}
        unfinished = self.path.with_name(f"{self.path.name}.part")
        try:
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                self._hand_over(descriptor)
                file.write(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(self.path)
        except OSError as error:
            raise KeysError(f"Cannot write {self.path}: {error.strerror}.") from None

    @contextmanager
    def _locked(self) -> Generator[None, None, None]:
        """Let two commands at once take turns, so that neither loses the key of the other."""
        lock = self.path.with_name(f"{self.path.name}.lock")
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise KeysError(f"Cannot write beside {self.database}: {error.strerror}. Name it with --db.") from None
        try:
            if sys.platform != "win32":
                import fcntl

                self._hand_over(descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _hand_over(self, descriptor: int) -> None:
        """Give a file that root makes to whoever the keys belong to, or the collector could not read them any more."""
        if sys.platform == "win32" or os.geteuid() != 0:
            return
        there = next(path for path in (self.path, self.database, self.database.parent) if path.exists())
        status = there.stat()
        os.fchown(descriptor, status.st_uid, status.st_gid)


def _parsed(body: bytes) -> _Content:
    content = orjson.loads(body)
    if content["version"] > _VERSION:
        return _Content(content["version"], ())
    return _Content(content["version"], tuple(Key(**fields) for fields in content["keys"]))


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
