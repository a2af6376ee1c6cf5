"""What is logged within a turn names the turn: a filter for `logging`, a processor for structlog.

    handler = logging.StreamHandler()
    handler.addFilter(TurnFilter())
    handler.setFormatter(logging.Formatter("%(message)s session=%(session_id)s turn=%(turn_id)s"))

    structlog.configure(processors=[add_turn, structlog.processors.JSONRenderer()])

Both read `current_turn()` where the line is logged, so each belongs where that code still runs: the filter on a handler
(the `QueueHandler`, where there is one), the processor anywhere. They never raise, and what the app set itself stays.
"""

import logging
from collections.abc import Iterable, MutableMapping
from typing import Any

from lumina_async import current_turn

NAMES = ("session_id", "turn_id", "trace_id")
"""What is added, by these names."""


class TurnFilter(logging.Filter):
    """Give each record `session_id`, `turn_id` and `trace_id`, empty outside a turn; lets every record through.

    On a logger a filter sees only what is logged right there; on a handler all that it handles.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add what is known of the current turn."""
        # The fields are always there, so that a format which names them works outside a turn too.
        for name, value in zip(NAMES, _known() or ("", "", ""), strict=True):
            record.__dict__.setdefault(name, value)
        return True


def add_turn(logger: Any, method_name: str, event_dict: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Give each event of structlog `session_id`, `turn_id` and `trace_id`; nothing outside a turn."""
    for name, value in zip(NAMES, _known(), strict=False):
        event_dict.setdefault(name, value)
    return event_dict


def _known() -> Iterable[str]:
    turn = current_turn()
    if turn is None:
        return ()
    # The trace id is the second part of a traceparent: `00-<trace id>-<span id>-01`.
    return (turn.session_id or "", turn.turn_id, turn.traceparent.split("-", 2)[1])
