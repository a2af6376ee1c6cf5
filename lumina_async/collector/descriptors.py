"""How many files, connections among them, this process may have open at once."""

import sys

_OTHER_FILES = 100
"""The database, its log, the readers, the loop: what is open beside the connections."""
_ENOUGH = 65_536


def allow_many() -> None:
    """Raise the limit of this process to what the system allows it; the usual one is 1,024. For programs only."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def connections_of(wanted: int) -> int:
    """Return how many connections there may be, so that accepting one never fails for want of a file."""
    if sys.platform == "win32":
        return wanted
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if soft == resource.RLIM_INFINITY else min(wanted, max(soft - _OTHER_FILES, soft // 2))
