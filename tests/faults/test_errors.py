"""Exceptions that are themselves broken, endless or full of secrets: the app sees them unchanged, we tell little."""

import asyncio
import logging
import sys
import traceback
from typing import Any

import pytest
from support import KEY, config, recording

from lumina_async import LuminaClient
from lumina_async.testing import Cut, FaultyIngest, Reply


class Unreadable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


def looped() -> Exception:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    return first


def endless() -> Exception:
    return ValueError("x" * 10_000_000)


def grouped() -> Exception:
    group: Exception = ValueError("inner")
    for _ in range(200):
        group = ExceptionGroup("outer", [group])
    return group


def recursion() -> Exception:
    def deeper(depth: int) -> None:
        if depth:
            deeper(depth - 1)
        raise ValueError("deep")

    before = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        deeper(10_000)
    except ValueError as error:
        return error
    finally:
        sys.setrecursionlimit(before)
    raise AssertionError


@pytest.mark.parametrize("make", [Unreadable, looped, endless, grouped, recursion], ids=lambda make: make.__name__)
async def test_an_exception_of_any_shape_is_told_within_bounds(make: Any) -> None:
    """Cause loops, 10,000 frames, no text, 10 MB of text: it goes on as it is, the turn is small (FAULTS V15)."""
    error: Exception = make()

    def fail() -> None:
        raise error

    async with recording() as (client, transport):
        with pytest.raises(type(error)) as caught:
            async with (await client.session.start()).turn() as t:
                await t.wrap_llm(fail)
        assert caught.value is error
    told = transport.turns[0]["error"]
    assert len(told["stack"]) <= 50
    assert len(str(told)) < 900_000


async def test_no_log_warning_or_traceback_shows_the_key(
    caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    """With every logger at DEBUG and a server that fails in each way, the key is in the header alone (FAULTS S2)."""
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    script = [401, 500, Reply(cut=Cut.AFTER_BODY), 302, 413, Reply(status=200, body=b"<html>")]
    shown: list[str] = []

    def traced(frame: Any, event: str, argument: Any) -> Any:
        if event == "exception" and "lumina_async/_" in frame.f_code.co_filename:
            summary = traceback.TracebackException(*argument, capture_locals=True)
            shown.append("".join(summary.format()))
        return traced

    async with FaultyIngest(script=script) as ingest:
        client = LuminaClient(config(endpoint=ingest.url, debug=True))
        sys.settrace(traced)
        try:
            async with client:
                async with (await client.session.start()).turn() as t:
                    await t.annotate(client=client, config=client._config)
                await client.flush(1)
                await client.shutdown(0.5)
        finally:
            sys.settrace(None)
        assert ingest.requests[0].headers["X-Api-Key"] == KEY
    asyncio.get_running_loop().set_debug(False)
    # A probe at the right place: something was logged, raised and told.
    assert "status 401" in caplog.text
    for text in (caplog.text, str([warning.message for warning in recwarn]), str(ingest.stored)):
        assert KEY not in text
    assert not [trace for trace in shown if KEY in trace]
