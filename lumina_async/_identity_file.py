"""Where a process keeps its user between runs: the counterpart of a browser's local storage."""

import os
from pathlib import Path
from typing import Any, cast

import orjson

from lumina_async._identity import Scope, is_id
from lumina_async._log import Once


def load(path: Path, scope: Scope, once: Once) -> None:
    """Give the scope the ids that the file holds, and write it where there is none.

    Args:
        path: JSON: `{"anonymous_id": "anon_...", "user_id": "..."}`; what is malformed counts as absent.
        scope: The one of the process.
        once: Where an unreadable file is told; the process then goes on with a new visitor.
    """
    try:
        kept: Any = orjson.loads(path.read_bytes())
        if isinstance(kept, dict):
            ids = cast("dict[str, Any]", kept)
            scope.anonymous_id = ids["anonymous_id"] if is_id(ids.get("anonymous_id")) else None
            scope.user_id = ids["user_id"] if is_id(ids.get("user_id")) else None
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        once.warn("identity_file", "identity_file cannot be read (%s): going on as a new visitor", type(error).__name__)
    save(path, scope, once)


def save(path: Path, scope: Scope, once: Once) -> None:
    """Write the ids of the scope, for its owner only, whole or not at all."""
    kept = {"anonymous_id": scope.anonymous_id or scope.distinct_id, "user_id": scope.user_id}
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(orjson.dumps(kept))
        draft.replace(path)
    except OSError as error:
        once.warn(
            "identity_file", "identity_file cannot be written (%s): the id ends with the process", type(error).__name__
        )
