"""What leaves under each mode, and that a failing mask lets nothing out."""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from lumina_async import CaptureTranscript, _privacy
from lumina_async._privacy import MASK_FAILED, Privacy

MESSAGES = [{"role": "user", "content": "mail eve@example.com"}]


def read(fragment: Any) -> Any:
    return orjson.loads(orjson.dumps(fragment))


async def swap(text: str) -> str:
    await asyncio.sleep(0)
    return text.replace("eve@example.com", "[SOMEONE]")


async def test_full_leaves_as_given() -> None:
    """FULL: content and metadata as they are."""
    privacy = Privacy(CaptureTranscript.FULL)
    assert read(await privacy.messages(MESSAGES, set())) == MESSAGES
    assert read(await privacy.metadata({"a": "eve@example.com"}, set())) == {"a": "eve@example.com"}
    assert privacy.error_message("no eve@example.com") == "no eve@example.com"


async def test_masked_passes_every_text_through_the_mask() -> None:
    """MASKED: content, strings of metadata and exception messages; keys and roles stay."""
    privacy = Privacy(CaptureTranscript.MASKED)
    assert read(await privacy.messages(MESSAGES, set())) == [{"role": "user", "content": "mail [EMAIL]"}]
    assert read(await privacy.metadata({"k": ["eve@example.com", 7]}, set())) == {"k": ["[EMAIL]", 7]}
    assert privacy.error_message("no eve@example.com") == "no [EMAIL]"


async def test_none_holds_no_content_and_metadata_as_given() -> None:
    """NONE: messages and exception messages are absent."""
    privacy = Privacy(CaptureTranscript.NONE)
    assert await privacy.messages(MESSAGES, set()) is None
    assert privacy.error_message("no eve@example.com") is None
    assert read(await privacy.metadata({"a": "eve@example.com"}, set())) == {"a": "eve@example.com"}


@pytest.mark.parametrize(
    "mask", [swap, type("Mask", (), {"__call__": staticmethod(swap)})()], ids=["function", "object"]
)
async def test_an_async_mask_is_awaited_where_the_caller_awaits(mask: Callable[[str], Any]) -> None:
    """An async mask works on transcripts and metadata."""
    privacy = Privacy(CaptureTranscript.MASKED, mask)
    assert read(await privacy.messages(MESSAGES, set())) == [{"role": "user", "content": "mail [SOMEONE]"}]
    assert read(await privacy.metadata(["eve@example.com"], set())) == ["[SOMEONE]"]


async def test_an_async_mask_cannot_run_on_the_way_out() -> None:
    """The message of an exception on its way out is [MASK_FAILED] under an async mask (SPEC 6)."""
    assert Privacy(CaptureTranscript.MASKED, swap).error_message("eve@example.com") == MASK_FAILED


def raises(text: str) -> str:
    raise ValueError(text)


def recurses(text: str) -> str:
    return recurses(text)


async def raises_later(text: str) -> str:
    raise ValueError(text)


async def never(text: str) -> str:
    await asyncio.Event().wait()
    return text


@pytest.mark.parametrize(
    "mask",
    [raises, recurses, raises_later, never, lambda _: None, lambda _: 5, lambda text: swap(text)],
    ids=["raises", "recurses", "raises later", "never ends", "none", "number", "undeclared coroutine"],
)
async def test_a_mask_that_fails_lets_nothing_out(
    mask: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Fail closed: the text is replaced, one warning is logged, and it does not hold the text (FAULTS V7)."""
    monkeypatch.setattr(_privacy, "MASK_SECONDS", 0.02)
    privacy = Privacy(CaptureTranscript.MASKED, mask)
    for _ in range(2):
        assert read(await privacy.messages(MESSAGES, set())) == [{"role": "user", "content": MASK_FAILED}]
        assert read(await privacy.metadata(["eve@example.com"], set())) == [MASK_FAILED]
    assert len(caplog.records) == 1
    assert "eve@" not in caplog.text


async def test_a_slow_plain_mask_fails_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain mask cannot be interrupted; what took over a second is not trusted (FAULTS V7)."""
    monkeypatch.setattr(_privacy, "MASK_SECONDS", -1.0)
    privacy = Privacy(CaptureTranscript.MASKED, str.lower)
    assert read(await privacy.metadata("X", set())) == MASK_FAILED


async def test_a_value_that_changes_while_an_async_mask_runs_is_not_seen() -> None:
    """The mask works on a snapshot, so nothing unmasked slips in (FAULTS V5)."""
    value = {"a": "one"}

    async def tamper(text: str) -> str:
        value["b"] = "raw eve@example.com"
        return text.upper()

    assert read(await Privacy(CaptureTranscript.MASKED, tamper).metadata(value, set())) == {"a": "ONE"}


@pytest.mark.parametrize("mode", [CaptureTranscript.FULL, CaptureTranscript.MASKED])
def test_keys_in_exception_messages_never_leave(mode: CaptureTranscript) -> None:
    """Nobody writes a key into an exception on purpose: it is removed in every mode (FAULTS V14)."""
    told = Privacy(mode).error_message("Incorrect API key provided: sk-proj-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
    assert told is not None
    assert "sk-proj" not in told
