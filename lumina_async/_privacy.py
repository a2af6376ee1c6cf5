"""Which text leaves the process, and which goes through the mask first. Fails closed.

                                                          FULL       MASKED                  NONE
    content (messages, exception messages, ...)           as given   through the mask        absent
    metadata (annotations, LLM and tool meta, pointers)   as given   strings through it      as given
    identifiers (user, session, model, prompt, keys)      as given, 200 characters at most

A mask that raises, returns no string or takes over a second leaves `[MASK_FAILED]`. An async mask is awaited where the
caller awaits anyway; where nothing may be awaited (`*_nowait`) its text is `[MASK_FAILED]` too. Source: SPEC section 6.
"""

import importlib
import inspect
import time
from collections.abc import Callable, Mapping
from functools import cache
from types import ModuleType
from typing import Any

import anyio
import attrs
import orjson

from lumina_async._log import Once
from lumina_async._messages import is_common, transcript
from lumina_async._protocols import CaptureTranscript, MaskFn
from lumina_async._retrieval import look_up
from lumina_async._values import clean, plain, snapshot

MASK_FAILED = "[MASK_FAILED]"
MASK_SECONDS = 1.0


@cache
def _pii() -> ModuleType:
    """Return the module with the patterns, loaded at first use: compiling them takes longer than all else here."""
    return importlib.import_module("lumina_async._pii")


def mask_pii(text: str) -> str:
    """Return the text with personal data and secrets replaced: the default mask of `MASKED`.

    E-mail, phone, payment card (Luhn), IBAN (checksum), US SSN, IP address, JWT and the common shapes of API keys
    become `[EMAIL]`, `[PHONE]`, `[CARD]`, `[IBAN]`, `[SSN]`, `[IP]`, `[JWT]` and `[SECRET]`. Order numbers, dates,
    versions, UUIDs and money stay. Pure; masking twice changes nothing.
    """
    masked: str = _pii().mask_pii(text)
    return masked


def warm() -> None:
    """Load the patterns now, so that no request pays for it."""
    mask_pii("1@")


Shape = Callable[[Any, Callable[[str], str], set[str]], Any]
"""How a value is read: `plain` for anything, `transcript` for messages."""


_TEXTLESS = {float, int, bool, type(None)}


def _has_no_text(value: Any) -> bool:
    """Tell quickly, of the usual metadata, that there is nothing to mask; False where it takes a closer look."""
    if type(value) is dict:
        fields: dict[Any, Any] = value  # pyright: ignore[reportUnknownVariableType]  (of any type by nature)
        return _TEXTLESS.issuperset(map(type, fields.values()))
    return type(value) in _TEXTLESS


def _is_async(function: Callable[..., Any]) -> bool:
    call = getattr(function, "__call__", None)  # noqa: B004  (an object whose __call__ is a coroutine function)
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def _as_it_is(text: str) -> str:
    return text


