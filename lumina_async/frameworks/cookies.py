"""The three cookies by which a browser is known again. Pure: header values in, header values out (SPEC section 4).

    lumina_id       the visitor, `anon_<uuid>`: a hint, which authorises nothing
    lumina_uid      the known user, signed; without a secret neither set nor read
    lumina_session  the trace id of the conversation, signed where there is a secret; it ends with the browser

A cookie that is malformed, too long, or sent twice counts as absent.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence

import attrs

from lumina_async._identity import is_id
from lumina_async._tokens import derive_key
from lumina_async.errors import ConfigError

VISITOR, USER, SESSION = "lumina_id", "lumina_uid", "lumina_session"
YEAR_S = 365 * 24 * 60 * 60
MAX_COOKIE = 4_096
"""Characters: what a browser keeps of a cookie."""

MIN_SECRET = 16

_VISITOR = re.compile(r"anon_[0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}")
_TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")


@attrs.frozen(kw_only=True)
class Kept:
    """What a browser keeps of who it is.

    Attributes:
        anonymous_id: The visitor.
        user_id: The known user, proven by a signature.
        trace_id: The conversation.
        is_foreign: Whether `lumina_id` holds a known id, as the browser SDK of the original writes it. It proves
            nothing, and it is that SDK's: it is neither used nor overwritten.
    """

    anonymous_id: str | None = None
    user_id: str | None = None
    trace_id: str | None = None
    is_foreign: bool = False


class Signer:
    """Signs what a browser keeps.

    Args:
        secret: One secret, or several: the first signs, all are accepted, so that a secret can be replaced.

    Raises:
        ConfigError: A secret is too short to be one, or itsdangerous is not installed.
    """

    def __init__(self, secret: str | Sequence[str]) -> None:
        secrets = [secret] if isinstance(secret, str) else list(secret)
        if not secrets or any(len(one) < MIN_SECRET for one in secrets):
            raise ConfigError(f"cookie_secret must be {MIN_SECRET} characters or more, or a list of such secrets")
        try:
            from itsdangerous import BadData, TimestampSigner
        except ModuleNotFoundError:
            hint = "cookie_secret needs itsdangerous; install it with: pip install 'lumina-async[frameworks]'"
            raise ConfigError(hint) from None
        # Keys of its own for each cookie, so that one cannot be passed off as another; derived here, once, and not for
        # each signature. The last one signs there.
        self._by_name = {
            name: TimestampSigner(
                [derive_key(one, name) for one in secrets[::-1]], key_derivation="none", digest_method=hashlib.sha256
            )
            for name in (USER, SESSION)
        }
        self._bad_data = BadData

    def sign(self, name: str, value: str) -> str:
        """Return the value of this cookie: letters, digits, `-`, `_` and `.`, whatever is signed."""
        return self._by_name[name].sign(base64.urlsafe_b64encode(value.encode()).rstrip(b"=")).decode()

    def read(self, name: str, cookie: str, max_age_s: int | None = None) -> str | None:
        """Return what was signed, or None where this cookie was not signed by us, or too long ago."""
        if not cookie:
            return None
        try:
            value = self._by_name[name].unsign(cookie, max_age=max_age_s)
            return base64.urlsafe_b64decode(value + b"=" * (-len(value) % 4)).decode()
        # Not signed by us; or signed, and of another form all the same.
        except (self._bad_data, ValueError):
            return None


def parse(headers: Iterable[str]) -> dict[str, str]:
    """Return the cookies of all `Cookie` headers; of a name that comes twice nobody knows which is meant: left out."""
    found: dict[str, str] = {}
    twice: set[str] = set()
    for pair in ";".join(headers).split(";"):
        name, equals, value = pair.partition("=")
        name = name.strip(" \t")
        if equals and name in found:
            twice.add(name)
        elif equals:
            found[name] = value.strip(" \t")
    return {name: value for name, value in found.items() if name not in twice}


def read(cookies: Mapping[str, str], signer: Signer | None) -> Kept:
    """Return what a browser says of itself, as far as it has the right form."""
    given = {name: value for name in (VISITOR, USER, SESSION) if 0 < len(value := cookies.get(name, "")) <= MAX_COOKIE}
    visitor, trace_id, user_id = given.get(VISITOR, ""), given.get(SESSION, ""), None
    is_visitor = _VISITOR.fullmatch(visitor) is not None
    if signer is not None:
        user_id = signer.read(USER, given.get(USER, ""), YEAR_S)
        trace_id = signer.read(SESSION, trace_id) or ""
    return Kept(
        anonymous_id=visitor if is_visitor else None,
        user_id=user_id if is_id(user_id) else None,
        trace_id=trace_id if _TRACE_ID.fullmatch(trace_id) else None,
        is_foreign=visitor.isascii() and is_id(visitor) and "anon_" not in visitor,
    )


def news(before: Kept, now: Kept, signer: Signer | None, *, secure: bool) -> list[str]:
    """Return the `Set-Cookie` values for what a browser does not keep yet, or is to forget."""
    values: list[str] = []
    if now.anonymous_id not in {None, before.anonymous_id} and not before.is_foreign:
        values.append(_set(VISITOR, now.anonymous_id, YEAR_S, secure=secure))
    if now.user_id != before.user_id and signer is not None:
        signed = None if now.user_id is None else signer.sign(USER, now.user_id)
        values.append(_set(USER, signed, YEAR_S, secure=secure))
    if now.trace_id != before.trace_id:
        trace_id = now.trace_id
        signed = trace_id if trace_id is None or signer is None else signer.sign(SESSION, trace_id)
        values.append(_set(SESSION, signed, None, secure=secure))
    return values


def private(cache_control: str | None) -> str:
    """Return the `Cache-Control` of an answer that sets a cookie: no shared cache may give it to somebody else."""
    directives = [part.strip() for part in (cache_control or "").split(",") if part.strip()]
    names = {part.partition("=")[0].lower() for part in directives}
    if names & {"private", "no-store"}:
        return cache_control or ""
    shared = {"public", "s-maxage"}
    return ", ".join([part for part in directives if part.partition("=")[0].lower() not in shared] + ["private"])


def _set(name: str, value: str | None, max_age_s: int | None, *, secure: bool) -> str:
    """Return a `Set-Cookie` value; None as value makes the browser forget the cookie."""
    age = 0 if value is None else max_age_s
    parts = [
        f"{name}={value or ''}",
        *([] if age is None else [f"Max-Age={age}"]),
        "Path=/",
        "SameSite=Lax",
        "HttpOnly",
    ]
    return "; ".join([*parts, "Secure"] if secure else parts)
