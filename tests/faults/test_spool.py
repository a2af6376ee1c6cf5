"""What is on disk is never lost by us, never sent twice on purpose, and never in the app's way (FAULTS part F)."""

import asyncio
import errno
import os
import random
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from support import KEY, MemoryTransport, assert_closed, config as memory_config

from faults.forms import form
from faults.test_reentry import interrupting_each_step
from lumina_async import ConfigError, LuminaClient, LuminaConfig
from lumina_async._batch import Line
from lumina_async._log import Once
from lumina_async._outcome import Answer
from lumina_async._segment import Disk, read_records, record
from lumina_async._spool import Spool
from lumina_async._spool_writer import SpoolState
from lumina_async.testing import FaultyIngest, Reply, until

URL = "http://127.0.0.1:9/v1/ingest"

# Prints what it adopts, and settles it.
ADOPT = """
import sys
from pathlib import Path
from lumina_async._batch import Line
from lumina_async._log import Once
from lumina_async._spool import Spool

spool = Spool(Path(sys.argv[1]), sys.argv[2], syncs=True, max_bytes=1 << 30, once=Once(), left={})
spool.tend()
while (loaded := spool.load()) is not None:
    spool.take_over(loaded)
    for event_id, data in loaded.lines:
        sys.stdout.write(data.decode())
        spool.writer.settled(Line(event_id, data, segment=loaded.segment))
spool.close()
"""


def a_line(number: int, size: int = 40) -> bytes:
    event_id = f"01900000-0000-7000-8000-{number:012x}"
    return b'{"v":1,"event_id":"%s","pad":"%s"}\n' % (event_id.encode(), b"x" * size)


def lines(first: int, last: int, size: int = 40) -> list[Line]:
    return [Line(str(number), a_line(number, size)) for number in range(first, last)]


def a_spool(root: Path, url: str = URL, **options: Any) -> Spool:
    return Spool(root, url, **({"syncs": True, "max_bytes": 1 << 30, "once": Once(), "left": {}} | options))


def all_of(spool: Spool) -> list[bytes]:
    """What another process left, read back and settled."""
    spool.tend()
    found: list[bytes] = []
    while (loaded := spool.load()) is not None:
        spool.take_over(loaded)
        for event_id, data in loaded.lines:
            found.append(data)
            spool.writer.settled(Line(event_id, data, segment=loaded.segment))
    spool.close()
    return found


def crash(spool: Spool) -> None:
    """Let go of the files as the end of a process does."""
    spool.abandon()


def config(ingest: FaultyIngest, root: Path, **options: Any) -> LuminaConfig:
    defaults = {"endpoint": ingest.url, "write_key": KEY, "spool_dir": root, "flush_interval_ms": 10}
    return LuminaConfig(**(defaults | {"retry_delays_ms": (1,)} | options))


async def record_turns(client: LuminaClient, count: int) -> None:
    session = await client.session.start()
    for number in range(count):
        async with session.turn() as turn:
            await turn.annotate(number=number)


# 1. The format.


def test_every_prefix_of_a_file_gives_its_whole_lines() -> None:
    """However a write is cut, the lines before it are read, and what is torn is counted once (FAULTS D1)."""
    data = b"".join(record(a_line(number)) for number in range(5))
    one = len(data) // 5
    for end in range(len(data) + 1):
        found = read_records(data[:end])
        assert len(found.lines) == end // one
        assert found.bad_count == (end % one > 0)


