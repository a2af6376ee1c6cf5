"""A collector in its server form, with keys in a file, for tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
from aiohttp import ClientSession

from lumina_async.collector import Collector
from lumina_async.collector.access import Access
from lumina_async.collector.addresses import Hosts, Proxies
from lumina_async.collector.keyring import Keyring
from lumina_async.collector.keys import KeyFile
from lumina_async.collector.page_access import PageAccess

TOKEN = "page_token_canary_93c1"
ACTION = {"X-Lumina-Action": "test"}


class Clock:
    """A clock that a test sets."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@attrs.define
class Served:
    """A collector, its file of keys, and one key for each of two projects."""

    collector: Collector
    file: KeyFile
    shop: str
    web: str
    clock: Clock

    def sender(self, key: str) -> ClientSession:
        """Return a client that sends with a key."""
        return ClientSession(self.collector.url, headers={"X-Api-Key": key})

    def reader(self) -> ClientSession:
        """Return a client that knows the page token."""
        return ClientSession(self.collector.url, headers={"Authorization": f"Bearer {TOKEN}"})


@asynccontextmanager
async def served(folder: Path, *, token: str = TOKEN, **options: Any) -> AsyncIterator[Served]:
    """Serve on every address of this machine, as behind the name `lumina.example`, with a clock that is set by hand."""
    clock = Clock()
    file = KeyFile(folder / "lumina.db")
    secrets = [file.create(project)[1] for project in ("shop", "web")]
    keyring = Keyring(file, clock=clock)
    keyring.open()
    page = PageAccess(token, options.pop("proxies", Proxies()), clock)
    page.failures.clock = clock
    access = Access(writers=keyring, page=page, hosts=Hosts(["lumina.example"]), proxies=page.proxies)
    async with Collector(db=file.database, host="0.0.0.0", port=0, access=access, **options) as collector:  # noqa: S104
        yield Served(collector, file, *secrets, clock)
