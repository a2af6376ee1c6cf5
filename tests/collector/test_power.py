"""Power loss: what was answered is there, whichever writes since the last sync reached the disk (FAULTS C10, G7)."""

import asyncio
import os
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import attrs
import pytest
from faults.forms import form

from lumina_async.collector.connections import open_writer

IMAGES = form(200, 2000)
PAGE = 4096
SOURCE = Path(__file__).parent / "sync_log.c"

STORE = """
import asyncio, os, random, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from collector.test_store import AT, row
from lumina_async.collector.sqlite import SqliteStore

async def main():
    folder = Path(sys.argv[1])
    answered = os.open(folder / "answered", os.O_WRONLY | os.O_CREAT)
    store = SqliteStore(folder / "lumina.db")
    await store.open()
    # So that the log is written back many times, and not once.
    store._connection.execute("PRAGMA wal_autocheckpoint = 40")
    values = random.Random(3)
    for start in range(0, 300, 3):
        sizes = [values.randrange(6000) for _ in range(3)]
        rows = [row(event_id=f"{start + n:06}", session_id=f"s{n}", body="x" * size) for n, size in enumerate(sizes)]
        await store.add("p", rows, received_at=AT)
        os.pwrite(answered, "".join(one.event_id for one in rows).encode(), start * 6)
    os._exit(0)

asyncio.run(main())
"""


@attrs.frozen
class Record:
    kind: str
    name: str
    position: int
    data: bytes


def records(log: bytes) -> Iterator[Record]:
    at = 0
    while at < len(log):
        kind, name_length, position, length = struct.unpack_from("<cBQQ", log, at)
        at += 18
        name = log[at : at + name_length].decode()
        at += name_length
        yield Record(kind.decode(), name, position, log[at : at + length])
        at += length


@attrs.define
class Disk:
    """The files as they are after a loss of power: each page is what it was at some time since its last sync."""

    synced: dict[str, bytearray] = attrs.field(factory=dict)
    unsynced: dict[str, list[Record]] = attrs.field(factory=dict)
    unlinked: set[str] = attrs.field(factory=set)
    """The names whose end is in the folder, which is not synced yet."""

    def apply(self, record: Record) -> None:
        if record.kind == "U":
            self.unlinked.add(record.name)
        elif record.kind != "S":
            self.unsynced.setdefault(record.name, []).append(record)
        elif record.name == ".":
            for name in self.unlinked:
                self.synced.pop(name, None)
                self.unsynced.pop(name, None)
            self.unlinked.clear()
        else:
            for one in self.unsynced.pop(record.name, []):
                change(self.synced.setdefault(one.name, bytearray()), one)

    def image(self, folder: Path, chance: random.Random) -> None:
        for name in {*self.synced, *self.unsynced}:
            content = bytearray(self.synced.get(name, b""))
            share = chance.random()
            for record in self.unsynced.get(name, []):
                for piece in pieces(record):
                    if chance.random() < share:
                        change(content, piece)
            if name not in self.unlinked or chance.random() < 0.5:
                (folder / name).write_bytes(content)


def pieces(record: Record) -> Iterator[Record]:
    """Cut a write where the pages of the disk end: each may arrive or not."""
    if record.kind == "T":
        yield record
    start = 0
    while start < len(record.data):
        end = min(len(record.data), start + PAGE - (record.position + start) % PAGE)
        yield attrs.evolve(record, position=record.position + start, data=record.data[start:end])
        start = end


def change(content: bytearray, record: Record) -> None:
    size = record.position if record.kind == "T" else max(len(content), record.position + len(record.data))
    if len(content) < size:
        content.extend(bytes(size - len(content)))
    elif record.kind == "T":
        del content[size:]
    content[record.position : record.position + len(record.data)] = record.data


@pytest.mark.skipif(
    shutil.which("gcc") is None or sys.platform != "linux", reason="gcc is missing: apt-get install gcc"
)
async def test_no_loss_of_power_loses_what_was_answered(tmp_path: Path) -> None:
    """From each image of the disk the file opens, is sound, and has every event that was answered (FAULTS C10, G7)."""
    made, shim, log = tmp_path / "made", tmp_path / "shim.so", tmp_path / "log"
    made.mkdir()
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", shim, SOURCE, "-lpthread"], check=True)  # noqa: ASYNC221
    environment = {**os.environ, "LD_PRELOAD": str(shim), "LUMINA_LOGGED": str(made), "LUMINA_LOG": str(log)}
    command = [sys.executable, "-c", STORE, str(made), str(SOURCE.parent.parent)]
    process = await asyncio.create_subprocess_exec(*command, env=environment)
    assert await process.wait() == 0
    history = list(records(log.read_bytes()))
    assert len([record for record in history if record.name == "lumina.db" and record.kind == "S"]) > 10
    chance = random.Random(7)
    cuts = sorted(chance.randrange(len(history) + 1) for _ in range(IMAGES))
    disk, answered, done = Disk(), bytearray(), 0
    for number, cut in enumerate(cuts):
        for record in history[done:cut]:
            if record.name == "answered":
                change(answered, record)
            elif not record.name.endswith(("-shm", ".lock")):
                disk.apply(record)
        done = cut
        folder = tmp_path / f"image{number}"
        folder.mkdir()
        disk.image(folder, chance)
        assert {answered[at : at + 6].decode() for at in range(0, len(answered), 6)} <= recovered(folder / "lumina.db")
        shutil.rmtree(folder)
    assert done > len(history) * 0.9


def recovered(db: Path) -> set[str]:
    with closing(open_writer(db)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return {event_id for (event_id,) in connection.execute("SELECT event_id FROM events")}
