"""The page: files read once into memory, so that no path from a request ever reaches the disk (FAULTS C24)."""

import gzip
from collections.abc import Mapping
from pathlib import Path

import attrs
from aiohttp import web

_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}


@attrs.frozen
class Asset:
    """One file."""

    body: bytes
    content_type: str
    packed: bytes | None = None
    """The same in gzip, where that is shorter."""

    def response(self, accepts: str = "") -> web.Response:
        """Return it as an answer; a browser asks again each time, so an upgrade shows at once.

        Args:
            accepts: The `Accept-Encoding` of the request.
        """
        is_packed = self.packed is not None and _takes_gzip(accepts)
        response = web.Response(body=self.packed if is_packed else self.body, content_type=self.content_type)
        if self.content_type.startswith("text/"):
            response.charset = "utf-8"
        response.headers.update({"Cache-Control": "no-cache", "Vary": "Accept-Encoding"})
        if is_packed:
            response.headers["Content-Encoding"] = "gzip"
        return response


def load_assets(folder: Path) -> Mapping[str, Asset]:
    """Return the files directly in a folder by name; links, folders and files of other kinds are left out."""
    files = [path for path in folder.glob("*") if path.suffix in _TYPES and path.is_file() and not path.is_symlink()]
    return {path.name: _asset(path.read_bytes(), _TYPES[path.suffix]) for path in files}


def _asset(body: bytes, content_type: str) -> Asset:
    packed = gzip.compress(body, mtime=0)
    return Asset(body, content_type, packed if len(packed) < len(body) else None)


@attrs.frozen(eq=False)
class Assets:
    """Serves the page and what belongs to it."""

    files: Mapping[str, Asset]

    def named(self, request: web.Request, name: str) -> web.Response:
        """Return a file as the answer to a request, or raise a 404."""
        asset = self.files.get(name)
        if asset is None:
            raise web.HTTPNotFound
        return asset.response(",".join(request.headers.getall("Accept-Encoding", [])))


def _takes_gzip(accepts: str) -> bool:
    for coding in accepts.lower().split(","):
        name, _, weight = coding.partition(";")
        if name.strip() in ("gzip", "x-gzip"):
            # A weight of nothing is a refusal: `q=0`, `q=0.000`.
            return not weight or weight.strip(" \tq=").strip("0.") != ""
    return False
