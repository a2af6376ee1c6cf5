"""Which call of a model the code here runs in, so that what an instrumented client does in it is not recorded again."""

import sys
from collections.abc import Callable
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


@attrs.frozen(eq=False, repr=False)
class Place:
    """A stretch of code that is inside a call, or inside none, only while something is the case.

    Attributes:
        call: The call that it is inside of, or None.
        is_over: Tells when this is over for good.
        before: What holds where this does not.
        module: The package of functions that make the call: only what they run is inside of it. None: all is.
    """

    call: Around | None
    is_over: Callable[[], bool]
    before: "Here"
    module: str | None = None

    def holds(self) -> bool:
        """Tell whether it applies to the code that asks."""
        return not self.is_over() and (self.module is None or _is_run_by(self.module))


Here = Around | Place | None
"""What the code at some place is inside of."""

here: ContextVar[Here] = ContextVar("lumina_llm_call", default=None)


@attrs.define(eq=False, repr=False)
class Asking:
    """Whether any code of this process asks what it is inside of: where no client is instrumented, none does."""

    anybody: bool = False


ASKING = Asking()


def current_call(*, beside: str | None = None) -> Around | None:
    """Return the call that is being recorded around this code, or None. One that has ended is around nothing.

    Args:
        beside: The package of a framework, to leave out the calls that it makes.
    """
    place = here.get()
    while isinstance(place, Place):
        if place.holds() and (beside is None or place.module != beside):
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


def enter_framework(call: Around, module: str, is_over: Callable[[], bool]) -> None:
    """Let this call be around what the functions of a framework run here, and around nothing else.

    A framework tells when its call begins, but not always that it ended: the code after it must not be taken for it.
    """
    here.set(Place(call, is_over, _lasting(here.get()), module))


def enter_turn(is_over: Callable[[], bool]) -> None:
    """Begin a turn inside whatever call is around this code: until the turn is over its calls are its own."""
    if (place := here.get()) is not None:
        here.set(Place(None, is_over, _lasting(place)))


def _lasting(place: Here) -> Here:
    """Leave out what is over: else a task that sees a million turns would hold them all."""
    while isinstance(place, Place) and place.is_over():
        place = place.before
    return place


def heard_in(call: Around) -> Heard:
    """Return what clients were told inside a call, to add to it."""
    if call.heard is None:
        call.heard = Heard()
    return call.heard


def _is_run_by(module: str) -> bool:
    """Tell whether functions of a package are among the callers of this code, in this task or thread."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name == module or name.startswith(f"{module}."):
            return True
        frame = frame.f_back
    return False
