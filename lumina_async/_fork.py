"""What a fork must not do: send twice what the parent has, or close what the parent uses."""

import os
from collections.abc import Callable


def on_fork(*, before: Callable[[], None], in_child: Callable[[], None]) -> None:
    """Call these at every fork of this process; on systems without it, never."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=before, after_in_child=in_child)


def keep_for_good(inherited: object) -> None:
    """Keep an object, and all that it refers to, until the process is gone, past the end of the interpreter.

    The child shares its parent's poll object. A connection that is collected here would unregister its socket there,
    and the parent would wait for an answer for ever.
    """
    # Imported here: it takes as long as a twentieth of the whole package, and only a child needs it.
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(inherited))