@settings(max_examples=form(2_000, 100_000), deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(1, 300), min_size=1, max_size=12))
def test_damage_costs_only_what_it_touches(seed: int, sizes: list[int]) -> None:
    """Flipped, zeroed, cut out or foreign bytes lose the records they touch and no other (FAULTS D5)."""
    rng = random.Random(seed)
    records = [record(a_line(number, size)) for number, size in enumerate(sizes)]
    data, touched = bytearray(b"".join(records)), set[int]()
    at, count = rng.randrange(len(data)), rng.randrange(1, 40)
    ends = [sum(map(len, records[: number + 1])) for number in range(len(records))]
    for number, end in enumerate(ends):
        if at < end and at + count > end - len(records[number]):
            touched.add(number)
    kind = rng.randrange(4)
    data[at : at + count] = [
        bytes(byte ^ (1 << rng.randrange(8)) for byte in data[at : at + count]),
        bytes(len(data[at : at + count])),
        b"",
        rng.randbytes(count),
    ][kind]
    found = read_records(bytes(data))
    expected = [a_line(number, size) for number, size in enumerate(sizes) if number not in touched]
    assert [line for line in expected if line not in found.lines] == []
    assert found.bad_count > 0 or kind == 2


@given(st.binary(max_size=400))
def test_no_file_makes_the_reader_raise(data: bytes) -> None:
    """Garbage, or nothing at all, is no line (FAULTS D5)."""
    assert read_records(data).lines == []


def test_what_looks_like_records_inside_a_damaged_line_is_cheap_and_no_line() -> None:
    """A text full of look-alikes is searched without a checksum for each, and none of it is taken (FAULTS D5)."""
    line = b'{"text":"%s"}\n' % (b"00000000 000fffff " * 40_000)
    data = b"X" + record(line)[1:] + record(a_line(1))
    assert read_records(data).lines == [a_line(1)]


# 2. Another process goes on.


def test_what_a_process_left_is_adopted_once(tmp_path: Path) -> None:
    """A folder whose process is gone goes to one other process; a folder in use to none (FAULTS D6)."""
    first, second, third = a_spool(tmp_path), a_spool(tmp_path), a_spool(tmp_path)
    for line in lines(0, 10):
        assert first.writer.keep(line, spill=False)
    assert all_of(second) == []
    crash(first)
    third.tend()
    assert all_of(a_spool(tmp_path)) == []
    assert all_of(third) == [a_line(number) for number in range(10)]
    assert list(tmp_path.iterdir()) == []


def test_eight_processes_share_what_is_left(tmp_path: Path) -> None:
    """Eight processes that start at once adopt forty folders, each line once (FAULTS D6)."""
    for number in range(40):
        spool = a_spool(tmp_path)
        spool.writer.keep(lines(number, number + 1)[0], spill=False)
        crash(spool)
    command = [sys.executable, "-c", ADOPT, str(tmp_path), URL]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(8)]
    found = b"".join(process.communicate()[0] for process in processes)
    assert sorted(found.splitlines(keepends=True)) == [a_line(number) for number in range(40)]
    assert list(tmp_path.iterdir()) == []


async def test_what_a_shutdown_could_not_send_is_sent_by_the_next_start(tmp_path: Path) -> None:
    """The rest of a shutdown stays on disk and is counted there; the next start stores it (FAULTS Q18, N23)."""
    async with FaultyIngest(always=Reply(hangs=True)) as ingest:
        async with LuminaClient(config(ingest, tmp_path)) as client:
            await record_turns(client, 50)
            await client.shutdown(0.1)
        left = await client.stats()
        assert (left.captured, left.spooled, left.lost_total) == (51, 51, 0)
        ingest.always = Reply()
        async with LuminaClient(config(ingest, tmp_path)) as client:
            assert await client.flush()
        stats = await client.stats()
        assert (stats.adopted, stats.stored, len(ingest.events)) == (51, 51, 51)
    assert list(tmp_path.iterdir()) == []


async def test_one_client_reads_back_what_it_left_itself(tmp_path: Path) -> None:
    """`init` after `shutdown` goes on with what it left; that is not adopted, and the ledger closes."""
    async with FaultyIngest(always=Reply(status=503)) as ingest:
        client = LuminaClient(config(ingest, tmp_path))
        async with client:
            await record_turns(client, 20)
            await client.shutdown(0.1)
        ingest.always = Reply()
        async with client:
            assert await client.flush()
        stats = await client.stats()
        assert (stats.captured, stats.adopted, stats.spooled, stats.stored) == (21, 0, 0, 21)
        assert_closed(stats, ingest)


