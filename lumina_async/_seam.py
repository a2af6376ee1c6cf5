"""What a turn needs of its client: where it hands in what was collected, and by which rules it collects."""

from collections.abc import Callable
from typing import Protocol

from lumina_async._events import Event, TurnEvent, Ui
from lumina_async._log import Once
from lumina_async._privacy import Privacy
from lumina_async._protocols import Clock, TurnContext


class Held(Protocol):
    """A turn that has ended, and waits for a stream or a call of its own."""

    def release(self) -> None:
        """Offer it as it is: it has waited long enough."""


class Hooks(Protocol):
    """The providers, as a turn sees them."""

    @property
    def watch_turns(self) -> bool:
        """Whether any of them wants to know of turns."""
        ...

    async def start_turn(self, context: TurnContext) -> Ui | None:
        """Tell the providers that a turn begins; return what the person is looking at."""

    def end_turn(self, context: TurnContext, event: TurnEvent, line: bytes | None) -> None:
        """Tell the providers, later and elsewhere, how it ended."""


class Recorder(Protocol):
    """The client of a turn; it knows no queue."""

    privacy: Privacy
    clock: Clock
    once: Once
    records_tools: bool
    forked_ns: int

    @property
    def hooks(self) -> Hooks | None:
        """The providers, while the client runs."""
        ...

    def submit(self, event: Event) -> bytes | None:
        """Take an event, without waiting; return its line, where one goes out."""

    def hold(self, draft: Held) -> None:
        """Keep a turn whose stream is still open, for a minute at most; then its `release` is called."""

    def let_go(self, draft: Held) -> bool:
        """Forget a held turn; tell whether it was held, which is true for one of all who ask."""
        ...

    def soon(self, ending: Callable[[], None]) -> None:
        """End a call at the next occasion. Called by the garbage collector, in the middle of anything."""

    def unfinished(self, began_ns: int) -> None:
        """Count a turn that was collected before it was finished. Called by the garbage collector."""
