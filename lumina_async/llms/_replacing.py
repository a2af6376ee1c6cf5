"""Puts a recording function in the place of one that a client has, and takes it away again."""

from collections.abc import Callable
from typing import Any

import attrs


@attrs.frozen(eq=False)
class _Replaced:
    """What was there before: the function, or None where it was that of the class."""

    recording: Any
    original: Any


_MARK = "__lumina_replaced__"


def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Replace a function of an object or a module by what `make` gives for it; in the place of an earlier one of ours.

    Raises:
        TypeError: The object has no such function: it is no client of the kind that was meant.
    """
    if isinstance(owner, type) or not hasattr(owner, "__dict__") or not callable(getattr(owner, name, None)):
        kind = f"the class {owner.__name__}" if isinstance(owner, type) else f"a {type(owner).__name__}"
        raise TypeError(f"{kind} has no {name}() that can be recorded: pass the client itself")
    # An earlier function of ours makes way, so that what it replaced is replaced.
    restore(owner, name)
    original = getattr(owner, name)
    recording = make(original)
    setattr(recording, _MARK, _Replaced(recording, original if name in owner.__dict__ else None))
    setattr(owner, name, recording)


def restore(owner: Any, *names: str) -> None:
    """Undo `replace`, where nobody has put a function of their own around ours since."""
    for name in names:
        recording: Any = owner.__dict__.get(name)
        replaced: _Replaced | None = getattr(recording, _MARK, None)
        # `functools.wraps` gives the mark to whoever wraps it.
        if replaced is None or replaced.recording is not recording:
            continue
        delattr(owner, name)
        if replaced.original is not None:
            setattr(owner, name, replaced.original)
