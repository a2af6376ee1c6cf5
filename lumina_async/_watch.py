"""What a proxy sees of its stream, carried to the call that is recorded."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

import attrs

from lumina_async._calls import describe_nowait, keep_said, said_in
from lumina_async._chunks import MAX_KEPT, keep, read_kept
from lumina_async._endings import left_because
from lumina_async._events import LlmCall, Outcome, ToolRun
from lumina_async._inside import Around, heard_in
from lumina_async._said import Heard, Said
from lumina_async._seam import Recorder
from lumina_async._shapes import said_by
from lumina_async._usage import is_known


class Turn(Protocol):
    """What a watch needs of its turn."""

    notes: set[str]
    recorder: Recorder

    def ended(self, fact: LlmCall | ToolRun, ending: BaseException | Outcome | None) -> None:
        """End a call."""

    def closed(self, fact: LlmCall | ToolRun) -> None:
        """End a stream for a reason that the turn is about to see."""


@attrs.define(eq=False, repr=False)
class Watch:
    """Carries what a proxy sees to its turn. The proxy holds the turn, never the other way round.

    Attributes:
        inside: The call, where code of the app makes the chunks; what it asks of other clients belongs to the call.
        last_word: Gives the response, where it is known only when the stream has ended, or was left.
    """

    draft: Turn
    fact: LlmCall | ToolRun
    hides_usage: bool = False
    inside: LlmCall | None = None
    last_word: Callable[[], Any] | None = attrs.field(init=False, default=None)
    _llm: LlmCall | None = attrs.field(init=False)
    _now: Any = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Look up once what each chunk needs."""
        self._now = self.draft.recorder.clock.monotonic_ns
        self._llm = self.fact if isinstance(self.fact, LlmCall) else None

    @property
    def is_open(self) -> bool:
        """Whether the call has not ended."""
        return self.fact.call.ended is None

    @property
    def around(self) -> LlmCall | None:
        """The call, for what runs inside it."""
        return self._llm

    @property
    def is_streaming(self) -> bool:
        """Whether the answer comes in pieces."""
        return self._llm is not None and self._llm.streaming

    def chunk(self, chunk: Any) -> None:
        """Count and time a chunk, and keep it if it is of a known shape."""
        llm = self._llm
        if llm is None:
            return
        now, last = self._now(), llm.last
        if last is None:
            llm.first = now
            if is_known(chunk) and llm.call.ended is None:
                llm.said = Said(llm.takes_content)
        elif (gap := now - last) > llm.longest_gap:
            llm.longest_gap = gap
        llm.last = now
        llm.chunks += 1
        # As `keep` does, without calling it for each chunk. A call that has ended keeps none.
        if (said := llm.said) is not None:
            said.kept.append(chunk)
            if len(said.kept) >= MAX_KEPT:
                read_kept(said)

    def hidden(self) -> None:
        """Count the chunk that has just come for nothing: the app did not ask for it, and does not see it."""
        if self._llm is not None:
            self._llm.chunks -= 1

    def stream(self) -> None:
        """The answer comes in pieces."""
        if self._llm is not None:
            self._llm.streaming = True

    def runs_in(self, task: "asyncio.Task[Any] | None") -> None:
        """A framework makes the call in this task; None where it cannot be told by the task whether it is over."""
        self.fact.call.opener = task

    def saw(self, response: Any) -> None:
        """Until now the call has given this response, which says all that its chunks said."""
        llm = self._llm
        if llm is None or not self.is_open:
            return
        if (said := said_by(response, content=llm.takes_content)) is not None:
            # What clients were told inside is this response once more, or a part of it.
            if llm.heard is not None and (heard := llm.heard.told()) is not None:
                said.fill(heard)
            llm.said, llm.heard = said, None

    def answered(self, response: Any) -> None:
        """The call has given this response, and is over."""
        self.saw(response)
        if self._llm is not None:
            self.draft.ended(self._llm, Outcome.COMPLETED if self._llm.streaming else None)

    def returned(self, output: Any) -> None:
        """The call is over, with this output; None is not recorded."""
        if self.is_open and output is not None:
            describe_nowait(self.fact.call, {"output": output}, self.draft.recorder.privacy, self.draft.notes)
        self.end(None)

    def left(self, error: BaseException | None) -> None:
        """A framework tells that its stream was left before its end: by an exception of whoever read it, or by choice.

        A generator is closed by a framework when the app has read enough, and when the app itself was closed.
        """
        self._hear_last()
        if isinstance(error, GeneratorExit):
            self.draft.closed(self.fact)
        else:
            self.end(Outcome.STOPPED if error is None else left_because(error))

    async def settle(self) -> None:
        """Keep what was said before the end, where an async mask has to be awaited."""
        self._hear_last()
        llm, privacy = self._llm, self.draft.recorder.privacy
        if llm is not None and self.is_open and privacy.is_async and (said := said_in(llm)) is not None:
            await keep_said(llm, said, privacy, self.draft.notes)

    def end(self, ending: BaseException | Outcome | None) -> None:
        """End the call."""
        self._hear_last()
        self.draft.ended(self.fact, ending)

    def _hear_last(self) -> None:
        if self.last_word is not None:
            self.saw(_given(self.last_word))
            self.last_word = None

    def drop(self, outcome: Outcome) -> None:
        """End it at the next occasion."""
        self.draft.recorder.soon(lambda: self.end(outcome))