async def test_a_spool_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    """A folder as version 1 wrote it is adopted, also with another write key (FAULTS D8)."""
    async with FaultyIngest() as ingest:
        (made := a_spool(tmp_path, f"{ingest.url}/v1/ingest")).tend()
        crash(made)
        [folder] = tmp_path.iterdir()
        golden = Path(__file__).parents[1] / "golden" / "spool-v1.seg"
        (folder / "00000001.seg").write_bytes(golden.read_bytes())
        async with LuminaClient(config(ingest, tmp_path, write_key="gi_rotated")) as client:
            assert await client.flush()
        assert [event["name"] for event in ingest.events] == ["turn", "session_started"]


def test_the_format_is_the_golden_one() -> None:
    """Files are written as version 1 defines it, so that later versions can read them (FAULTS D8)."""
    golden = (Path(__file__).parents[1] / "golden" / "spool-v1.seg").read_bytes()
    found = read_records(golden)
    assert (b"".join(map(record, found.lines)), found.bad_count) == (golden, 0)


def test_lines_for_another_endpoint_or_of_a_later_version_stay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """They are held, named once in the log, and never sent elsewhere (FAULTS D5, D8)."""
    other = a_spool(tmp_path, "https://elsewhere.example/v1/ingest")
    other.writer.keep(lines(0, 1)[0], spill=False)
    crash(other)
    later = tmp_path / "v9-0123456789abcdef-000000000000"
    later.mkdir()
    (later / "lock").touch()
    assert all_of(a_spool(tmp_path)) == []
    assert len(list(tmp_path.iterdir())) == 2
    assert "v9-0123456789abcdef" in caplog.text


def test_damaged_bytes_are_kept_and_counted(tmp_path: Path) -> None:
    """What cannot be read is counted as `spool_corrupt` and kept beside for a look (FAULTS D5)."""
    spool = a_spool(tmp_path)
    for line in lines(0, 10):
        spool.writer.keep(line, spill=False)
    crash(spool)
    [file] = tmp_path.glob("*/*.seg")
    data = bytearray(file.read_bytes())
    data[30:35] = bytes(5)
    file.write_bytes(data)
    spool = a_spool(tmp_path)
    spool.tend()
    loaded = spool.load()
    assert loaded is not None
    assert (len(loaded.lines), loaded.bad, loaded.adopted) == (9, 1, 10)
    spool.take_over(loaded)
    for event_id, line in loaded.lines:
        spool.writer.settled(Line(event_id, line, segment=loaded.segment))
    spool.close()
    [bad] = tmp_path.iterdir()
    assert (bad.suffix, b"\0\0\0\0\0" in bad.read_bytes()) == (".bad", True)


async def test_an_empty_file_and_a_lost_record_close_the_ledger(tmp_path: Path) -> None:
    """Adopted events are stored or counted as lost, and nothing else (FAULTS D5)."""
    async with FaultyIngest() as ingest:
        (made := a_spool(tmp_path, f"{ingest.url}/v1/ingest")).tend()
        crash(made)
        [folder] = tmp_path.iterdir()
        (folder / "00000001.seg").touch()
        (folder / "00000002.seg").write_bytes(record(a_line(1)) + record(a_line(2))[:-9])
        async with LuminaClient(config(ingest, tmp_path)) as client:
            await client.flush()
            stats = await client.stats()
        assert (stats.adopted, stats.stored, dict(stats.lost)) == (2, 1, {"spool_corrupt": 1})
        assert_closed(stats, ingest)


# 3. More than memory holds.


async def test_what_memory_cannot_hold_waits_on_disk_and_comes_back(tmp_path: Path) -> None:
    """An outage longer than memory loses nothing, and memory keeps its bound meanwhile (FAULTS N23, D9)."""
    async with FaultyIngest(always=Reply(status=503)) as ingest:
        small = config(ingest, tmp_path, max_queue_bytes=20_000)
        async with LuminaClient(small) as client:
            await record_turns(client, 2_000)
            stats = await client.stats()
            assert stats.spooled > 1_500
            assert stats.queued + stats.in_flight < 200
            ingest.always = Reply()
            await until_stored(client, 2_001)
        assert_closed(await client.stats(), ingest)
    assert list(tmp_path.iterdir()) == []


