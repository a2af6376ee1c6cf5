"""What a request of the read side asks for, once it is known to be no nonsense."""

from aiohttp import web

from lumina_async.collector.errors import ProblemError

_DEFAULT_LIMIT = 50
_MAX_LIMIT = 200
_MAX_CURSOR = 2000
MAX_TEXT = 200


def paging(request: web.Request) -> tuple[int, str | None]:
    """Return `limit` and `cursor`."""
    text = request.query.get("limit", str(_DEFAULT_LIMIT))
    limit = int(text) if text.isascii() and text.isdigit() and len(text) <= 3 else 0
    if not 1 <= limit <= _MAX_LIMIT:
        raise ProblemError(400, "bad_parameter", f"`limit` is no number from 1 to {_MAX_LIMIT}.")
    return limit, parameter(request, "cursor", _MAX_CURSOR)


def parameter(request: web.Request, name: str, characters: int) -> str | None:
    """Return a parameter, None where it is missing or empty; 400 for one that is too long or no text."""
    return _checked(request.query.get(name), name, characters) or None


def id_of(request: web.Request) -> str:
    """Return the id in the path."""
    return _checked(request.match_info["id"], "id", MAX_TEXT) or ""


def _checked(text: str | None, name: str, characters: int) -> str | None:
    if text is None:
        return None
    # Half a surrogate pair is text to Python and to nobody else.
    if len(text) > characters or any("\ud800" <= character <= "\udfff" for character in text):
        raise ProblemError(400, "bad_parameter", f"`{name}` has more than {characters} characters or odd ones.")
    return text
