"""Signals, and real servers that are told to stop under load: what was answered is stored, and no handler is ours."""

import asyncio
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from support import KEY

from lumina_async.testing import FaultyIngest, until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")

APP = """
import asyncio
import os
import signal
from contextlib import asynccontextmanager

from fastapi import FastAPI

from lumina_async import Lumina


def handlers():
    return [signal.getsignal(number) for number in sorted(signal.valid_signals())]


@asynccontextmanager
async def lifespan(app):
    before = handlers()
    await Lumina.init(endpoint=os.environ["INGEST"], write_key=os.environ["KEY"], flush_interval_ms=60_000)
    async with (await Lumina.session.start()).turn():
        pass
    assert await Lumina.flush()
    print("handlers", "unchanged" if before == handlers() else "changed", flush=True)
    yield
    await Lumina.shutdown()
    stats = await Lumina.stats()
    print("lost", stats.lost_total, "waiting", stats.waiting, flush=True)


app = FastAPI(lifespan=lifespan)


@app.get("/chat/{number}")
async def chat(number: int, seconds: float = 0.01):
    async with (await Lumina.session.start()).turn() as t:
        await t.annotate(number=number)
        await t.wrap_llm(lambda: asyncio.sleep(seconds))
    return {}
"""

UVICORN = ["-m", "uvicorn", "app:app", "--port", "0"]
GUNICORN = [
    "-m",
    "gunicorn",
    "app:app",
    "-k",
    "uvicorn_worker.UvicornWorker",
    "--bind",
    "127.0.0.1:0",
    "--workers",
    "2",
]


class Server:
    """A server process, and what it has printed."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.output = ""
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while chunk := await self.process.stdout.read(4096):
            self.output += chunk.decode()

    async def url(self) -> str:
        found: list[str] = []
        await until(lambda: found.extend(re.findall(r"http://127\.0\.0\.1:\d+", self.output)) or found, 20)
        return found[0]

    async def end(self) -> int:
        async with asyncio.timeout(20):
            await self._reader
            return await self.process.wait()


@asynccontextmanager
async def serving(folder: Path, ingest: FaultyIngest, *command: str) -> AsyncIterator[Server]:
    (folder / "app.py").write_text(APP)
    environment = {"INGEST": ingest.url, "KEY": KEY, "PYTHONPATH": ":".join([str(folder), *sys.path])}
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=folder, env=environment, stdout=PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        yield Server(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def chat(url: str, answered: list[int]) -> None:
    """Talk until the server is gone; write down what was answered."""
    async with aiohttp.ClientSession() as http:
        number = 0
        while True:
            number += 1
            try:
                async with http.get(f"{url}/chat/{number}") as response:
                    if response.status != 200:
                        return
            except aiohttp.ClientError:
                return
            answered.append(number)


def statuses(ingest: FaultyIngest, number: int) -> list[str]:
    turns = [event for event in ingest.events if event["name"] == "turn"]
    return [turn["status"] for turn in turns if turn.get("annotations", {}).get("number") == number]


# SIGINT is gunicorn's quick end, which waits for no worker.
@pytest.mark.parametrize(
    ("command", "number"),
    [
        pytest.param(UVICORN, signal.SIGTERM, id="uvicorn-SIGTERM"),
        pytest.param(UVICORN, signal.SIGINT, id="uvicorn-SIGINT"),
        pytest.param([*GUNICORN, "--graceful-timeout", "5"], signal.SIGTERM, id="gunicorn-SIGTERM"),
    ],
)
async def test_a_server_that_is_stopped_under_load_stores_all_it_answered(
    command: list[str], number: signal.Signals, tmp_path: Path
) -> None:
    """SIGTERM and SIGINT under load: every answered turn is stored once, and no signal handler is ours (FAULTS Q20)."""
    async with FaultyIngest() as ingest, serving(tmp_path, ingest, *command) as server:
        url = await server.url()
        answered: list[int] = []
        visitors = [asyncio.create_task(chat(url, answered)) for _ in range(8)]
        await until(lambda: len(answered) > 100, 20)
        server.process.send_signal(number)
        await asyncio.gather(*visitors)
        await server.end()
        numbers = [event.get("annotations", {}).get("number") for event in ingest.events if event["name"] == "turn"]
        assert all(numbers.count(number) >= answered.count(number) for number in answered)
        assert ingest.duplicates == 0
    workers = 2 if command is not UVICORN else 1
    assert server.output.count("handlers unchanged") == workers
    assert server.output.count("lost 0 waiting 0") == workers, server.output


async def test_a_stuck_handler_is_cancelled_and_its_turn_stored(tmp_path: Path) -> None:
    """With --timeout-graceful-shutdown a handler that hangs is stored as cancelled (FAULTS Q20)."""
    command = [*UVICORN, "--timeout-graceful-shutdown", "1"]
    async with FaultyIngest() as ingest, serving(tmp_path, ingest, *command) as server, aiohttp.ClientSession() as http:
        url = await server.url()
        stuck = asyncio.create_task(http.get(f"{url}/chat/1?seconds=60"))
        async with http.get(f"{url}/chat/2") as response:
            assert response.status == 200
        server.process.send_signal(signal.SIGTERM)
        await server.end()
        await asyncio.wait({stuck})
        assert stuck.exception() is not None or stuck.result().status == 500
        assert (statuses(ingest, 1), statuses(ingest, 2)) == (["cancelled"], ["ok"])
    assert "lost 0 waiting 0" in server.output


async def test_a_second_sigint_ends_at_once_and_tells_what_is_lost(tmp_path: Path) -> None:
    """Forced to exit, the server runs no lifespan: one line names the number of events never sent (FAULTS Q20)."""
    async with (
        FaultyIngest() as ingest,
        serving(tmp_path, ingest, *UVICORN) as server,
        aiohttp.ClientSession() as http,
    ):
        url = await server.url()
        stuck = asyncio.create_task(http.get(f"{url}/chat/1?seconds=60"))
        async with http.get(f"{url}/chat/2") as response:
            assert response.status == 200
        server.process.send_signal(signal.SIGINT)
        await until(lambda: "Waiting for connections to close" in server.output)
        server.process.send_signal(signal.SIGINT)
        await server.end()
        await asyncio.wait({stuck})
        stuck.exception()
    # Two turns, and the beginning of a session for each.
    assert "4 events were never sent" in server.output
    assert "lost 0" not in server.output


SCRIPT = """
import asyncio
import os
from lumina_async import Lumina

async def main():
    await Lumina.init(endpoint=os.environ["INGEST"], write_key=os.environ["KEY"], flush_interval_ms=60_000)
    session = await Lumina.session.start()
    for count in (10, 5):
        for _ in range(count):
            async with session.turn():
                pass
        if count == 10:
            assert await Lumina.flush()
    print("http://127.0.0.1:1", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_script_that_is_terminated_loses_what_was_not_sent_yet(tmp_path: Path) -> None:
    """SIGTERM without a handler ends Python at once: what was flushed is stored, the unsent is lost (FAULTS Q21)."""
    async with FaultyIngest() as ingest, serving(tmp_path, ingest, "-c", SCRIPT) as server:
        await server.url()
        server.process.send_signal(signal.SIGTERM)
        assert await server.end() == -signal.SIGTERM
        assert len(ingest.events) == 11
