"""The logger of the package, and the rule that a condition is logged once, not once per event."""

import logging

logger = logging.getLogger("lumina_async")


class Once:
    """Logs a message the first time its key comes up, and again only after the key was cleared."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def warn(self, key: str, message: str, *args: object) -> None:
        """Log at warning level unless this key was logged before."""
        if key not in self._seen:
            self._seen.add(key)
            logger.warning(message, *args)

    def clear(self, key: str) -> None:
        """Forget the key: the condition is over, so its return is news."""
        self._seen.discard(key)


def enable_debug() -> None:
    """Show every operation of the package: level debug, and a stream handler where the app configured none."""
    logger.setLevel(logging.DEBUG)
    if not logger.hasHandlers():
        logger.addHandler(logging.StreamHandler())
