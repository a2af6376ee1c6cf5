"""An event larger than the limit loses text before it is lost: the longest strings first, then its content."""

from typing import Any

import orjson

_LIMITS = (65_536, 16_384, 4_096, 1_024, 256)
_CONTENT = ("messages", "annotations", "llm", "tools", "retrievals", "properties", "pointers", "error")


def shrink(line: bytes, max_bytes: int) -> bytes | None:
    """Return the line within the limit, with a note of what was done to it; None where its metadata alone is larger.

    Args:
        line: One event as JSON, newline included.
        max_bytes: The limit, newline included.
    """
    fields: dict[str, Any] = orjson.loads(line)
    notes = [*fields.get("notes", ()), f"the event had {len(line):,} bytes: its longest texts were cut"]
    for limit in _LIMITS:
        cut = _line({key: _cut(value, limit) for key, value in fields.items()} | {"notes": notes})
        if len(cut) <= max_bytes:
            return cut
    notes[-1] = f"the event had {len(line):,} bytes: its content was dropped"
    bare = {key: value for key, value in fields.items() if key not in _CONTENT}
    cut = _line(bare | {"notes": notes})
    return cut if len(cut) <= max_bytes else None


def _line(fields: dict[str, Any]) -> bytes:
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


def _cut(value: Any, limit: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= limit else f"{value[:limit]}…[cut, {len(value):,} characters]"
    if isinstance(value, list):
        return [_cut(item, limit) for item in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, dict):
        return {key: _cut(inner, limit) for key, inner in value.items()}  # pyright: ignore[reportUnknownVariableType]
    return value
