"""Cursors: where a page ended, as text that means nothing to anyone else."""

import base64
import binascii
from typing import cast

import orjson

from lumina_async.collector.errors import CursorError

_MAX_CHARACTERS = 2000
_MAX_INT = 2**63 - 1


def cursor_of(*key: str | int) -> str:
    """Return the cursor for the key of the last item of a page."""
    return base64.urlsafe_b64encode(orjson.dumps(key)).decode().rstrip("=")


def key_of(cursor: str, *kinds: type[str] | type[int]) -> tuple[str | int, ...]:
    """Return the key that a cursor was made of.

    Raises:
        CursorError: The text is no cursor, or one of another list.
    """
    problem = CursorError("`cursor` is not one that this list gave.")
    if len(cursor) > _MAX_CHARACTERS:
        raise problem
    try:
        key = orjson.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        raise problem from None
    if not isinstance(key, list) or [type(part) for part in cast("list[object]", key)] != list(kinds):
        raise problem
    parts = tuple(cast("list[str | int]", key))
    if any(isinstance(part, int) and abs(part) > _MAX_INT for part in parts):
        raise problem
    return parts
