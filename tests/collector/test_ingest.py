"""The write side over HTTP (FAULTS C1, C3-C6, C8, C9, C33)."""

import asyncio
import gzip
import random
from collections.abc import AsyncIterator

import orjson
import pytest
from aiohttp import ClientSession

from lumina_async.collector import Collector
from lumina_async.collector.decode import Limits

from .kit import NDJSON, event, event_id, get, items, lines, post, post_gzip, raw, request, send, turn


@pytest.mark.parametrize("path", ["/v1/ingest", "/collect/sdk/events"])
async def test_both_documented_paths_take_a_batch(client: ClientSession, path: str) -> None:
    """A batch sent to either path is stored and answered with its counts (FAULTS C33)."""
    status, answer = await post(client, lines(turn(), turn(), event("ping")), path)
    assert (status, answer) == (200, {"accepted": 3, "duplicates": 0, "rejected": []})
    assert len(await items(client, "/api/events")) == 3


async def test_a_compressed_batch_with_its_count_is_stored(client: ClientSession) -> None:
    """What the SDK sends, gzip and a count, is accepted."""
    status, answer = await post_gzip(client, gzip.compress(lines(turn(), turn())), X_Lumina_Count="2")
    assert (status, answer["accepted"]) == (200, 2)


async def test_the_same_batch_again_is_all_duplicates(client: ClientSession) -> None:
    """A retry of a batch that was stored changes nothing (FAULTS C8)."""
    body = lines(turn(), turn())
    await post(client, body)
    _, answer = await post(client, body)
    assert (answer["accepted"], answer["duplicates"]) == (0, 2)
    assert len(await items(client, "/api/events")) == 2


async def test_a_retry_storm_leaves_one_row_each(client: ClientSession) -> None:
    """Each batch five times, shuffled and at once, is stored once and counted once (FAULTS C9)."""
    batches = [lines(*[turn(session_id=f"s{number}") for _ in range(10)]) for number in range(10)] * 5
    random.Random(7).shuffle(batches)
    answers = [answer for _, answer in await asyncio.gather(*[post(client, body) for body in batches])]
    assert sum(answer["accepted"] for answer in answers) == 100
    assert sum(answer["duplicates"] for answer in answers) == 400
    assert [session["turns"] for session in await items(client, "/api/sessions")] == [10] * 10


async def test_one_id_twice_in_a_batch_is_one_event(client: ClientSession) -> None:
    """Within one batch the first of an id stands too (FAULTS C8)."""
    first = turn("first")
    answer = await send(client, first, {**first, "status": "error"})
    assert (answer["accepted"], answer["duplicates"]) == (1, 1)


async def test_another_body_under_a_known_id_is_a_conflict(client: ClientSession) -> None:
    """The first body of an id wins, and the other is counted (FAULTS C8)."""
    first = turn(status="ok")
    await send(client, first)
    await send(client, {**first, "status": "error"})
    _, totals = await get(client, "/api/stats")
    assert (totals["duplicates"], totals["conflicts"], totals["errors"]) == (1, 1, 0)
    (stored,) = await items(client, "/api/events")
    assert stored["status"] == "ok"


async def test_rejected_lines_are_named_and_the_rest_is_stored(client: ClientSession) -> None:
    """The answer is 200 with a rejection per bad line, also when no line is good (FAULTS C6)."""
    bad = event(v=2)
    status, answer = await post(client, lines(turn()) + b"nope\n" + lines(bad))
    assert (status, answer["accepted"]) == (200, 1)
    named = [(line["line"], line["event_id"], line["code"]) for line in answer["rejected"]]
    assert named == [(2, None, "bad_json"), (3, bad["event_id"], "unsupported_version")]
    status, answer = await post(client, b"nope\n[]\n")
    assert (status, answer["accepted"], len(answer["rejected"])) == (200, 0, 2)


async def test_the_documented_ping_is_accepted(client: ClientSession) -> None:
    """The troubleshooting request of the original's manual works as it stands there (SPEC 10)."""
    status, answer = await post(client, b'{"source":"test","name":"ping"}', "/collect/sdk/events")
    assert (status, answer["accepted"]) == (200, 1)
    (stored,) = await items(client, "/api/events", name="ping")
    assert stored["source"] == "test"


async def test_an_empty_body_is_an_empty_batch(client: ClientSession) -> None:
    """Nothing sent is nothing stored, and no error."""
    assert await post(client, b"") == (200, {"accepted": 0, "duplicates": 0, "rejected": []})