@attrs.frozen(eq=False, repr=False)
class Privacy:
    """The capture mode and the mask of one client.

    Attributes:
        mode: How much leaves.
        mask_fn: The mask of `MASKED`.
        once: Where a failing mask is told, once.
    """

    mode: CaptureTranscript
    mask_fn: MaskFn = mask_pii
    once: Once = attrs.field(factory=Once)
    is_async: bool = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Look once whether the mask must be awaited."""
        object.__setattr__(self, "is_async", _is_async(self.mask_fn))

    async def messages(self, messages: object, notes: set[str]) -> orjson.Fragment | None:
        """Return the JSON of a transcript as it may leave, or None where no content may."""
        if self.mode is CaptureTranscript.NONE:
            return None
        if self.mode is CaptureTranscript.MASKED and self.is_async:
            return await self._redacted(messages, transcript, notes)
        if self.mode is CaptureTranscript.MASKED:
            return snapshot(transcript(messages, self._masked_nowait, notes))
        # orjson refuses what UTF-8 cannot hold, and `snapshot` then goes by the table.
        return snapshot(messages if is_common(messages) else transcript(messages, _as_it_is, notes))

    async def content(self, value: object, notes: set[str]) -> orjson.Fragment | None:
        """Return the JSON of an input, an output or a comment as it may leave, or None where no content may."""
        return None if self.mode is CaptureTranscript.NONE else await self.metadata(value, notes)

    def content_nowait(self, value: object, notes: set[str]) -> orjson.Fragment | None:
        """Return the same without awaiting."""
        return None if self.mode is CaptureTranscript.NONE else self.metadata_nowait(value, notes)

    async def metadata(self, value: object, notes: set[str]) -> orjson.Fragment:
        """Return the JSON of metadata as it may leave: a snapshot of this moment."""
        if self.mode is CaptureTranscript.MASKED and self.is_async:
            return await self._redacted(value, plain, notes)
        return self.metadata_nowait(value, notes)

    def metadata_nowait(self, value: object, notes: set[str]) -> orjson.Fragment:
        """Return the same without awaiting."""
        if self.mode is not CaptureTranscript.MASKED or _has_no_text(value):
            return snapshot(value, notes)
        return snapshot(plain(value, self._masked_nowait, notes))

    async def retrieval(self, fields: Mapping[str, Any], notes: set[str]) -> orjson.Fragment:
        """Return the JSON of a look-up as it may leave: its query and contents are content, the rest is not."""
        if self.mode is CaptureTranscript.MASKED and self.is_async:
            return await self._redacted(fields, look_up, notes)
        return self.retrieval_nowait(fields, notes)

    def retrieval_nowait(self, fields: Mapping[str, Any], notes: set[str]) -> orjson.Fragment:
        """Return the same without awaiting."""
        if self.mode is CaptureTranscript.MASKED:
            return snapshot(look_up(fields, self._masked_nowait, notes))
        found = look_up(fields, clean, notes)
        if self.mode is CaptureTranscript.NONE:
            found.pop("query", None)
            for result in found["results"]:
                result.pop("content", None)
        return snapshot(found)

    def error_message(self, text: str) -> str | None:
        """Return the message of an exception as it may leave, without awaiting; None where no content may.

        Keys and tokens are removed in every mode: nobody writes them into an exception on purpose.
        """
        if self.mode is CaptureTranscript.NONE:
            return None
        text = str(_pii().scrub_secrets(clean(text)))
        return text if self.mode is CaptureTranscript.FULL else self._masked_nowait(text)

    async def _redacted(self, value: object, shape: Shape, notes: set[str]) -> orjson.Fragment:
        """Apply an async mask. It sees the texts of a snapshot, because the value may change while it is awaited."""
        texts: dict[str, str] = {}
        draft = shape(value, lambda text: texts.setdefault(text, text), notes)
        for text in texts:
            texts[text] = await self._masked(text)
        return snapshot(shape(draft, lambda text: texts.get(text, MASK_FAILED), notes))

    def _masked_nowait(self, text: str) -> str:
        started = time.monotonic()
        try:
            masked = self.mask_fn(text)
        # The mask is the user's and may raise anything; the text must not leave for that.
        except Exception as error:  # noqa: BLE001
            return self._failed(f"raised {type(error).__name__}")
        if not isinstance(masked, str):
            if inspect.iscoroutine(masked):
                masked.close()
            return self._failed(
                "has to be awaited, which is not possible here" if self.is_async else "returned no text"
            )
        if time.monotonic() - started > MASK_SECONDS:
            return self._failed(f"took longer than {MASK_SECONDS:.0f} s")
        return text if masked is text else clean(masked)

    async def _masked(self, text: str) -> str:
        with anyio.move_on_after(MASK_SECONDS):
            try:
                given = self.mask_fn(text)
                masked: Any = given if isinstance(given, str) else await given
            # The mask is the user's and may raise anything; the text must not leave for that.
            except Exception as error:  # noqa: BLE001
                return self._failed(f"raised {type(error).__name__}")
            return clean(masked) if isinstance(masked, str) else self._failed("returned no text")
        return self._failed(f"took longer than {MASK_SECONDS:.0f} s")

    def _failed(self, why: str) -> str:
        self.once.warn(f"mask {why}", "mask_fn %s: the text was replaced by %s", why, MASK_FAILED)
        return MASK_FAILED
