"""Chromium, and a wire between it and a server that shows every byte the browser sent."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import attrs
from playwright.async_api import Browser, async_playwright

POSTHOG_JS = Path(os.environ.get("LUMINA_POSTHOG_JS", "node_modules/posthog-js/dist/array.full.no-external.js"))
"""The recorder of sessions is inside, so no script is fetched at run time."""
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
QUIET += ["--disable-component-update", "--disable-sync"]


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Debian's Chromium, without a request to anywhere of its own."""
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=QUIET)
        yield running
        await running.close()


@attrs.define
class Wire:
    """What lies between the browser and a server."""

    target: str
    url: str = ""
    sent: bytearray = attrs.field(factory=bytearray)

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either side ends it."""
        server = urlsplit(self.target)
        there, back = await asyncio.open_connection(server.hostname, server.port)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass(reader, back, self.sent))
                both.create_task(self._pass(there, writer, bytearray()))
        except* ConnectionError:
            pass

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: bytearray) -> None:
        try:
            while data := await reader.read(65_536):
                seen += data
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()


@asynccontextmanager
async def wired(target: str) -> AsyncIterator[Wire]:
    """Run a wire to the server at this address; a browser goes to `wire.url`."""
    wire = Wire(target)
    server = await asyncio.start_server(wire.carry, "127.0.0.1", 0)
    wire.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield wire
    finally:
        server.close()
