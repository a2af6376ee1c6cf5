"""A request as the scope of its visitor: made when a call of Lumina asks who it is, and not at all where none does."""

import inspect
import ipaddress
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import attrs

from lumina_async import ConfigError, Lumina, LuminaClient
from lumina_async._endings import set_presence
from lumina_async._identity import Opened, Scope
from lumina_async._replay import Replay, replay_of, set_replay
from lumina_async._trace import parse_traceparent
from lumina_async.frameworks import cookies
from lumina_async.frameworks.cookies import Kept, Signer

Consent = Callable[[Any], bool | Awaitable[bool]]
Headers = Callable[[], Iterable[tuple[str, str]]]

_LATE = (
    "who a visitor is was first asked, or changed, after the headers of the response were sent: no cookie could be "
    "set, so it holds for that request alone. Await Lumina.session.start() before the response begins (with FastAPI: "
    "Depends(lumina_session)), or use eager=True"
)
_FOREIGN = (
    "the cookie lumina_id holds a known id: it proves nothing and belongs to the browser's SDK, so it is left as it "
    "is, and who was not identified is a new visitor on each request. Call Lumina.identify on each request"
)

_NOTHING = Kept()


class Visits:
    """What the requests of one middleware have in common: its options.

    Args:
        client: Whose scopes they are.
        cookie_secret: Signs the cookies of the known user and of the session; 16 characters or more. Of several the
            first signs and all are accepted. None: no cookie names a known user, so the app identifies on each request.
        consent: Asked, with the request, whether the browser may be known again; plain or async. Until it says yes, no
            cookie is read or set, and the visitor is another one on each request. None: it may. A plain one is asked
            when a call of Lumina needs the answer, an async one at the beginning of each request.
        eager: Make the scope at the beginning of each request, for handlers that ask only when the answer has begun.
        trusted_hosts: Addresses or networks of proxies whose `X-Forwarded-Proto` is believed (`"*"`: all), where the
            server does not do that already. It decides whether cookies are `Secure`. `X-Forwarded-For` tells apart
            visitors without a cookie, for the limits of `chat_input`.
        posthog_project_key: Names PostHog's cookie, where a page has several.

    Raises:
        ConfigError: An option is wrong, or needs a package that is not installed.
    """

    def __init__(
        self,
        client: LuminaClient | None = None,
        *,
        cookie_secret: str | Sequence[str] | None = None,
        consent: Consent | None = None,
        eager: bool = False,
        trusted_hosts: Sequence[str] = (),
        posthog_project_key: str | None = None,
    ) -> None:
        self.client = Lumina if client is None else client
        self.signer = None if cookie_secret is None else Signer(cookie_secret)
        self.posthog_project_key = posthog_project_key
        self.trusts_all, self._trusted = "*" in trusted_hosts, _networks(trusted_hosts)
        self._consent, self._is_eager = consent, eager
        self._asks_async = inspect.iscoroutinefunction(consent) or inspect.iscoroutinefunction(
            getattr(consent, "__call__", None)  # noqa: B004  (an object whose __call__ is a coroutine function)
        )
        self.has_to_begin = eager or self._asks_async

    async def begin(self, visit: "Visit") -> None:
        """Do what these options ask for before the app has the request."""
        if self._asks_async and self._consent is not None:
            try:
                visit.may_keep = bool(await self._consent(visit.request))  # type: ignore[misc]
            # The hook is the user's and may raise anything; who did not clearly say yes has not said yes.
            except Exception as error:  # noqa: BLE001
                visit.may_keep = self._no_answer(error)
        if self._is_eager:
            visit.scope()

    def may_keep(self, request: object) -> bool:
        """Tell whether the browser of this request may be known again."""
        if self._consent is None:
            return True
        try:
            return self._consent(request) is True
        except Exception as error:  # noqa: BLE001
            return self._no_answer(error)

    def trusts(self, peer: str | None) -> bool:
        """Tell whether a proxy at this address is believed."""
        if self.trusts_all or not self._trusted:
            return self.trusts_all
        try:
            address = ipaddress.ip_address(peer or "")
        except ValueError:
            return False
        return any(address in network for network in self._trusted)

    def _no_answer(self, error: Exception) -> bool:
        hint = "the consent hook raised %s: no cookie is read or set where it does"
        self.client.recorder.once.warn("consent", hint, type(error).__name__)
        return False


