r"""A file of the spool: lines with their length and checksum, and what is known of them.

    1b2c3d4e 0000018f {"v":1,...}\\n       checksum (CRC-32) and size of what follows, each 8 hex digits, then the line

A line holds no line break but its last byte, so a reader that meets damage finds the next good record again.
"""

import errno
import os
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

_HEAD = re.compile(rb"([0-9a-f]{8}) ([0-9a-f]{8}) ")
_HEAD_BYTES = 18
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)


@attrs.frozen
class Disk:
    """What the spool asks of the system to write. A test may give one that fails or is slow."""

    write: Callable[[int, bytes], int] = os.write
    fsync: Callable[[int], None] = os.fsync


@attrs.frozen
class Records:
    """What a file holds.

    Attributes:
        lines: Those that are as they were written, in order.
        bad: The bytes of all others.
        bad_count: How many those were, as far as one can tell: each stretch of damage, by its line breaks.
    """

    lines: list[bytes]
    bad: bytes
    bad_count: int


def record(line: bytes) -> bytes:
    """Return a line as it stands in a file."""
    return b"%08x %08x %b" % (zlib.crc32(line), len(line), line)


def read_records(data: bytes) -> Records:
    """Return the lines of a file; no bytes make it raise."""
    lines: list[bytes] = []
    bad: list[bytes] = []
    position = 0
    while position < len(data):
        end = _end(data, position)
        if end is None:
            position, start = next(_good_after(data, position), len(data)), position
            bad.append(data[start:position])
        else:
            lines.append(data[position + _HEAD_BYTES : end])
            position = end
    return Records(lines, b"".join(bad), sum(max(1, piece.count(b"\n")) for piece in bad))


def _good_after(data: bytes, position: int) -> Iterator[int]:
    return (head.start() for head in _HEAD.finditer(data, position + 1) if _end(data, head.start()) is not None)


def _end(data: bytes, position: int) -> int | None:
    """Return where the record at this position ends, or None where there is no good one."""
    head = _HEAD.match(data, position)
    if head is None:
        return None
    start = head.end()
    end = start + int(head[2], 16)
    # The line break first: damage costs a search for it, and not a checksum over megabytes for each look-alike.
    if data.find(b"\n", start, end) != end - 1 or zlib.crc32(data[start:end]) != int(head[1], 16):
        return None
    return end


@attrs.define(eq=False)
class Segment:
    """One file, and the count of its lines that have an ending; when all have, it can go.

    Attributes:
        path: Where.
        spilled: None of its lines is in memory: it is read back later.
        known: How many of its lines the ledger has as spooled.
        size: In bytes.
        lines: How many it holds.
        settled: How many of these are stored or lost.
        sealed: Nothing is added any more.
        dirty: Something was written since the last sync.
        suspect: A sync failed, so what the system says of the file is not believed: it is written anew.
        bad: Bytes in it that are no good record.
    """

    path: Path
    spilled: bool = False
    known: int = 0
    size: int = 0
    lines: int = 0
    settled: int = 0
    sealed: bool = False
    dirty: bool = False
    suspect: bool = False
    bad: bytes = b""
    _descriptor: int | None = None

    @property
    def is_done(self) -> bool:
        """Whether all of its lines have an ending and no other will come."""
        return self.sealed and self.settled >= self.lines

    def create(self) -> None:
        """Make the file, for its owner alone.

        Raises:
            OSError: It cannot be made, or something of that name is there.
        """
        self._descriptor = os.open(self.path, _NEW_FILE, 0o600)

    def append(self, data: bytes, disk: Disk, lines: int = 1) -> None:
        """Write so many records by one call, whole or not at all.

        Raises:
            OSError: The disk does not take them.
        """
        assert self._descriptor is not None, "the segment is closed"  # noqa: S101
        written = disk.write(self._descriptor, data)
        if written != len(data):
            os.ftruncate(self._descriptor, self.size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.size += len(data)
        self.lines += lines
        self.dirty = True

    def sync(self, disk: Disk) -> None:
        """Wait until what was written is on the disk; raises `OSError`."""
        if self.dirty and self._descriptor is not None:
            self.dirty = False
            disk.fsync(self._descriptor)

    def read(self) -> Records:
        """Return what the file holds, nothing where somebody removed it; raises `OSError`."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        except FileNotFoundError:
            return Records([], b"", 0)
        with os.fdopen(descriptor, "rb") as file:
            return read_records(file.read())

    def rewrite(self, path: Path, disk: Disk) -> None:
        """Write a sealed segment anew in another file, and remove the old one; raises `OSError`."""
        fresh = Segment(path)
        found = self.read()
        fresh.create()
        try:
            fresh.append(b"".join(map(record, found.lines)), disk)
            fresh.sync(disk)
        except OSError:
            fresh.close()
            path.unlink(missing_ok=True)
            raise
        self.close()
        self.path.unlink(missing_ok=True)
        self.path, self._descriptor, self.suspect, self.dirty = path, fresh._descriptor, False, False

    def remove(self, bad_into: Path) -> None:
        """Remove the file; damaged bytes go to one of their own in that folder. Raises `OSError`."""
        self.close()
        if self.bad:
            (bad_into / f"{self.path.parent.name}-{self.path.stem}.bad").write_bytes(self.bad)
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
