"""Requests that two programs on one way could read differently (FAULTS C27)."""

import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import ClientSession
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy

from lumina_async.collector import Collector

from .kit import event, items, lines, raw
from .served import Served

BODY = lines(event(event_id="0197abcd-0000-7000-8000-000000000001"))
HIDDEN = b"GET /api/export HTTP/1.1\r\nHost: localhost\r\n\r\n"
START = b"POST /v1/ingest HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: gi_test\r\nContent-Type: text/plain\r\n"


ONE = b"%x\r\n%b\r\n" % (len(BODY), BODY)
END = b"0\r\n\r\n"
TE = b"Transfer-Encoding: chunked\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(BODY)

# What follows START; each ends with a request that must not be answered as one of its own.
CORPUS = {
    "length and chunks": TE + LENGTH + b"\r\n" + ONE + END,
    "chunks and length": LENGTH + TE + b"\r\n" + ONE + END,
    "two lengths": LENGTH + b"Content-Length: 0\r\n\r\n" + BODY,
    "two equal lengths": LENGTH + LENGTH + b"\r\n" + BODY,
    "a list of lengths": b"Content-Length: %d, %d\r\n\r\n" % (len(BODY), len(BODY)) + BODY,
    "a length with a sign": b"Content-Length: +%d\r\n\r\n" % len(BODY) + BODY,
    "a negative length": b"Content-Length: -1\r\n\r\n" + BODY,
    "a length in hex": b"Content-Length: 0x%x\r\n\r\n" % len(BODY) + BODY,
    "a length with a digit group": b"Content-Length: 1_0\r\n\r\n" + BODY,
    "a length with a space inside": b"Content-Length: 1 0\r\n\r\n" + BODY,
    "a length in other digits": "Content-Length: \u0661\u0660\r\n\r\n".encode() + BODY,
    "an empty length": b"Content-Length:\r\n\r\n" + BODY,
    "a length beyond 64 bits": b"Content-Length: 18446744073709551617\r\n\r\n" + BODY,
    "a space before the colon": b"Content-Length : %d\r\n\r\n" % len(BODY) + BODY,
    "a tab before the colon": b"Transfer-Encoding\t: chunked\r\n\r\n" + ONE + END,
    "an unknown coding": b"Transfer-Encoding: xchunked\r\n\r\n" + ONE + END,
    "chunked and identity": b"Transfer-Encoding: chunked, identity\r\n\r\n" + ONE + END,
    "chunked twice": b"Transfer-Encoding: chunked, chunked\r\n\r\n" + ONE + END,
    "two codings": TE + b"Transfer-Encoding: identity\r\n\r\n" + ONE + END,
    "a coding with a vertical tab": b"Transfer-Encoding: \x0bchunked\r\n\r\n" + ONE + END,
    "a quoted coding": b'Transfer-Encoding: "chunked"\r\n\r\n' + ONE + END,
    "a folded header": b"X-A: b\r\n c\r\n" + LENGTH + b"\r\n" + BODY,
    "a folded coding": b"Transfer-Encoding:\r\n chunked\r\n\r\n" + ONE + END,
    "a header without a colon": b"X-A\r\n" + LENGTH + b"\r\n" + BODY,
    "a header without a name": b": x\r\n" + LENGTH + b"\r\n" + BODY,
    "a space before a header": b" X-A: b\r\n" + LENGTH + b"\r\n" + BODY,
    "a NUL in a header": b"X-A: \0\r\n" + LENGTH + b"\r\n" + BODY,
    "a NUL in a name": b"X\0A: b\r\n" + LENGTH + b"\r\n" + BODY,
    "a bare CR in a header": b"X-A: b\rContent-Length: 0\r\n" + LENGTH + b"\r\n" + BODY,
    "a bare LF after a header": b"X-A: b\n" + LENGTH + b"\r\n" + BODY,
    "a bare LF after the headers": LENGTH + b"\n" + BODY,
    "a chunk size with 0x": TE + b"\r\n0x" + ONE + END,
    "a negative chunk size": TE + b"\r\n-1\r\n" + BODY + END,
    "a chunk size with a sign": TE + b"\r\n+" + ONE + END,
    "a chunk size with a space": TE + b"\r\n " + ONE + END,
    "an empty chunk size": TE + b"\r\n\r\n" + BODY + END,
    "a chunk size beyond 64 bits": TE + b"\r\n10000000000000001\r\nx\r\n" + END,
    "no line end after a chunk": TE + b"\r\n%x\r\n%b" % (len(BODY), BODY) + END,
    "a chunk longer than its size": TE + b"\r\n3\r\n" + BODY + b"\r\n" + END,
    "a bare LF after a chunk size": TE + b"\r\n%x\n%b\r\n" % (len(BODY), BODY) + END,
    "a bare LF after a chunk": TE + b"\r\n%x\r\n%b\n" % (len(BODY), BODY) + END,
    "a bare LF in a chunk extension": TE + b"\r\n%x;a\nb\r\n%b\r\n" % (len(BODY), BODY) + END,
}
STARTS = {
    "a bare LF after the request line": b"POST /v1/ingest HTTP/1.1\nHost: localhost\r\n\r\n",
    "HTTP/9.9": b"GET /healthz HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "HTTP/0.9": b"GET /healthz\r\n\r\n",
    "a tab": b"GET\t/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a space in the path": b"GET /health z HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a NUL in the path": b"GET /healthz\0 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a method with a colon": b"GE:T /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("name", CORPUS)
async def test_an_ambiguous_body_is_refused(collector: Collector, client: ClientSession, name: str) -> None:
    """400, nothing stored, and what follows on the connection is never answered (FAULTS C27)."""
    answer = await raw(collector.port, START + CORPUS[name] + HIDDEN)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 ")), answer
    assert answer.count(b"HTTP/1.") == 1
    assert b"x-ndjson" not in answer
    assert await items(client, "/api/events") == []


@pytest.mark.parametrize("name", STARTS)
async def test_an_odd_request_line_is_refused(collector: Collector, name: str) -> None:
    """400, and the connection ends (FAULTS C27)."""
    answer = await raw(collector.port, STARTS[name] + HIDDEN)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 ")), answer
    assert answer.count(b"HTTP/1.") == 1


async def test_what_is_unusual_and_clear_passes(collector: Collector, client: ClientSession) -> None:
    """Chunks with an extension, any case and a trailer are stored once: the corpus does not pass for lack of sense."""
    head = START + b"Connection: close\r\ntransfer-ENCODING: Chunked\r\n\r\n"
    chunks = b"%x;a=b\r\n%b\r\n0\r\nX-Trailer: 1\r\n\r\n" % (len(BODY), BODY)
    assert b'"accepted":1' in await raw(collector.port, head + chunks)
    assert len(await items(client, "/api/events")) == 1


async def test_a_refused_sender_cannot_hide_a_request_in_its_body(server: Served) -> None:
    """A 401 before the body was read ends the connection: the body is never taken for a request (FAULTS C27)."""
    start = b"POST /v1/ingest HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: x\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN)
    answer = await raw(server.collector.port, start + HIDDEN)
    assert (answer.split(b" ", 2)[1], answer.count(b"HTTP/1.")) == (b"401", 1)


def test_the_compiled_parser_is_here() -> None:
    """All of this was seen with the parser that is checked at start (FAULTS C27)."""
    assert HttpRequestParser is not HttpRequestParserPy


def test_without_the_compiled_parser_others_are_not_served(tmp_path: Path) -> None:
    """`lumina collector` refuses to start, `lumina dev` warns (FAULTS C27)."""
    code = (
        "import asyncio, pathlib, sys; sys.path.insert(0, 'tests')\n"
        "from lumina_async.collector import Collector\nfrom collector.served import served\n"
        "async def main():\n"
        "    async with Collector(db=':memory:', port=0): print('dev serves')\n"
        "    async with served(pathlib.Path(sys.argv[1])): print('served')\n"
        "asyncio.run(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env={"AIOHTTP_NO_EXTENSIONS": "1", "PYTHONPATH": ":".join(sys.path)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "dev serves\n"
    assert "StartError: aiohttp has no compiled parser here" in done.stderr
    assert "Do not serve others with it" in done.stderr