@pytest.mark.parametrize("count", ["1", "3", "999999999"])
async def test_a_count_that_does_not_match_makes_the_sender_try_again(client: ClientSession, count: str) -> None:
    """A plain body that was cut between two lines is noticed by its count (FAULTS trap 4)."""
    status, answer = await post(client, lines(turn(), turn()), X_Lumina_Count=count)
    assert (status, answer["error"]["code"]) == (408, "count_mismatch")
    assert await items(client, "/api/events") == []


async def test_rejected_lines_count_as_events_of_the_body(client: ClientSession) -> None:
    """The count is of what was sent, good or bad, so a bad line does not make a batch go round for ever."""
    status, _ = await post(client, lines(turn()) + b"nope\n", X_Lumina_Count="2")
    assert status == 200


@pytest.mark.parametrize("count", ["", "-1", "two", "1.0", "1" * 20, "²"])
async def test_a_count_that_is_no_number_is_refused(collector: Collector, count: str) -> None:
    """An odd count is a fault of the sender (FAULTS C32)."""
    head = ["X-Api-Key: k", "Content-Type: text/plain", "Content-Length: 0", f"X-Lumina-Count: {count}"]
    answer = await raw(collector.port, request("POST /v1/ingest HTTP/1.1", *head))
    assert answer.startswith(b"HTTP/1.1 400 ")


async def test_no_cut_of_a_gzip_body_is_answered_with_success(client: ClientSession) -> None:
    """Every prefix of a compressed batch gets 408 and stores nothing (FAULTS C4)."""
    packed = gzip.compress(lines(turn()))
    statuses = {(await post_gzip(client, packed[:length]))[0] for length in range(len(packed))}
    assert statuses == {408}
    assert await items(client, "/api/events") == []


async def test_a_bomb_is_refused_and_nothing_stored(client: ClientSession) -> None:
    """200 MB of events in 200 kB get 413 that names the limit (FAULTS C4)."""
    packed = gzip.compress(lines(turn()) + b"\0" * 200_000_000, 9)
    status, answer = await post_gzip(client, packed)
    assert (status, answer["error"]["code"]) == (413, "too_large")
    assert answer["error"]["limit"] == Limits().unpacked_bytes
    assert await items(client, "/api/events") == []


@pytest.fixture
async def small() -> AsyncIterator[Collector]:
    async with Collector(db=":memory:", port=0, limits=Limits(body_bytes=2000, lines=5)) as running:
        yield running


HEAD = ("X-Api-Key: k", f"Content-Type: {NDJSON}")


async def test_a_body_beyond_the_limit_by_length_is_refused_unread(small: Collector) -> None:
    """The length alone is enough for 413, and the connection ends (FAULTS C3)."""
    answer = await raw(small.port, request("POST /v1/ingest HTTP/1.1", *HEAD, "Content-Length: 2001"))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"Connection: close" in answer
    assert b'"limit":2000' in answer


async def test_a_body_beyond_the_limit_by_chunks_is_refused(small: Collector) -> None:
    """A body without a length is counted as it comes (FAULTS C3)."""
    body = b"".join(b"3e8\r\n%s\r\n" % (b" " * 1000) for _ in range(3)) + b"0\r\n\r\n"
    answer = await raw(small.port, request("POST /v1/ingest HTTP/1.1", *HEAD, "Transfer-Encoding: chunked", body=body))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"Connection: close" in answer


async def test_a_body_of_exactly_the_limit_is_read(small: Collector) -> None:
    """The bound of a body is inclusive (FAULTS C3)."""
    body = lines(turn()).ljust(2000)
    answer = await raw(small.port, request("POST /v1/ingest HTTP/1.1", *HEAD, "Content-Length: 2000", body=body))
    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_a_body_of_too_many_lines_is_refused(small: Collector) -> None:
    """A body of line ends only gets 413 before any of them is looked at (FAULTS G12)."""
    body = b"\n" * 6
    answer = await raw(small.port, request("POST /v1/ingest HTTP/1.1", *HEAD, "Content-Length: 6", body=body))
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_more_bodies_than_fit_are_refused_unread(client: ClientSession) -> None:
    """While other bodies fill the room, a sender is told to come again, each after another time (FAULTS C12)."""
    async with Collector(db=":memory:", port=0, limits=Limits(held_bytes=1000)) as full:
        reader, writer = await asyncio.open_connection("127.0.0.1", full.port)
        body = lines(turn()).ljust(2000)
        writer.write(request("POST /v1/ingest HTTP/1.1", *HEAD, "Content-Length: 2000", body=body[:1]))
        answer = b""
        while b" 503 " not in answer:
            answer = await raw(full.port, request("POST /v1/ingest HTTP/1.1", *HEAD, "Content-Length: 0"))
        assert b"\r\nRetry-After: " in answer
        writer.write(body[1:])
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        writer.close()
        answer = await raw(full.port, request("POST /v1/ingest HTTP/1.1", *HEAD, "Content-Length: 0"))
        assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("encoding", ["br", "deflate", "snappy", "gzip, gzip", "identity, gzip", "foo", "x-gzip;q=1"])
