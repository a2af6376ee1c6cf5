"""Who may look: the page token, and the cookie that a browser gets for it (FAULTS C23)."""

import asyncio
import hmac
import logging
import math
import secrets
import time
from collections.abc import Callable
from urllib.parse import parse_qs, urlencode

import attrs
from aiohttp import web

from lumina_async._tokens import derive_key, keyed_hash
from lumina_async.collector.addresses import Proxies
from lumina_async.collector.errors import ProblemError, StartError
from lumina_async.collector.failures import Failures

logger = logging.getLogger("lumina_async.collector")

_SHORTEST = 16
_TOKEN_BYTES = 24
_COOKIE_S = 30 * 24 * 3600
_BODY_BYTES = 4096
_BODY_DEADLINE_S = 5.0


def new_token() -> str:
    """Return a page token that nobody can guess."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


@attrs.frozen(eq=False)
class PageAccess:
    """Lets those in who know the page token.

    A browser shows the token once and gets a cookie for it, which no script reads and no other site's request brings.
    The cookie holds its own end and a signature with a key derived from the token, so it outlives a restart under the
    same token, and a new token ends every login. Programs send `Authorization: Bearer` with the token.
    """

    token: str = attrs.field(repr=False)
    proxies: Proxies = attrs.field(factory=Proxies)
    clock: Callable[[], float] = time.time
    failures: Failures = attrs.field(factory=Failures)
    _key: bytes = attrs.field(
        init=False, repr=False, default=attrs.Factory(lambda self: derive_key(self.token, "page"), takes_self=True)
    )

    def __attrs_post_init__(self) -> None:
        if len(self.token) < _SHORTEST or not self.token.isascii() or not self.token.isprintable():
            raise StartError(
                f"A page token has at least {_SHORTEST} printable ASCII characters. Set LUMINA_PAGE_TOKEN to one that "
                "is long and random, or leave it out: then one is made."
            )

    def check(self, request: web.Request) -> None:
        """Refuse a request without cookie or token with 401."""
        if not self.is_in(request):
            raise ProblemError(401, "login_required", "This needs the page token; log in at /login.")

    def is_in(self, request: web.Request) -> bool:
        """Return whether this request comes from somebody who has shown the token; 429 for those who only guess."""
        if self._is_ours(request.cookies.get(self._cookie_name, "")):
            return True
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self._is_token(request, token.strip())

    async def login(self, request: web.Request) -> web.Response:
        """Answer `POST /login` with a form that has `token`: 204 and the cookie, or 401."""
        fields = parse_qs((await _small_body(request)).decode("utf-8", "replace"))
        if not self._is_token(request, fields.get("token", [""])[0].strip()):
            raise ProblemError(401, "bad_token", "That is not the page token.")
        return self._with_cookie(request, web.Response(status=204))

    async def logout(self, request: web.Request) -> web.Response:
        """Answer `POST /logout`: the browser forgets the cookie."""
        response = web.Response(status=204)
        response.del_cookie(self._cookie_name, path="/", httponly=True, samesite="Strict", secure=_is_https(request))
        return response

    def enter(self, request: web.Request, token: str) -> web.Response:
        """Return the answer to a link with the token: the cookie, and an address without the token."""
        if self._is_token(request, token):
            return self._with_cookie(request, _redirect(request, "/"))
        return _redirect(request, "/login", failed="1")

    def to_login(self, request: web.Request) -> web.Response:
        """Return the answer to somebody who has not logged in and asks for the page."""
        return _redirect(request, "/login")

    @property
    def _cookie_name(self) -> str:
        # Browsers share the cookies of a host between its ports: two collectors must not log each other out.
        return f"lumina_page_{keyed_hash(self._key, 'name')[:8]}"

    def _is_token(self, request: web.Request, token: str) -> bool:
        address = self.proxies.source_of(request)
        if (wait_s := self.failures.delay_s(address)) > 0:
            message = "Too many attempts with a wrong page token. Wait a moment."
            raise ProblemError(429, "too_many_attempts", message, headers={"Retry-After": str(math.ceil(wait_s))})
        if hmac.compare_digest(self.token.encode(), token.encode("utf-8", "surrogateescape")):
            self.failures.forget(address)
            return True
        if token and (times := self.failures.add(address)):
            logger.warning("Refused a page token from %s (%d since the last such line)", address, times)
        return False

    def _is_ours(self, cookie: str) -> bool:
        end, _, signature = cookie.partition(".")
        is_signed = hmac.compare_digest(keyed_hash(self._key, end), signature.encode("ascii", "replace").decode())
        return is_signed and int(end) > self.clock()

    def _with_cookie(self, request: web.Request, response: web.Response) -> web.Response:
        end = str(int(self.clock()) + _COOKIE_S)
        value = f"{end}.{keyed_hash(self._key, end)}"
        response.set_cookie(
            self._cookie_name,
            value,
            max_age=_COOKIE_S,
            path="/",
            httponly=True,
            samesite="Strict",
            secure=_is_https(request),
        )
        return response


def _is_https(request: web.Request) -> bool:
    # Believed from anybody: whoever claims it without being behind TLS gets a cookie that their browser keeps back.
    return request.secure or request.headers.get("X-Forwarded-Proto", "").lower() == "https"


def _redirect(request: web.Request, path: str, **query: str) -> web.Response:
    if project := request.query.get("project"):
        query["project"] = project
    return web.Response(status=303, headers={"Location": f"{path}?{urlencode(query)}" if query else path})


async def _small_body(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(_BODY_DEADLINE_S):
            await request.content.readexactly(_BODY_BYTES + 1)
    except asyncio.IncompleteReadError as whole:
        return whole.partial
    except TimeoutError:
        raise ProblemError(408, "slow_body", "The body did not arrive in time.", close=True) from None
    except (ConnectionError, web.RequestPayloadError):
        raise ProblemError(400, "bad_body", "The body breaks the rules of HTTP.", close=True) from None
    raise ProblemError(413, "too_large", "That is no page token.", close=True)
