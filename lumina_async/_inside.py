"""Which call of a model the code here runs in, so that what an instrumented client does in it is not recorded again."""

import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from types import FrameType
from typing import Protocol

import attrs

from lumina_async._said import Heard


class Around(Protocol):
    """What is told of the responses inside it: a call that is recorded, or a stream inside one."""

    takes_content: bool
    heard: Heard | None

    @property
    def is_over(self) -> bool:
        """Whether it has ended, and so is around nothing any more."""
        ...


@attrs.define(eq=False, repr=False)
class Place:
    """A stretch of code that is inside a call, or inside none, only while something is the case.

    Attributes:
        call: The call that it is inside of, or None.
        is_over: Tells when this is over for good.
        before: What holds where this does not.
        applies: Tells whether it is for the code that asks. None: for all.
    """

    call: Around | None
    is_over: Callable[[], bool]
    before: "Here"
    applies: Callable[[], bool] | None = None

    def holds(self) -> bool:
        """Tell whether the code that asks is here."""
        return not self.is_over() and (self.applies is None or self.applies())


Here = Around | Place | None
"""What the code at some place is inside of."""

here: ContextVar[Here] = ContextVar("lumina_llm_call", default=None)

# Whether any code of this process asks what it is inside of, which costs each chunk of a stream: only where
# `lumina_async.llms` was imported, by which clients are instrumented.
ASKING: set[str] = set()


def current_call(*, beside_frameworks: bool = False) -> Around | None:
    """Return the call that is being recorded around this code, or None. One that has ended is around nothing.

    Args:
        beside_frameworks: Leave out the calls that frameworks make: one of these is about to make another.
    """
    place = here.get()
    while isinstance(place, Place):
        if not (beside_frameworks and place.applies) and place.holds():
            return place.call
        place = place.before
    return None if place is None or place.is_over else place


def enter(place: Here) -> Here:
    """Run what follows inside this; return what `enter` takes to undo it.

    Not by a token: a generator may be closed in another context.
    """
    before = here.get()
    here.set(place)
    return before


def enter_framework(call: Around, applies: Callable[[], bool]) -> None:
    """Let this call be around the code of a framework that makes it, and around nothing else.

    A framework tells when its call begins, but not always that it ended: the code after it must not be taken for it.
    """
    here.set(Place(call, lambda: call.is_over, _lasting(here.get()), applies))


def enter_turn(is_over: Callable[[], bool]) -> None:
    """Begin a turn inside whatever call is around this code: until the turn is over its calls are its own."""
    if (place := here.get()) is not None:
        here.set(Place(None, is_over, _lasting(place)))


def _lasting(place: Here) -> Here:
    """Leave out all that is over: else a task that sees a million turns would hold them."""
    while isinstance(place, Place) and place.is_over():
        place = place.before
    above = place
    while isinstance(above, Place):
        while isinstance(above.before, Place) and above.before.is_over():
            above.before = above.before.before
        above = above.before
    return place


def callers() -> Iterator[FrameType]:
    """Give the frames that this code was called from, in its task or thread, from the nearest on."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def heard_in(call: Around) -> Heard:
    """Return what clients were told inside a call, to add to it."""
    if call.heard is None:
        call.heard = Heard()
    return call.heard
