"""Whether the endpoint can be reached: its name, its port and its TLS."""

import socket
import ssl
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import anyio
import anyio.abc

from lumina_async._config import LuminaConfig

_PORTS = {"http": 80, "https": 443}


async def reach(config: LuminaConfig) -> tuple[bool, str]:
    """Connect to the endpoint, by TLS where it is https.

    Returns:
        Whether that worked, and a sentence that says what was found and what to do.
    """
    url = urlsplit(config.endpoint)
    host = url.hostname or ""
    has_proxy = url.scheme in getproxies() and not proxy_bypass(host)
    if has_proxy and config.trust_env:
        return True, "Requests go through the proxy of the environment; the ping shows whether it lets them pass."
    is_reached, sentence = await _tried(host, url.port or _PORTS[url.scheme], url.scheme == "https", config)
    hint = " The proxy that this shell sets is used with LUMINA_TRUST_ENV=1 only." if has_proxy else ""
    return is_reached, sentence if is_reached else sentence + hint


async def _tried(host: str, port: int, is_tls: bool, config: LuminaConfig) -> tuple[bool, str]:
    context = (config.ssl or ssl.create_default_context()) if is_tls else None
    try:
        with anyio.fail_after(config.request_timeout_ms / 1000):
            address = await _connect(host, port, context)
    # OSError: of the name, the connection or TLS; UnicodeError: a name that DNS cannot hold; the rest: TLS cut short.
    except (OSError, UnicodeError, anyio.BrokenResourceError, anyio.EndOfStream) as error:
        return False, _trouble(error, host, port, config)
    return True, f"{host} answers at {address}, port {port}{', and its certificate is trusted' if is_tls else ''}."


async def _connect(host: str, port: int, context: ssl.SSLContext | None) -> str:
    """Connect, let go again, and return the address of the other end."""
    stream: anyio.abc.ByteStream
    if context is None:
        stream = await anyio.connect_tcp(host, port)
    else:
        stream = await anyio.connect_tcp(host, port, ssl_context=context, tls_standard_compatible=False)
    async with stream:
        address = stream.extra(anyio.abc.SocketAttribute.remote_address)  # noqa: S610  (no Django here)
        return str(address[0])


def _trouble(error: Exception, host: str, port: int, config: LuminaConfig) -> str:
    # In this order: the first kinds are OSErrors too.
    where = f"{host}, port {port}"
    if isinstance(error, socket.gaierror | UnicodeError):
        return f"The name {host} does not resolve: check the host in the endpoint, and the DNS of this machine."
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"The certificate of {host} is not trusted ({error.verify_message}): check the host and this machine's "
            "clock; for an authority of your own set SSL_CERT_FILE, or pass ssl=... to init."
        )
    if isinstance(error, ssl.SSLError | anyio.BrokenResourceError | anyio.EndOfStream):
        return f"{where} answers, but not by TLS: check the port, and whether the endpoint should be http://."
    if isinstance(error, TimeoutError):
        return f"No answer from {where} within {config.request_timeout_ms:,} ms: a firewall may be in the way."
    return f"Nothing answers at {where}: check that the server runs, and the port."
