"""A canary in every field that holds text never leaves where it must not; a canary key is nowhere at all."""

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from support import KEY, MemoryTransport, config, lines_of, recording

from lumina_async import ConfigError, LuminaClient, Message

CANARY = "canary.bird@example.com"


async def words() -> AsyncIterator[str]:
    yield CANARY
    raise RuntimeError(f"cut after {CANARY}")


async def fail() -> None:
    raise ValueError(f"no answer for {CANARY}")


async def sing(client: LuminaClient) -> None:
    """Put the canary into every field that takes text."""
    session = await client.session.start(pointers={"note": CANARY, "deep": [{"of": CANARY}]})
    with suppress(RuntimeError):
        async with session.turn() as t:
            await t.set_messages(
                [
                    {"role": "user", "content": CANARY, "extra": CANARY},
                    Message("assistant", [{"type": "text", "text": CANARY}]),
                    {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": CANARY}}]},
                    {"role": "tool", "content": {"odd": [CANARY]}},
                    CANARY,
                ]
            )
            await t.annotate({"note": CANARY, "deep": {"list": [CANARY]}}, error=ValueError(CANARY))
            with pytest.raises(ValueError, match="no answer"):
                await t.wrap_llm(fail, model="m", note=CANARY)
            async for _ in await t.wrap_llm(words, prompt=CANARY):
                pass
    turn = session.turn()
    await turn.finish(error=KeyError(CANARY))


def wire(transport: MemoryTransport) -> str:
    return repr([lines_of(payload) for payload in transport.payloads])


def content(transport: MemoryTransport) -> str:
    """The wire without metadata, which NONE lets pass as given (SPEC 6)."""
    kept = [
        {key: value for key, value in event.items() if key not in {"annotations", "pointers"}}
        for event in transport.stored
    ]
    for event in kept:
        for call in event.get("llm", ()):
            call.pop("meta", None)
    return repr(kept)


async def test_under_masked_the_canary_is_nowhere() -> None:
    """No text-bearing field reaches the wire unmasked (FAULTS V8)."""
    async with recording(capture_transcript="masked") as (client, transport):
        await sing(client)
    assert len(transport.turns) == 2
    assert CANARY not in wire(transport)
    assert wire(transport).count("[EMAIL]") >= 14


async def test_under_none_no_content_is_there() -> None:
    """No message, no exception message; what the app says as metadata is given as it is (FAULTS V8)."""
    async with recording(capture_transcript="none") as (client, transport):
        await sing(client)
    assert len(transport.turns) == 2
    assert CANARY not in content(transport)
    assert "messages" not in transport.turns[0]


def raising(text: str) -> str:
    raise RuntimeError(text)


async def raising_later(text: str) -> str:
    await asyncio.sleep(0)
    raise RuntimeError(text)


@pytest.mark.parametrize("mask", [raising, raising_later, lambda text: None, lambda text: 7], ids=str)
async def test_when_the_mask_fails_the_canary_is_nowhere(mask: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Neither on the wire nor in a log (FAULTS V7, V8)."""
    caplog.set_level(logging.DEBUG)
    async with recording(mask_fn=mask) as (client, transport):
        await sing(client)
    assert len(transport.turns) == 2
    assert CANARY not in wire(transport)
    assert CANARY not in caplog.text


async def test_under_full_everything_is_there() -> None:
    """The canary is a test of the others: where nothing is masked it arrives from every field."""
    async with recording(capture_transcript="full") as (client, transport):
        await sing(client)
    assert wire(transport).count(CANARY) >= 14


async def test_the_key_is_in_no_repr_log_error_or_line(caplog: pytest.LogCaptureFixture) -> None:
    """Through a life with failures, nothing but the header shows the key (FAULTS S1, S2, S3)."""
    caplog.set_level(logging.DEBUG)
    transport = MemoryTransport(always=lambda _: 1 / 0)  # type: ignore[arg-type, return-value]
    client = LuminaClient(config(debug=True), transport=lambda _: transport)
    shown: list[str] = []
    async with client:
        session = await client.session.start()
        async with session.turn() as t:
            await t.annotate(settings=config())
            shown += [repr(thing) for thing in (client, session, t, client._flusher, client._config, client.session)]
        await client.flush(timeout=0.1)
        try:
            await client.init(config(write_key="gi_another_one_0000"))
        except ConfigError as error:
            shown.append("".join(traceback.TracebackException.from_exception(error, capture_locals=True).format()))
        await client.shutdown(timeout=0.1)
    assert "another write_key" in shown[-1]
    assert KEY not in "".join(shown)
    assert KEY not in caplog.text
    assert KEY not in wire(transport)
