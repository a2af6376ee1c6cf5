"""What a proxy sees of its stream, carried to the call that is recorded."""

from typing import Any, Protocol

import attrs

from lumina_async._calls import keep_said, said_in
from lumina_async._chunks import MAX_KEPT, keep, read_kept
from lumina_async._events import LlmCall, Outcome, ToolRun
from lumina_async._privacy import Privacy
from lumina_async._protocols import Clock
from lumina_async._said import Said
from lumina_async._shapes import said_by
from lumina_async._usage import is_known


class Ending(Protocol):
    """What a watch needs of the client of its turn."""

    privacy: Privacy
    clock: Clock

    def soon(self, ending: Any) -> None:
        """End a call at the next occasion."""


class Turn(Protocol):
    """What a watch needs of its turn."""

    notes: set[str]

    @property
    def recorder(self) -> Ending:
        """The client."""
        ...

    def ended(self, fact: LlmCall | ToolRun, ending: BaseException | Outcome | None) -> None:
        """End a call."""


@attrs.define(eq=False)
class Watch:
    """Carries what a proxy sees to its turn. The proxy holds the turn, never the other way round."""

    draft: Turn
    fact: LlmCall | ToolRun
    hides_usage: bool = False
    inside: LlmCall | None = attrs.field(init=False)
    _llm: LlmCall | None = attrs.field(init=False)
    _said: Said | None = None
    _now: Any = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Look up once what each chunk needs."""
        self._now = self.draft.recorder.clock.monotonic_ns
        self._llm = self.fact if isinstance(self.fact, LlmCall) else None
        self.inside = self._llm

    @property
    def is_open(self) -> bool:
        """Whether the call has not ended."""
        return self.fact.call.ended is None

    def chunk(self, chunk: Any) -> None:
        """Count and time a chunk, and keep it if it is of a known shape."""
        llm = self._llm
        if llm is None:
            return
        now, last = self._now(), llm.last
        if last is None:
            llm.first = now
            if is_known(chunk):
                # From here on the provider's client gives the chunks, and no code of the app runs in between.
                self.inside, self._said = None, Said(llm.takes_content)
                llm.said = self._said
        elif llm.longest_gap is None or now - last > llm.longest_gap:
            llm.longest_gap = now - last
        llm.last = now
        llm.chunks += 1
        if (said := self._said) is not None:
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

    def saw(self, response: Any) -> None:
        """Until now the call has given this response, which says all that its chunks said."""
        if self._llm is not None and self.is_open:
            self._llm.said = said_by(response, content=self._llm.takes_content) or self._llm.said

    def answered(self, response: Any) -> None:
        """The call has given this response, and is over."""
        self.saw(response)
        if self._llm is not None:
            self.draft.ended(self._llm, Outcome.COMPLETED if self._llm.streaming else None)

    async def settle(self) -> None:
        """Keep what was said before the end, where an async mask has to be awaited."""
        llm, privacy = self._llm, self.draft.recorder.privacy
        if llm is not None and self.is_open and privacy.is_async and (said := said_in(llm)) is not None:
            await keep_said(llm, said, privacy, self.draft.notes)

    def end(self, ending: BaseException | Outcome) -> None:
        """End the call."""
        self.draft.ended(self.fact, ending)

    def drop(self) -> None:
        """End it at the next occasion."""
        self.draft.recorder.soon(lambda: self.end(Outcome.ABANDONED))


@attrs.define(eq=False)
class Ear:
    """Hears a stream that runs inside a call which is recorded already, and tells that call what it said."""

    call: LlmCall
    hides_usage: bool = False
    is_open: bool = True
    _said: Said = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Begin."""
        self._said = Said(self.call.takes_content)

    @property
    def inside(self) -> LlmCall | None:
        """The call."""
        return self.call

    def chunk(self, chunk: Any) -> None:
        """Keep it."""
        keep(self._said, chunk)

    def hidden(self) -> None:
        """Nothing is counted here."""

    async def settle(self) -> None:
        """Nothing is masked here."""

    def end(self, ending: BaseException | Outcome) -> None:
        """Tell what was said until now."""
        if self.is_open:
            self.is_open = False
            read_kept(self._said)
            self.call.hear(self._said)

    def drop(self) -> None:
        """What nobody read to its end says nothing."""
        self.is_open = False