async def until_stored(client: LuminaClient, count: int) -> None:
    async with asyncio.timeout(30):
        while (await client.stats()).stored < count:
            await asyncio.sleep(0.01)


async def test_a_full_spool_and_full_memory_lose_the_oldest_under_their_reason(tmp_path: Path) -> None:
    """Beyond `spool_max_bytes` events wait in memory; beyond that the oldest is lost as `spool_full` (FAULTS D3)."""
    async with FaultyIngest(always=Reply(status=503)) as ingest:
        tiny = config(ingest, tmp_path, max_queue_bytes=50_000, spool_max_bytes=100_000)
        async with LuminaClient(tiny) as client:
            await record_turns(client, 1_000)
            stats = await client.stats()
            assert stats.spool == "failing"
            assert set(stats.lost) == {"spool_full"}
            assert sum(file.stat().st_size for file in tmp_path.rglob("*.seg")) <= 100_000
            ingest.always = Reply()
            await until_stored(client, 1_001 - stats.lost_total)
        assert_closed(await client.stats(), ingest)


# 4. A bad disk.


class BadDisk:
    """A disk that fails or is slow as told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.write_error = self.sync_error = 0
        self.takes: int | None = None
        self.delay_s = 0.0

    def write(self, descriptor: int, data: bytes) -> int:
        self.asked.append("write")
        time.sleep(self.delay_s)
        if self.write_error:
            raise OSError(self.write_error, os.strerror(self.write_error))
        return os.write(descriptor, data if self.takes is None else data[: self.takes])

    def fsync(self, descriptor: int) -> None:
        self.asked.append("fsync")
        if self.sync_error:
            raise OSError(self.sync_error, os.strerror(self.sync_error))
        os.fsync(descriptor)

    @property
    def disk(self) -> Disk:
        return Disk(self.write, self.fsync)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.EDQUOT])
def test_a_disk_that_takes_nothing_is_left_alone_and_tried_again(tmp_path: Path, error: int) -> None:
    """A failing write costs one attempt each 5 s and one log line; what was written before stays (FAULTS D3, D4)."""
    bad = BadDisk()
    spool = a_spool(tmp_path, disk=bad.disk)
    assert spool.writer.keep(lines(0, 1)[0], spill=False)
    bad.write_error = error
    assert not any(spool.writer.keep(line, spill=False) for line in lines(1, 50))
    assert (spool.writer.state, len(bad.asked)) == (SpoolState.FAILING, 2)
    crash(spool)
    assert all_of(a_spool(tmp_path)) == [a_line(0)]


def test_a_write_that_was_cut_short_is_taken_back(tmp_path: Path) -> None:
    """Half a record on a full disk is cut off again, and what follows is readable (FAULTS D3)."""
    bad = BadDisk()
    spool = a_spool(tmp_path, disk=bad.disk)
    first, second, third = lines(0, 3)
    assert spool.writer.keep(first, spill=False)
    bad.takes = 20
    assert not spool.writer.keep(second, spill=False)
    bad.takes = None
    spool.writer._retry_at = 0
    assert spool.writer.keep(third, spill=False)
    assert spool.writer.state is SpoolState.DIRECT
    crash(spool)
    assert all_of(a_spool(tmp_path)) == [first.data, third.data]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", folder]
    mount = subprocess.run(command, capture_output=True, check=False)
    if mount.returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


async def test_a_full_file_system_does_not_reach_the_app(small_disk: Path) -> None:
    """On a disk of 256 kB turns go on, events wait in memory, and all are stored in the end (FAULTS D3)."""
    async with FaultyIngest(always=Reply(status=503)) as ingest:
        async with LuminaClient(config(ingest, small_disk / "spool")) as client:
            await record_turns(client, 2_000)
            assert (await client.stats()).spool == "failing"
            ingest.always = Reply()
            await until_stored(client, 2_001)
        assert_closed(await client.stats(), ingest)


async def test_a_folder_that_cannot_be_used_leaves_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A missing or forbidden place is one log line; events wait in memory and are sent (FAULTS D4)."""
    (tmp_path / "file").touch()
    async with FaultyIngest() as ingest:
        async with LuminaClient(config(ingest, tmp_path / "file" / "spool")) as client:
            await record_turns(client, 10)
            assert await client.flush()
            assert (await client.stats()).spool == "failing"
    assert caplog.text.count("the spool cannot be written") == 1


