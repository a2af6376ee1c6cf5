"""Who may do what at a collector."""

import logging
from collections.abc import Sequence

import attrs
from aiohttp import web

from lumina_async.collector.addresses import Hosts, Proxies
from lumina_async.collector.errors import ProblemError
from lumina_async.collector.failures import Failures
from lumina_async.collector.keyring import AnyKey, Writer, Writers
from lumina_async.collector.page_access import PageAccess

logger = logging.getLogger("lumina_async.collector")


@attrs.frozen(kw_only=True, eq=False)
class Access:
    """Who may do what; as it stands that of `lumina dev`, where everybody on this machine may do everything.

    Args:
        writers: Who may send events.
        page: Who may look at them; None asks for nothing.
        hosts: By which names the collector may be asked for.
        proxies: Whose word about the address of a sender is believed.
    """

    writers: Writers = attrs.field(factory=AnyKey)
    page: PageAccess | None = None
    hosts: Hosts = attrs.field(factory=Hosts)
    proxies: Proxies = attrs.field(factory=Proxies)
    _failures: Failures = attrs.field(init=False, factory=Failures)

    @property
    def is_open(self) -> bool:
        """Whether anybody may write or look who reaches the port."""
        return self.page is None or isinstance(self.writers, AnyKey)

    def writer(self, request: web.Request) -> Writer:
        """Return who sends this request; 401 in the same words whatever is wrong with the key (FAULTS C1)."""
        presented: Sequence[str] = request.headers.getall("X-Api-Key", [])
        writer = self.writers.find(presented)
        if writer is None:
            address = self.proxies.source_of(request)
            if times := self._failures.add(address):
                logger.warning("Refused a write key from %s (%d since the last such line)", address, times)
            raise ProblemError(401, "bad_key", "Send one X-Api-Key header with a write key.", close=True)
        return writer
