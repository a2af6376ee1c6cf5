"""The page: files read once into memory, so that no path from a request ever reaches the disk (FAULTS C24)."""

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
_PLACEHOLDER = b"The collector runs. Its page is not part of this build; the data is under /api/sessions.\n"


@attrs.frozen
class Asset:
    """One file."""

    body: bytes
    content_type: str

    def response(self) -> web.Response:
        """Return it as an answer; a browser asks again each time, so an upgrade shows at once."""
        response = web.Response(body=self.body, content_type=self.content_type)
        if self.content_type.startswith("text/"):
            response.charset = "utf-8"
        response.headers["Cache-Control"] = "no-cache"
        return response


def load_assets(folder: Path) -> Mapping[str, Asset]:
    """Return the files directly in a folder by name; links, folders and files of other kinds are left out."""
    files = [path for path in folder.glob("*") if path.suffix in _TYPES and path.is_file() and not path.is_symlink()]
    return {path.name: Asset(path.read_bytes(), _TYPES[path.suffix]) for path in files}


@attrs.frozen(eq=False)
class Assets:
    """Serves the page and what belongs to it."""

    files: Mapping[str, Asset]

    async def page(self, request: web.Request) -> web.Response:
        """Answer `GET /`."""
        del request
        return self.files.get("index.html", Asset(_PLACEHOLDER, "text/plain")).response()

    async def file(self, request: web.Request) -> web.Response:
        """Answer `GET /static/{name}`."""
        asset = self.files.get(request.match_info["name"])
        if asset is None:
            raise web.HTTPNotFound
        return asset.response()
