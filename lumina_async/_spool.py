"""Lines on disk: each is written before its turn returns, and waits there for the next process if this one dies.

A segment is live (its lines are in memory too) or spilled (memory was full; its lines are read back later). What
another process left is read back in the same way. What `writer` does for a turn is quick; every method here that does
something waits for the disk, but for `take_over`, and belongs in a thread of the flusher.
"""

import math
import re
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from itertools import count
from pathlib import Path

import attrs

from lumina_async._batch import Line
from lumina_async._log import Once, logger
from lumina_async._segment import Disk, Records, Segment
from lumina_async._spool_folder import Folder, held_back, make_folder, orphans
from lumina_async._spool_writer import SpoolWriter

PATIENCE_S = 5.0
_EVENT_ID = re.compile(rb'"event_id":"([0-9a-f-]{36})"')


@attrs.frozen
class Loaded:
    """What was read back.

    Attributes:
        segment: The file; each of its lines is to be settled.
        lines: Event id and bytes, in order.
        damaged: Bytes that are no good record.
        bad: How many lines those were.
        adopted: How many of all lines the ledger did not know of.
    """

    segment: Segment
    lines: list[tuple[str, bytes]]
    damaged: bytes
    bad: int
    adopted: int


class Spool:
    """The spool of one client.

    Args:
        root: The folder; each process has one of its own in it.
        url: Where the lines are meant to go; those for others stay where they are.
        syncs: Whether the disk is made to keep what was written, each second.
        max_bytes: Beyond it nothing more is written.
        once: Where a condition is logged.
        left: Segments that this client left behind in an earlier life, and how many lines of each are spooled.
        disk: What writes, for tests.

    Attributes:
        writer: Takes the lines, and is told of their endings.
    """

    def __init__(
        self,
        root: Path,
        url: str,
        *,
        syncs: bool,
        max_bytes: int,
        once: Once,
        left: dict[Path, int],
        disk: Disk | None = None,
    ) -> None:
        self._root, self._url, self._syncs, self._once, self._left = root, url, syncs, once, left
        self.writer = SpoolWriter(self._new_path, max_bytes, once, disk or Disk())
        self._numbers = count(1)
        self._folder: Folder | None = None
        self._folders: list[Folder] = []
        self._is_searched = False
        # `tend` may still run in its thread when `close` is called; and each of them syncs, as batches do.
        self._tend_lock, self._sync_lock = threading.Lock(), threading.Lock()

    @property
    def has_backlog(self) -> bool:
        """Whether lines are on disk and not in memory, or nobody has looked yet."""
        # Read once: another thread may seal it this moment.
        active = self.writer.active
        is_known = self._is_searched or self.writer.is_failing
        return bool(self.writer.backlog) or not is_known or (active is not None and active.spilled)

    @property
    def is_at_rest(self) -> bool:
        """Whether `tend` has nothing to do."""
        return self._is_searched and not (self.writer.segments or self.writer.late)

    def tend(self) -> None:
        """Look for what others left, write what waits, sync, and remove what is done."""
        with self._tend_lock:
            self._tend()

    def _tend(self, until: float = math.inf) -> None:
        writer = self.writer
        if not self._is_searched:
            with writer.trying():
                self._search()
        writer.write_late(until)
        writer.seal_settled()
        if self._syncs:
            self.sync()
        self._remove_done()

    def sync(self) -> None:
        """Return when all that was kept before is on the disk for good."""
        writer = self.writer
        with self._sync_lock:
            with writer.held():
                dirty = [segment for segment in writer.segments if segment.dirty and not segment.is_done]
            for segment in dirty:
                self._sync(segment)
            # What was written anew has a new name, too.
            with writer.held():
                has_new_names, writer.has_new_names = writer.has_new_names, False
            if has_new_names and self._folder is not None:
                with writer.trying():
                    self._folder.sync(writer.disk)

    def load(self) -> Loaded | None:
        """Read back the oldest segment whose lines are not in memory; it is there still, until `take_over`."""
        writer = self.writer
        with self._sync_lock:
            with writer.held():
                if not writer.backlog:
                    writer.seal()
            if not writer.backlog:
                return None
            segment = writer.backlog[0]
            try:
                found = segment.read()
            except OSError as error:
                writer.fail(error)
                writer.backlog.rotate(-1)
                return None
        if found.bad:
            self._once.warn("spool_corrupt", "the spool has damaged records; they are lost, and kept as .bad files")
        return _loaded(segment, found)

    def take_over(self, loaded: Loaded) -> None:
        """Have the lines in memory from now on; called where they are counted, so no cancellation parts the two."""
        segment = loaded.segment
        segment.lines, segment.settled, segment.bad = len(loaded.lines), 0, loaded.damaged
        if segment not in self.writer.segments:
            self.writer.segments.append(segment)
        self.writer.backlog.remove(segment)

    def close(self, lines: Iterable[Line] = ()) -> None:
        """Write and sync what waits, these lines too, and leave what is not done for the next process. Idempotent."""
        # A thread that hangs in a call to a broken disk must not keep the process from its end.
        if self._tend_lock.acquire(timeout=PATIENCE_S):
            try:
                self._close(lines)
            finally:
                self._tend_lock.release()

    def _close(self, lines: Iterable[Line]) -> None:
        writer = self.writer
        if writer.is_closed:
            return
        writer.late.update((line, None) for line in lines if line.segment is None)
        if self._folder is not None or writer.late:
            self._tend(time.monotonic() + PATIENCE_S)
        with writer.held():
            writer.seal()
            writer.is_closed = True
        self._remove_done()
        backlog = set(writer.backlog)
        for segment in {*writer.segments, *backlog}:
            segment.close()
            self._left[segment.path] = segment.known if segment in backlog else segment.lines - segment.settled
        for folder in self._folders:
            with writer.trying():
                folder.remove_if_empty()
            folder.close()
        self._folders, self._folder = [], None

    def abandon(self) -> None:
        """Let go of every file without changing any: after a fork they are the parent's."""
        self.writer.is_closed = True
        for close in [*(file.close for file in self.writer.segments), *(folder.close for folder in self._folders)]:
            # Another thread of the parent may have closed it this moment.
            with suppress(OSError):
                close()

    def _new_path(self) -> Path:
        return self._own_folder().path / f"{next(self._numbers):08d}.seg"

    def _own_folder(self) -> Folder:
        # Somebody may have removed it, with what was in it.
        if self._folder is None or not self._folder.path.exists():
            self._folder = make_folder(self._root, self._url)
            self._folders.append(self._folder)
        return self._folder

    def _search(self) -> None:
        """Adopt what is left of processes that are gone."""
        with self.writer.held():
            self._own_folder()
        for folder in orphans(self._root, self._url):
            self._folders.append(folder)
            for path in folder.segments():
                size, known = path.stat().st_size, self._left.pop(path, 0)
                with self.writer.held():
                    self.writer.backlog.append(Segment(path, spilled=True, known=known, sealed=True, size=size))
                    self.writer.size += size
        self._is_searched = True
        if names := held_back(self._root, self._url):
            logger.warning("spool_dir holds events for another endpoint or version; they stay there: %s", names)

    def _sync(self, segment: Segment) -> None:
        """Sync one file. One that failed is never synced again in the hope of better luck: it is written anew."""
        writer = self.writer
        try:
            if not segment.suspect:
                segment.sync(writer.disk)
        except OSError as error:
            segment.suspect = segment.dirty = True
            writer.fail(error)
        if segment.suspect:
            with writer.trying():
                with writer.held():
                    if segment is writer.active:
                        writer.seal()
                    path, writer.has_new_names = self._new_path(), True
                segment.rewrite(path, writer.disk)
        if segment.sealed and not segment.dirty:
            segment.close()

    def _remove_done(self) -> None:
        writer = self.writer
        for segment in [found for found in writer.segments if found.is_done and found not in writer.backlog]:
            with writer.trying():
                segment.remove(self._root)
                with writer.held():
                    writer.segments.remove(segment)
                    writer.size -= segment.size
        for folder in self._folders[:]:
            with writer.trying():
                if folder is not self._folder and folder.remove_if_empty():
                    folder.close()
                    self._folders.remove(folder)


def _loaded(segment: Segment, found: Records) -> Loaded:
    ids = (_EVENT_ID.search(line) for line in found.lines)
    lines = [(match[1].decode() if match else "", line) for match, line in zip(ids, found.lines, strict=True)]
    bad = max(found.bad_count, segment.known - len(lines))
    return Loaded(segment, lines, found.bad, bad, len(lines) + bad - segment.known)