def test_after_a_failed_sync_the_file_is_written_anew(tmp_path: Path) -> None:
    """What could not be synced is copied to a new file and synced there, never synced again in hope (FAULTS D4)."""
    bad = BadDisk()
    spool = a_spool(tmp_path, disk=bad.disk)
    for line in lines(0, 5):
        spool.writer.keep(line, spill=False)
    [before] = tmp_path.glob("*/*.seg")
    bad.sync_error = errno.EIO
    spool.sync()
    assert before.exists()
    bad.sync_error = 0
    spool.sync()
    [after] = tmp_path.glob("*/*.seg")
    assert (after != before, len(read_records(after.read_bytes()).lines)) == (True, 5)
    assert spool.writer.keep(lines(5, 6)[0], spill=False) or spool.writer.state is SpoolState.FAILING
    crash(spool)
    assert all_of(a_spool(tmp_path))[:5] == [a_line(number) for number in range(5)]


def test_a_slow_disk_is_written_to_by_a_thread_until_it_recovers(tmp_path: Path) -> None:
    """After two slow writes a turn waits for none; the thread writes them, and a quick one ends it (FAULTS D11)."""
    bad = BadDisk()
    spool = a_spool(tmp_path, disk=bad.disk)
    bad.delay_s = 0.02
    kept = [spool.writer.keep(line, spill=False) for line in lines(0, 5)]
    assert (kept, spool.writer.state, len(bad.asked)) == ([True, True, False, False, False], SpoolState.SLOW, 2)
    bad.delay_s = 0.0
    spool.tend()
    assert (spool.writer.state, spool.writer.keep(lines(5, 6)[0], spill=False)) == (SpoolState.DIRECT, True)
    crash(spool)
    assert all_of(a_spool(tmp_path)) == [a_line(number) for number in range(6)]


def test_a_line_that_ends_while_it_is_written_late_is_done(tmp_path: Path) -> None:
    """What was stored before the thread wrote it is not written, and its file goes when the others are done."""
    bad = BadDisk()
    spool = a_spool(tmp_path, disk=bad.disk)
    bad.delay_s = 0.02
    written = lines(0, 4)
    for line in written:
        spool.writer.keep(line, spill=False)
    for line in written:
        spool.writer.settled(line)
    spool.close()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_written_anew_has_its_name_made_to_last(tmp_path: Path) -> None:
    """After a failed sync the folder is synced again too, for the name of the new file (FAULTS D4)."""
    bad = BadDisk()
    spool = a_spool(tmp_path, disk=bad.disk)
    spool.writer.keep(lines(0, 1)[0], spill=False)
    spool.sync()
    spool.writer.keep(lines(1, 2)[0], spill=False)
    bad.sync_error = errno.EIO
    spool.sync()
    bad.sync_error = 0
    bad.asked.clear()
    spool.sync()
    assert bad.asked == ["write", "fsync", "fsync"]
    crash(spool)


def test_a_stray_file_in_an_adopted_folder_does_not_stop_the_spool(tmp_path: Path) -> None:
    """A folder that cannot be removed, for what somebody else put there, is left alone; writing goes on (FAULTS D4)."""
    dead = a_spool(tmp_path)
    dead.writer.keep(lines(0, 1)[0], spill=False)
    crash(dead)
    [folder] = tmp_path.glob("v1-*")
    (folder / "stray").touch()
    spool = a_spool(tmp_path)
    spool.tend()
    loaded = spool.load()
    assert loaded is not None
    spool.take_over(loaded)
    spool.writer.settled(Line("0", a_line(0), segment=loaded.segment))
    spool.tend()
    assert spool.writer.keep(lines(1, 2)[0], spill=False)
    assert [path.name for path in folder.iterdir()] == ["stray"]
    crash(spool)