@attrs.define(eq=False)
class Visit:
    """One request, or one WebSocket.

    Attributes:
        visits: The options.
        request: What the consent hook is given.
        scheme: As the server tells it: `"http"`, `"https"`, `"ws"`, `"wss"`.
        peer: The address of who has connected.
        headers: Reads the headers of the request.
        may_keep: Whether the browser may be known again; None until that is asked.
    """

    visits: Visits
    request: Any
    scheme: str
    peer: str | None
    headers: Headers
    may_keep: bool | None = None
    _scope: Scope | None = None
    _kept: Kept = _NOTHING
    _has_begun: bool = False
    _before: Opened | None = None
    _values: dict[str, list[str]] | None = None

    def enter(self, has_left: Callable[[], bool]) -> None:
        """Put the visit in force in this context and in the tasks started from it.

        Args:
            has_left: Tells whether the client has left before it had its answer.
        """
        self._before = self.visits.client.session.scopes.enter(self.scope)
        set_presence(has_left)
        set_replay(self._replay)

    def leave(self) -> None:
        """Put in force again what was before: a server may go on in the same context with another request."""
        if self._before is not None:
            self.visits.client.session.scopes.leave(self._before)
        set_presence(None)
        set_replay(None)
        if self._has_begun and self._news():
            self.visits.client.recorder.once.warn("late identity", _LATE)

    def scope(self) -> Scope:
        """Return the scope of this visit; whoever asks first makes it."""
        if self._scope is None:
            self._recall()
            self._scope = Scope(
                user_id=self._kept.user_id,
                anonymous_id=self._kept.anonymous_id,
                trace_id=self._kept.trace_id,
                is_proven=self.visits.signer is not None,
                links=self._links(),
            )
        return self._scope

    @property
    def visitor(self) -> str:
        """Who this is as far as limits go: as the browser says, else its address. Nothing is made for it."""
        if self._scope is None:
            self._recall()
        return self._kept.user_id or self._kept.anonymous_id or self._address()

    def header(self, name: str) -> str | None:
        """Return a header of the request, by its name in small letters; several are joined as HTTP has it."""
        values = self._given().get(name)
        return None if values is None else ", ".join(values)

    def set_cookies(self) -> list[str]:
        """Return the `Set-Cookie` values of the response that begins now: none unless somebody asked who it is."""
        self._has_begun = True
        found = self._news()
        if found and self._scope is not None:
            self._kept = self._now(self._scope)
        return found

    def _recall(self) -> None:
        if self.may_keep is None:
            self.may_keep = self.visits.may_keep(self.request)
        # Without consent what the browser has kept is not even read.
        if self.may_keep:
            self._kept = cookies.read(self._cookies(), self.visits.signer)

    def _news(self) -> list[str]:
        if self._scope is None or not self.may_keep:
            return []
        now = self._now(self._scope)
        if now == self._kept:
            return []
        if now.is_foreign and self._scope.user_id is None:
            self.visits.client.recorder.once.warn("foreign lumina_id", _FOREIGN)
        return cookies.news(self._kept, now, self.visits.signer, secure=self._is_secure())

    def _now(self, scope: Scope) -> Kept:
        """Return what the browser is to keep from here on."""
        session, kept, is_signed = scope.session, self._kept, self.visits.signer is not None
        # The conversation of somebody who was here before is not kept. One that the app has named itself is the app's
        # to find again, and without a signature nobody would believe a known user.
        trace_id = None if scope.epoch else kept.trace_id
        if session is not None and session.session_id == session.trace_id and (is_signed or scope.user_id is None):
            trace_id = session.trace_id
        return Kept(
            anonymous_id=scope.distinct_id if scope.user_id is None else scope.anonymous_id,
            user_id=scope.user_id if is_signed else None,
            trace_id=trace_id,
            is_foreign=kept.is_foreign,
        )

    def _links(self) -> Sequence[dict[str, str]]:
        # W3C Trace Context, section 3.2: of several nobody knows which is meant.
        given = self._given().get("traceparent", [])
        found = parse_traceparent(given[0]) if len(given) == 1 else None
        return () if found is None else ({"trace_id": found[0], "span_id": found[1]},)

    def _address(self) -> str:
        forwarded = self._given().get("x-forwarded-for")
        if forwarded is None or not self.visits.trusts(self.peer):
            return self.peer or ""
        # The last one is what the proxy saw; those before it are what it was told.
        return forwarded[-1].rpartition(",")[2].strip()

    def _is_secure(self) -> bool:
        if self.scheme in {"https", "wss"} or not self.visits.trusts(self.peer):
            return self.scheme in {"https", "wss"}
        return ",".join(self._given().get("x-forwarded-proto", [])).partition(",")[0].strip().lower() == "https"

    def _replay(self) -> Replay | None:
        given = {name: values[0] for name, values in self._given().items() if len(values) == 1}
        return replay_of(given, self._cookies(), self.visits.posthog_project_key)

    def _cookies(self) -> dict[str, str]:
        return cookies.parse(self._given().get("cookie", []))

    def _given(self) -> dict[str, list[str]]:
        if self._values is None:
            self._values = {}
            for name, value in self.headers():
                self._values.setdefault(name.lower(), []).append(value)
        return self._values


def _networks(hosts: Sequence[str]) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    if isinstance(hosts, str):
        raise ConfigError("trusted_hosts must be a list of addresses or networks")
    try:
        return [ipaddress.ip_network(host, strict=False) for host in hosts if host != "*"]
    except ValueError as error:
        raise ConfigError(f"trusted_hosts must be addresses or networks like '10.0.0.0/8', or '*': {error}") from None
