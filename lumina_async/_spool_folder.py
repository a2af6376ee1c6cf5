"""The folders of a spool: one for each process and endpoint, held by a lock that ends with the process.

spool_dir/
  v1-<endpoint>-<random>/      the version of the format, and 16 hex digits that name the endpoint
    lock                       held while its process lives; who gets it owns what is left here
    00000001.seg ...
  <folder>-<segment>.bad       damaged bytes that were found, for a look
"""

import hashlib
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import attrs

from lumina_async._segment import Disk

_FORMAT = "v1"
_LOCK = "lock"
_FOLDER = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


class SpoolError(OSError):
    """The folder cannot be used as a spool; the message says why."""


@attrs.define(eq=False)
class Folder:
    """A folder of which this process holds the lock.

    Attributes:
        path: Where.
    """

    path: Path
    _lock: int

    def segments(self) -> list[Path]:
        """Return the files with lines, oldest first; raises `OSError`."""
        return sorted(self.path.glob("*.seg"))

    def sync(self, disk: Disk) -> None:
        """Make new names last; raises `OSError`."""
        descriptor = os.open(self.path, os.O_RDONLY | _FOLDER)
        try:
            disk.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove_if_empty(self) -> bool:
        """Remove the folder where no segment is left in it; return whether nothing in it is ours any more."""
        if any(self.path.glob("*.seg")):
            return False
        (self.path / _LOCK).unlink(missing_ok=True)
        # It is gone already, or holds what somebody else put there.
        with suppress(OSError):
            self.path.rmdir()
        return True

    def close(self) -> None:
        """Let go of the lock: the folder, where it still is, is there for others to adopt."""
        os.close(self._lock)


def fingerprint(url: str) -> str:
    """Return what names an endpoint in the names of folders: lines are only ever sent where they were meant to go."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]


def make_folder(root: Path, url: str) -> Folder:
    """Make and lock a folder of one's own.

    Raises:
        SpoolError: The root is a link, belongs to somebody else, or its file system has no locks.
        OSError: It cannot be made or written to.
    """
    check_root(root)
    name = f"{_FORMAT}-{fingerprint(url)}-{secrets.token_hex(6)}"
    # Made under another name, so that nobody adopts it before it is locked.
    draft = root / f".{name}"
    draft.mkdir(mode=0o700)
    try:
        lock = os.open(draft / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_LINK, 0o600)
        try:
            _prove_lock(draft / _LOCK, lock)
            draft.rename(root / name)
        except OSError:
            os.close(lock)
            raise
    except OSError:
        (draft / _LOCK).unlink(missing_ok=True)
        draft.rmdir()
        raise
    return Folder(root / name, lock)


def check_root(root: Path) -> None:
    """Make the root where it is missing, and refuse one that others may write to.

    Raises:
        SpoolError: It is a link, no folder, or somebody else's.
        OSError: It cannot be made.
    """
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if why := _foreign(root):
        raise SpoolError(f"spool_dir {why}")


def orphans(root: Path, url: str) -> Iterator[Folder]:
    """Lock and yield the folders for this endpoint whose process is gone."""
    for path in sorted(root.glob(f"{_FORMAT}-{fingerprint(url)}-*")):
        if (folder := _adopt(path)) is not None:
            yield folder


def held_back(root: Path, url: str) -> list[str]:
    """Return the names of the folders that nobody takes: of other endpoints or a later format, and no process's."""
    names: list[str] = []
    for path in sorted(root.glob("v[0-9]*-*-*")):
        if not path.name.startswith(f"{_FORMAT}-{fingerprint(url)}-") and (folder := _adopt(path)) is not None:
            names.append(path.name)
            folder.close()
    return names


def _adopt(path: Path) -> Folder | None:
    try:
        if _foreign(path):
            return None
        lock = os.open(path / _LOCK, os.O_RDWR | _NO_LINK)
    # It was adopted and removed by another process this moment, or is none of ours.
    except OSError:
        return None
    if not _try_lock(lock):
        os.close(lock)
        return None
    return Folder(path, lock)


def _foreign(path: Path) -> str | None:
    """Return why a folder is not trusted, or None."""
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        return "is no folder, or a link to one: name the folder itself"
    if hasattr(os, "geteuid") and found.st_uid != os.geteuid():
        return "belongs to another user: give each user a folder of their own"
    return None


def _try_lock(descriptor: int) -> bool:
    """Take the lock, unless another holds it. A lock ends with the process that holds it, however that ends."""
    if sys.platform == "win32":
        raise SpoolError("spool_dir needs Linux or macOS")
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _prove_lock(path: Path, descriptor: int) -> None:
    """Take the lock and see that a second one is refused: some network file systems grant it to everybody."""
    second = os.open(path, os.O_RDWR | _NO_LINK)
    try:
        if not _try_lock(descriptor) or _try_lock(second):
            raise SpoolError("spool_dir is on a file system without working locks: use a local disk")
    finally:
        os.close(second)