def test_a_folder_that_somebody_removed_is_made_again(tmp_path: Path) -> None:
    """When its folder is deleted under it, the next file of the spool is in a new one (FAULTS D4)."""
    spool = a_spool(tmp_path)
    [first, second] = lines(0, 2)
    spool.writer.keep(first, spill=False)
    spool.writer.settled(first)
    spool.tend()
    [folder] = tmp_path.glob("v1-*")
    shutil.rmtree(folder)
    assert spool.writer.keep(second, spill=False)
    spool.tend()
    crash(spool)
    assert all_of(a_spool(tmp_path)) == [a_line(1)]


def test_while_the_disk_hangs_lines_that_are_stored_leave_memory(tmp_path: Path) -> None:
    """What waits for a disk that hangs is no more than what waits for the server (FAULTS D11)."""
    bad, hangs, goes_on = BadDisk(), threading.Event(), threading.Event()

    def write(descriptor: int, data: bytes) -> int:
        if threading.current_thread() is not threading.main_thread():
            hangs.set()
            goes_on.wait()
        return bad.write(descriptor, data)

    spool = a_spool(tmp_path, disk=Disk(write, bad.fsync))
    bad.delay_s = 0.02
    for line in lines(0, 3):
        spool.writer.keep(line, spill=False)
    thread = threading.Thread(target=spool.tend)
    thread.start()
    hangs.wait()
    for line in lines(3, 1_003):
        spool.writer.keep(line, spill=False)
        spool.writer.settled(line)
    assert len(spool.writer.late) == 0
    goes_on.set()
    thread.join()
    crash(spool)


def test_another_thread_may_seal_a_file_while_one_asks_for_the_backlog(tmp_path: Path) -> None:
    """Whether there is a backlog can be asked at any moment, from any thread."""
    spool = a_spool(tmp_path)
    spool.tend()
    asked = Spool.has_backlog.fget
    assert asked is not None
    for step in range(40):
        spool.writer.keep(lines(step, step + 1)[0], spill=False)
        steps = iter(range(1_000))

        def seal(step: int = step, steps: Iterator[int] = steps) -> None:
            if next(steps) == step:
                spool.writer.active = None

        with interrupting_each_step(asked, seal):
            assert not spool.has_backlog
    crash(spool)


async def test_what_waits_for_a_slow_disk_at_shutdown_is_written_once_and_counted_so(tmp_path: Path) -> None:
    """Late lines are written after shutdown, by a thread, and the next life sends each once (FAULTS D11, T1)."""
    bad = BadDisk()
    bad.delay_s = 0.01
    async with FaultyIngest(always=Reply(status=503)) as ingest:
        client = await LuminaClient(config(ingest, tmp_path, flush_interval_ms=60_000)).init()
        client._flusher._stock._spool.writer.disk = bad.disk  # type: ignore[union-attr]
        await record_turns(client, 50)
        await client.shutdown(0)
        await until(lambda: client.recorder.stats().queued == 0)
        stats = await client.stats()
        assert (stats.spooled, stats.lost_total) == (51, 0)
        ingest.always = Reply()
        await client.init()
        assert await client.flush()
        await client.shutdown()
        stats = await client.stats()
        assert (stats.stored, stats.adopted) == (51, 0)
        assert_closed(stats, ingest)


def left_in_files(root: Path, url: str, files: int) -> None:
    """What a process left that is gone, three lines in each file."""
    spool = a_spool(root, url)
    for number in range(files):
        for line in lines(3 * number, 3 * number + 3):
            spool.writer.keep(line, spill=False)
        with spool.writer.held():
            spool.writer.seal()
    crash(spool)


