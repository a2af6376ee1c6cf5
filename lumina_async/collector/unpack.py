"""Bodies as they were before compression, in bounded memory, whatever the sender packed into them."""

import zlib
from collections.abc import Iterator
from importlib import import_module
from typing import Any

_GZIP = 16 + zlib.MAX_WBITS
_STEP_BYTES = 256 * 1024
# Of what a zstd stream may ask to be kept of its past: 8 MiB; no level below the ultra ones needs more.
_WINDOW_LOG = 23


class DamagedError(Exception):
    """A stream that is cut or corrupt, or that other bytes follow. The word says which."""


def _zstd_module() -> Any:
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return import_module(name)
        except ImportError:
            continue
    return None


_zstd = _zstd_module()
ENCODINGS = ("gzip", "identity") if _zstd is None else ("gzip", "zstd", "identity")
"""What a body may come in."""
_ERRORS: tuple[type[Exception], ...] = (zlib.error,) if _zstd is None else (zlib.error, _zstd.ZstdError)


def pieces(body: bytes, encoding: str) -> Iterator[bytes]:
    """Yield what was compressed, in pieces of at most 256 KiB, and only then tell of damage.

    Args:
        body: One stream: one gzip member or one zstd frame.
        encoding: One of `ENCODINGS` but `identity`.

    Raises:
        DamagedError: The stream is cut or corrupt.
    """
    is_gzip = encoding == "gzip"
    stream: Any = zlib.decompressobj(_GZIP) if is_gzip else _zstd_stream()
    try:
        yield from _gzip_pieces(stream, body) if is_gzip else _zstd_pieces(stream, body)
    except _ERRORS:
        raise DamagedError("corrupt") from None
    if not stream.eof:
        raise DamagedError("cut")
    if stream.unused_data:
        raise DamagedError("corrupt")


def _gzip_pieces(stream: Any, body: bytes) -> Iterator[bytes]:
    # Input that is used up can still have output waiting inside the stream: an empty piece is its end.
    while not stream.eof and (piece := stream.decompress(body, _STEP_BYTES)):
        yield piece
        body = stream.unconsumed_tail


def _zstd_stream() -> Any:
    return _zstd.ZstdDecompressor(options={_zstd.DecompressionParameter.window_log_max: _WINDOW_LOG})


def _zstd_pieces(stream: Any, body: bytes) -> Iterator[bytes]:
    while not stream.eof:
        yield stream.decompress(body, _STEP_BYTES)
        body = b""
        if stream.needs_input:
            break
