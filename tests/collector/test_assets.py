"""The page and its files (FAULTS C24)."""

import gzip
from pathlib import Path

import pytest
from aiohttp import ClientSession

from lumina_async.collector import Collector
from lumina_async.collector.assets import Assets, load_assets

from .kit import raw, request

TRAVERSALS = [
    "../serve.py",
    "..%2fserve.py",
    "..%2Fserve.py",
    "%2e%2e/serve.py",
    "%2e%2e%2fserve.py",
    "%252e%252e%252fserve.py",
    "..%5cserve.py",
    "..\\serve.py",
    "....//serve.py",
    "./../serve.py",
    "%2fetc%2fpasswd",
    "/etc/passwd",
    "//etc/passwd",
    "index.html/../../serve.py",
    "index.html%00.css",
    "%00",
    "CON",
    "NUL.css",
    "C:%5cwindows%5cwin.ini",
    "file:%2f%2f%2fetc%2fpasswd",
    "~root",
    ".",
    "..",
    "",
    "%c0%ae%c0%ae%c0%afserve.py",
    "%ff",
]


@pytest.mark.parametrize("path", TRAVERSALS)
async def test_no_path_leaves_the_table(collector: Collector, path: str) -> None:
    """Whatever a path says, only names of the table are served (FAULTS C24)."""
    answer = await raw(collector.port, request(f"GET /static/{path} HTTP/1.1"))
    assert answer.startswith((b"HTTP/1.1 404 ", b"HTTP/1.0 400 ", b"HTTP/1.1 400 "))
    assert b"import" not in answer
    assert b"root:" not in answer


async def test_the_page_is_html_or_a_word_that_it_is_missing(client: ClientSession) -> None:
    """`/` always answers, and never with a type a browser would have to guess."""
    async with client.get("/") as response:
        assert response.status == 200
        assert response.content_type in ("text/html", "text/plain")
        assert response.charset == "utf-8"


def test_files_are_served_by_kind_and_name(tmp_path: Path) -> None:
    """Each kind of file has its content type; a browser asks again each time, so an upgrade shows."""
    (tmp_path / "app.js").write_text("1")
    (tmp_path / "app.css").write_text("2")
    (tmp_path / "mark.svg").write_text("3")
    files = load_assets(tmp_path)
    types = {name: files[name].response().content_type for name in files}
    assert types == {"app.js": "text/javascript", "app.css": "text/css", "mark.svg": "image/svg+xml"}
    assert files["app.js"].response().headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    ("accepts", "is_packed"),
    [
        ("gzip, deflate, br, zstd", True),
        ("GZIP", True),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", True),
        ("x-gzip", True),
        ("gzip ; q = 0.001", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("br, gzip;q=0.000, deflate", False),
        ("gzipped, notgzip", False),
    ],
)
async def test_who_takes_gzip_gets_it(collector: Collector, accepts: str, is_packed: bool) -> None:
    """The page is packed once and sent so to whoever takes it, and as it is to whoever does not."""
    for path in ("/", "/static/app.js"):
        answer = await raw(collector.port, request(f"GET {path} HTTP/1.1", f"Accept-Encoding: {accepts}"))
        head, body = answer.split(b"\r\n\r\n", 1)
        assert (b"Content-Encoding: gzip" in head, b"Vary: Accept-Encoding" in head) == (is_packed, True)
        assert f"Content-Length: {len(body)}".encode() in head
        plain = await raw(collector.port, request(f"GET {path} HTTP/1.1"))
        assert (gzip.decompress(body) if is_packed else body) == plain.split(b"\r\n\r\n", 1)[1]


def test_what_gzip_would_make_longer_stays_plain(tmp_path: Path) -> None:
    """A file of a few bytes is sent as it is."""
    (tmp_path / "app.js").write_text("1")
    assert load_assets(tmp_path)["app.js"].response("gzip").headers.get("Content-Encoding") is None


def test_links_and_other_kinds_are_left_out(tmp_path: Path) -> None:
    """Neither a link out of the folder, nor a folder, nor an unknown kind gets into the table (FAULTS C24)."""
    (tmp_path / "notes.py").write_text("secret")
    (tmp_path / "link.js").symlink_to(tmp_path / "notes.py")
    (tmp_path / "folder.js").mkdir()
    assert Assets(load_assets(tmp_path)).files == {}