async def test_an_unknown_encoding_is_refused_with_the_known_ones(client: ClientSession, encoding: str) -> None:
    """415 lists what is understood, so that the sender can send it plain (FAULTS C5, trap 5)."""
    headers = {"Content-Encoding": encoding, "Content-Type": NDJSON}
    async with client.post("/v1/ingest", data=b"{}", headers=headers) as response:
        assert response.status == 415
        assert response.headers["Accept-Encoding"] == "gzip, zstd, identity"
        assert (await response.json())["error"]["code"] == "bad_encoding"


async def test_two_encoding_headers_are_stacked_encodings(collector: Collector) -> None:
    """Stacking does not get past the check by being spread over two headers (FAULTS C5)."""
    head = [*HEAD, "Content-Encoding: gzip", "Content-Encoding: gzip", "Content-Length: 2"]
    answer = await raw(collector.port, request("POST /v1/ingest HTTP/1.1", *head, body=b"{}"))
    assert answer.startswith(b"HTTP/1.1 415 ")


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/x-ndjson", 200),
        ("application/json; charset=utf-8", 200),
        ("text/plain;charset=UTF-8", 200),
        ("Text/Plain", 200),
        ("text/html", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("", 415),
    ],
)
async def test_only_three_content_types_are_taken(client: ClientSession, content_type: str, status: int) -> None:
    """What a form of another site can send is refused (FAULTS C5)."""
    answer = await post(client, lines(turn()), Content_Type=content_type)
    assert answer[0] == status


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param([], id="none"),
        pytest.param(["X-Api-Key:"], id="empty"),
        pytest.param(["X-Api-Key:   "], id="blank"),
        pytest.param(["X-Api-Key: a", "X-Api-Key: a"], id="two"),
        pytest.param(["Authorization: Bearer a"], id="another header"),
    ],
)
async def test_without_one_key_there_is_one_answer(collector: Collector, keys: list[str]) -> None:
    """Whatever is wrong with the key, the 401 says the same and nothing of the key (FAULTS C1)."""
    body = lines(turn())
    head = [*keys, "Content-Type: text/plain", f"Content-Length: {len(body)}"]
    answer = await raw(collector.port, request("POST /v1/ingest HTTP/1.1", *head, body=body))
    assert answer.startswith(b"HTTP/1.1 401 ")
    error = orjson.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    assert (error["code"], error["message"]) == ("bad_key", "Send one X-Api-Key header with a write key.")
    assert set(error) == {"code", "message", "request_id"}


async def test_the_name_of_the_key_header_has_no_case(collector: Collector) -> None:
    """Header names have no case (FAULTS C1)."""
    head = ["x-API-key: k", "Content-Type: text/plain", "Content-Length: 0"]
    assert (await raw(collector.port, request("POST /v1/ingest HTTP/1.1", *head))).startswith(b"HTTP/1.1 200 ")


async def test_a_sender_that_leaves_in_the_middle_stores_nothing(collector: Collector, client: ClientSession) -> None:
    """A body that is cut by its connection is no batch (FAULTS C10)."""
    body = lines(turn(), turn())
    _, writer = await asyncio.open_connection("127.0.0.1", collector.port)
    writer.write(request("POST /v1/ingest HTTP/1.1", *HEAD, f"Content-Length: {len(body) + 1}", body=body))
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    await send(client, turn())
    assert len(await items(client, "/api/events")) == 1


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(["Content-Length: x"], id="no number"),
        pytest.param(["Content-Length: -1"], id="negative"),
        pytest.param(["Content-Length: 3", "Content-Length: 4"], id="two lengths"),
        pytest.param(["Content-Length: 3", "Transfer-Encoding: chunked"], id="length and chunks"),
        pytest.param(["Transfer-Encoding: chunked"], id="no chunk"),
    ],
)
async def test_a_body_that_breaks_http_is_refused(collector: Collector, head: list[str]) -> None:
    """Two readings of where a body ends get 400, and the connection ends (FAULTS C27, C32)."""
    answer = await raw(collector.port, request("POST /v1/ingest HTTP/1.1", *HEAD, *head, body=b"ZZ\r\nabc"))
    assert b" 400 " in answer.partition(b"\r\n")[0]
    assert b'"code":"bad_request"' in answer


async def test_a_heavy_batch_is_taken(client: ClientSession) -> None:
    """A plain body of several megabytes is decoded beside the loop and stored like any other."""
    answer = await send(client, *[turn("x" * 20_000, event_id=event_id()) for _ in range(200)])
    assert answer["accepted"] == 200
