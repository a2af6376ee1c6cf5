"""How a body is made smaller before it is sent."""

import gzip
from collections.abc import Callable
from functools import partial
from importlib import import_module

Compress = Callable[[bytes], bytes]


def compressor(name: str) -> Compress | None:
    """Return what compresses a body to this `Content-Encoding`; None where that needs a module that is not there.

    Args:
        name: `gzip` or `zstd`.
    """
    return _gzip if name == "gzip" else _zstd()


def _gzip(data: bytes) -> bytes:
    return gzip.compress(data, compresslevel=1, mtime=0)


def _zstd() -> Compress | None:
    # In the standard library from Python 3.14; the extra `zstd` brings the same module to those before.
    for module in ("compression.zstd", "backports.zstd"):
        try:
            zstd = import_module(module)
        except ImportError:
            continue
        # Without a checksum, which gzip always has, damage on the way could go unseen.
        return partial(zstd.compress, options={zstd.CompressionParameter.checksum_flag: 1})
    return None
