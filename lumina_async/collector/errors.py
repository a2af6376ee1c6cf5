"""Every error the collector raises.

LuminaError
└── CollectorError
    ├── StartError        it cannot serve: the port or the file is taken, the host is not loopback, the file is not ours
    ├── KeysError         the file of write keys cannot be read or written, or what is asked for is no key
    ├── StoreError        the store did not take or find the rows; nothing of that batch is stored
    │   └── DiskError     because the disk is full, or fails, or the file is damaged
    ├── CursorError       a page was asked for with a cursor that this store never gave
    └── ProblemError      what a request gets for an answer instead of what it asked for
"""

from collections.abc import Mapping

from lumina_async.errors import LuminaError


class CollectorError(LuminaError):
    """The root of every error of the collector."""


class StartError(CollectorError):
    """The collector cannot serve; the message says why and what to do."""


class KeysError(CollectorError):
    """The file of write keys cannot be read or written, or what is asked for is no key; the message says which."""


class StoreError(CollectorError):
    """The store did not take or find the rows; nothing of that batch is stored."""


class DiskError(StoreError):
    """The disk does not take what is to be stored.

    Args:
        message: What happened to which file.
        is_full: Whether room is all that is missing.
    """

    def __init__(self, message: str, *, is_full: bool = False) -> None:
        super().__init__(message)
        self.is_full = is_full


class CursorError(CollectorError):
    """A page was asked for with a cursor that this store never gave."""


class ProblemError(CollectorError):
    """The answer to a request that is not answered with what it asked for.

    Args:
        status: The HTTP status.
        code: A fixed word for programs to compare.
        message: A sentence for people, without anything that the request carried.
        headers: Headers the status calls for, such as `Retry-After`.
        close: Whether the connection ends with this answer, because the rest of the body is not read.
        detail: Further fields of the body, such as a limit in bytes.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        close: bool = False,
        detail: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})
        self.close = close
        self.detail = dict(detail or {})
