"""Puts a recording function in the place of one that a client has, and takes it away again."""

from collections.abc import Callable
from typing import Any

_ORIGINAL = "__lumina_original__"


def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Replace a function of an object or a module by what `make` gives for it; once, however often it is asked.

    Raises:
        TypeError: The object has no such function: it is no client of the kind that was meant.
    """
    original = getattr(owner, name, None)
    if not callable(original):
        raise TypeError(f"a {type(owner).__name__} has no {name}(): pass the client itself")
    if not hasattr(original, _ORIGINAL):
        recording = make(original)
        setattr(recording, _ORIGINAL, original if name in owner.__dict__ else None)
        setattr(owner, name, recording)


def restore(owner: Any, *names: str) -> None:
    """Undo `replace`."""
    for name in names:
        recording = owner.__dict__.get(name)
        if not hasattr(recording, _ORIGINAL):
            continue
        delattr(owner, name)
        if (original := getattr(recording, _ORIGINAL)) is not None:
            setattr(owner, name, original)