def test_what_was_read_back_on_two_loops_is_told_apart(tmp_path: Path) -> None:
    """Lines read back on one loop and sent on the next beside others of the spool are all stored (FAULTS D8, Q12)."""
    transport = MemoryTransport(always=lambda _: Answer(failure="down"))
    client = LuminaClient(memory_config(spool_dir=tmp_path), transport=lambda _: transport)
    left_in_files(tmp_path, memory_config().url, 4)

    async def fails_once() -> None:
        await client.init()
        await until(lambda: len(transport.payloads) > 0)

    async def hangs_then_works() -> None:
        transport.hang = asyncio.Event()
        await client.init()
        client._flusher._endpoint.hold_until = 0  # type: ignore[union-attr]
        # The next file is read back while the lines of the first are under way.
        await until(lambda: client.recorder.ledger.stats().adopted == 6)
        transport.hang.set()
        await until(lambda: client.recorder.ledger.stats().in_flight == 0)
        transport.hang = transport.always = None
        client._flusher._endpoint.hold_until = 0  # type: ignore[union-attr]
        assert await client.flush()
        await client.shutdown()

    asyncio.run(fails_once())
    asyncio.run(hangs_then_works())
    stats = asyncio.run(client.stats())
    assert (stats.adopted, stats.stored, stats.in_flight) == (12, 12, 0)


def test_what_was_being_read_back_on_a_former_loop_comes_to_nothing_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A loop that stops while a file is read back, and runs again later, leaves it to the next (FAULTS D8, Q12)."""
    transport = MemoryTransport()
    client = LuminaClient(memory_config(spool_dir=tmp_path, spool_fsync="off"), transport=lambda _: transport)
    left_in_files(tmp_path, memory_config().url, 1)
    former = asyncio.new_event_loop()
    former.run_until_complete(client.init())
    spool = client._flusher._stock._spool  # type: ignore[union-attr]
    assert spool is not None
    with spool._sync_lock:
        # Reading back begins, and waits for the lock.
        former.run_until_complete(until(lambda: spool._is_searched))
        former.run_until_complete(asyncio.sleep(0.05))
    # What was read is with that loop by now.
    time.sleep(0.1)

    async def on_another_loop() -> None:
        async with client:
            assert await client.flush()
            await asyncio.to_thread(former.run_until_complete, asyncio.sleep(0.05))

    asyncio.run(on_another_loop())
    former.close()
    assert "internal error" not in caplog.text
    assert len(transport.stored) == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("fsync", "first"), [("always", "fsync"), ("off", "post")])
async def test_with_always_a_batch_waits_for_the_disk(tmp_path: Path, fsync: str, first: str) -> None:
    """`always` sends only what is synced; `off` never syncs (FAULTS D2)."""
    order = await traced(tmp_path, fsync)
    assert order[0] == first
    assert ("fsync" in order) == (fsync == "always")


async def traced(root: Path, fsync: str) -> list[str]:
    """The order in which a client asks the disk and the server, seen by the system's own calls."""
    order: list[str] = []
    real = os.fsync

    def seen(descriptor: int) -> None:
        order.append("fsync")
        real(descriptor)

    async with FaultyIngest() as ingest:
        async with LuminaClient(config(ingest, root, spool_fsync=fsync)) as client:
            stock = client._flusher._stock  # type: ignore[union-attr]
            stock._spool.writer.disk = Disk(os.write, seen)  # type: ignore[union-attr]
            await record_turns(client, 3)
            await until(lambda: ingest.requests)
            order.append("post")
    return order


@pytest.mark.parametrize("seed", range(form(50, 2_000)))
def test_a_loss_of_power_keeps_what_was_synced(tmp_path: Path, seed: int) -> None:
    """Any part of what was not synced may be missing or be zeros: what was synced is read (FAULTS D2)."""
    rng = random.Random(seed)
    spool, synced, durable = a_spool(tmp_path), list[bytes](), 0
    for line in lines(0, rng.randrange(1, 60), rng.randrange(10, 3_000)):
        spool.writer.keep(line, spill=False)
        if rng.random() < 0.1:
            spool.sync()
            synced = all_lines(tmp_path)
            durable = sum(file.stat().st_size for file in tmp_path.glob("*/*.seg"))
    crash(spool)
    for file in tmp_path.glob("*/*.seg"):
        data = bytearray(file.read_bytes())
        for page in range(durable, len(data), 4096):
            if rng.random() < 0.5:
                data[page : page + 4096] = bytes(len(data[page : page + 4096]))
        file.write_bytes(data[: rng.randrange(durable, len(data) + 1)])
    found = all_of(a_spool(tmp_path))
    assert [line for line in synced if line not in found] == []


