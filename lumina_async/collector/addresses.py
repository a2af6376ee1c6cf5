"""Where a request comes from, and by which names it may ask for this collector."""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Self

import attrs
from aiohttp import web

from lumina_async.collector.errors import StartError

_HOST = re.compile(r"([^:\[\]]+|\[[0-9a-f:.]+\])(?::\d{1,5})?", re.ASCII | re.IGNORECASE)
_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", re.ASCII)
_LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]"})


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text.strip())
    except ValueError:
        return None


def _checked(names: Iterable[str]) -> frozenset[str]:
    lowered = frozenset(name.lower() for name in names)
    for name in lowered:
        address = _address(name.strip("[]"))
        is_ipv6 = isinstance(address, IPv6Address)
        if not (_NAME.fullmatch(name) or (is_ipv6 and name.startswith("["))):
            raise StartError(f"{name!r} is no host name: give it without scheme and port, like lumina.example.com.")
    return _LOCAL | lowered


@attrs.frozen
class Hosts:
    """The names by which a collector may be asked for; those of this machine itself are always among them.

    A site whose name its owner makes point here still sends that name (FAULTS C22).

    Raises:
        StartError: A name is none.
    """

    names: frozenset[str] = attrs.field(factory=frozenset[str], converter=_checked)

    def __contains__(self, host: str) -> bool:
        """Return whether this `Host` is one of the names, whatever the port."""
        match = _HOST.fullmatch(host)
        return match is not None and match[1].lower() in self.names


@attrs.frozen
class Proxies:
    """The reverse proxies in front, whose word about the address of a sender is believed."""

    networks: frozenset[IPv4Network | IPv6Network] = frozenset()

    @classmethod
    def of(cls, texts: Iterable[str]) -> Self:
        """Return the proxies with these addresses or networks; raises `StartError` where one is none."""
        try:
            return cls(frozenset(ip_network(text) for text in texts))
        except ValueError as error:
            raise StartError(f"No address or network of a proxy: {error}.") from None

    def source_of(self, request: web.Request) -> str:
        """Return the address a request comes from: the nearest that is none of the proxies."""
        source = request.remote or "unknown"
        for hop in reversed(",".join(request.headers.getall("X-Forwarded-For", [])).split(",")):
            address = _address(source)
            if address is None or not any(address in network for network in self.networks) or not _address(hop):
                return source
            source = str(_address(hop))
        return source