@attrs.define(eq=False, repr=False)
class Ear:
    """Hears what is said inside a call that is recorded already, and tells that call: a stream, or a framework's call.

    Attributes:
        call: The call that is told.
        inside: As for `Watch`.
        heard: What clients were told inside this.
    """

    call: Around
    hides_usage: bool = False
    inside: Around | None = None
    takes_content: bool = attrs.field(init=False)
    heard: Heard | None = attrs.field(init=False, default=None)
    last_word: Callable[[], Any] | None = attrs.field(init=False, default=None)
    is_open: bool = attrs.field(init=False, default=True)
    _said: Said = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Begin; a call that ends before this does hears what there is."""
        self.takes_content = self.call.takes_content
        self._said = Said(self.takes_content)
        heard_in(self.call).listening.append(self._tell)

    @property
    def around(self) -> Around:
        """This, for what runs inside it."""
        return self

    @property
    def is_over(self) -> bool:
        """Whether it is around nothing any more."""
        return not self.is_open

    def chunk(self, chunk: Any) -> None:
        """Keep it."""
        if self.is_open:
            keep(self._said, chunk)

    def hidden(self) -> None:
        """Nothing is counted here."""

    def stream(self) -> None:
        """Nothing is timed here."""

    def runs_in(self, task: "asyncio.Task[Any] | None") -> None:
        """It ends with the call around it, at the latest."""

    def saw(self, response: Any) -> None:
        """Until now there is this response, which says all that its chunks said."""
        self._said = said_by(response, content=self.takes_content) or self._said

    def answered(self, response: Any) -> None:
        """It is over, with this response."""
        self.saw(response)
        self.end(None)

    def left(self, error: BaseException | None) -> None:
        """It was left before its end."""
        self.end(error)

    async def settle(self) -> None:
        """Nothing is masked here."""

    def end(self, ending: BaseException | Outcome | None) -> None:
        """Tell what was said until now."""
        heard, is_first = self.call.heard, self.is_open
        self.is_open = False
        if is_first and heard is not None:
            # The call may be asking for it this moment, in another thread.
            with suppress(ValueError):
                heard.listening.remove(self._tell)
                self._tell()

    def drop(self, outcome: Outcome) -> None:
        """The call hears what there was when it ends itself."""
        self.is_open = False

    def _tell(self) -> None:
        self.is_open = False
        if self.last_word is not None:
            self.saw(_given(self.last_word))
        read_kept(self._said)
        if self.heard is not None and (heard := self.heard.told()) is not None:
            self._said.fill(heard)
        # It may have broken off before anything was said.
        if self._said.model or self._said.usage or self._said.text or self._said.asked or self._said.failure:
            heard_in(self.call).take(self._said)


def _given(last_word: Callable[[], Any]) -> Any:
    try:
        return last_word()
    # The framework's, of a stream that may have broken off in any state.
    except Exception:  # noqa: BLE001
        return None