def all_lines(root: Path) -> list[bytes]:
    return [line for file in sorted(root.glob("*/*.seg")) for line in read_records(file.read_bytes()).lines]


# 5. Who may read it, and names.


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    """Folders are 0700 and files 0600, whatever the umask (FAULTS S4)."""
    before = os.umask(0)
    try:
        spool = a_spool(tmp_path / "spool")
        spool.writer.keep(lines(0, 1)[0], spill=False)
    finally:
        os.umask(before)
    modes = {path.suffix or path.name[:2]: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert modes == {"sp": 0o700, "v1": 0o700, "lo": 0o600, ".seg": 0o600}
    crash(spool)


def test_a_link_or_a_strangers_folder_is_refused(tmp_path: Path) -> None:
    """Nothing is written through a link, and nothing read from a folder of somebody else (FAULTS S4)."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    spool = a_spool(tmp_path / "link")
    assert not spool.writer.keep(lines(0, 1)[0], spill=False)
    assert list((tmp_path / "real").iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a folder away")
def test_a_strangers_folder_is_refused(tmp_path: Path) -> None:
    """A folder of another user is neither written to nor adopted (FAULTS S4)."""
    spool = a_spool(tmp_path)
    spool.writer.keep(lines(0, 1)[0], spill=False)
    crash(spool)
    [folder] = tmp_path.iterdir()
    os.chown(folder, 12_345, 12_345)
    assert all_of(a_spool(tmp_path)) == []
    os.chown(tmp_path, 12_345, 12_345)
    assert not a_spool(tmp_path).writer.keep(lines(0, 1)[0], spill=False)


async def test_the_key_is_in_no_file(tmp_path: Path) -> None:
    """Neither the write key nor its hash is on disk (FAULTS S3)."""
    async with FaultyIngest(always=Reply(status=503)) as ingest:
        async with LuminaClient(config(ingest, tmp_path)) as client:
            await record_turns(client, 5)
            await client.shutdown(0.1)
    assert not any(KEY.encode() in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())


def test_locks_that_do_nothing_are_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system that grants a lock to everybody, or has none, there is no spool (FAULTS D7)."""
    import fcntl

    def none(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    locks: list[Callable[[int, int], None]] = [lambda descriptor, operation: None, none]
    for lock in locks:
        monkeypatch.setattr(fcntl, "flock", lock)
        spool = a_spool(tmp_path)
        assert not spool.writer.keep(lines(0, 1)[0], spill=False)
        assert (spool.writer.state, list(tmp_path.iterdir())) == (SpoolState.FAILING, [])


def test_files_are_named_by_number_and_not_by_time(tmp_path: Path) -> None:
    """A clock that goes back cannot change their order (FAULTS D10)."""
    spool = a_spool(tmp_path)
    for line in lines(0, 5, 600_000):
        spool.writer.keep(line, spill=False)
    assert sorted(file.name for file in tmp_path.glob("*/*.seg")) == [f"{n:08d}.seg" for n in range(1, 6)]
    crash(spool)
    assert all_of(a_spool(tmp_path)) == [a_line(number, 600_000) for number in range(5)]


@pytest.mark.parametrize("value", ["", "a\0b", 7])
def test_what_is_no_folder_is_refused_at_once(value: Any) -> None:
    """A bad `spool_dir` is an error of the configuration."""
    with pytest.raises(ConfigError, match="spool_dir"):
        LuminaConfig(endpoint="https://x.example", write_key=KEY, spool_dir=value)
