"""How much of a fault is shown: the short form in every run, the full one before a release (`nox -s faults`)."""

import os
from typing import TypeVar

T = TypeVar("T")

FULL = os.environ.get("LUMINA_FAULTS") == "full"


def form(ci: T, full: T) -> T:
    """Return what belongs to the form of this run."""
    return full if FULL else ci
