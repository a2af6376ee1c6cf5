"""The input of a chat as the page sees it: the script that watches it, and the beacons that the script sends.

    GET  {prefix}/chat-input.js    the script
    POST {prefix}/chat-input       {"kind": "started" | "submitted" | "abandoned", "duration_ms", "characters",
                                    "digest", "session", "replay_id", "window_id"}

Free of any framework: a request's head and a way to read its body in, an answer out. Everything in a beacon is the
page's word. It is taken from pages of the same origin only, checked, limited, and never says who somebody is: that is
the scope's to know. The page learns a status and nothing else.
"""

import gzip
import hashlib
import inspect
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, cast

import anyio
import attrs
import orjson

from lumina_async import ConfigError, LuminaClient
from lumina_async._chat_input import record_chat_input
from lumina_async._events import EventName
from lumina_async._identity import is_id
from lumina_async._replay import Replay, replay_in_headers, set_replay
from lumina_async.frameworks.visit import Visit

MAX_BODY = 4_096
"""Bytes of a beacon; one of the script has about 300."""
MAX_DURATION_MS = 86_400_000
"""Nobody types at one message for more than a day."""
MAX_CHARACTERS = 1_000_000
PER_MINUTE = 60
"""Beacons of one visitor: a message takes two."""
PER_MINUTE_IN_ALL = 12_000
"""Beacons of everybody, in one process. It also bounds how many visitors are remembered."""

ReadBody = Callable[[int], Awaitable[bytes | None]]
"""Reads a body of at most so many bytes; None where it is longer, or does not come to its end."""

MayJoin = Callable[[Any, str], bool | Awaitable[bool]]
"""Tells, of a request and the session that its page names, whether what is typed there belongs to that session."""

_KINDS = {
    "started": EventName.CHAT_INPUT_STARTED,
    "submitted": EventName.CHAT_MESSAGE_SUBMITTED,
    "abandoned": EventName.CHAT_INPUT_ABANDONED,
}
_PATHS = frozenset({"/chat-input.js", "/chat-input"})
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SOURCE = (Path(__file__).parent / "static" / "chat_input.js").read_bytes()
# Without what is there for those who read it: indentation, and lines that are a comment.
_LINES = (line.strip() for line in _SOURCE.splitlines())
_SCRIPT = b"\n".join(line for line in _LINES if line and not line.startswith(b"//"))
_PACKED = gzip.compress(_SCRIPT, mtime=0)
# Weak, for it stands for the packed form as well.
_ETAG = f'W/"{hashlib.sha256(_SCRIPT).hexdigest()[:16]}"'
_SCRIPT_HEADERS = {
    "Content-Type": "text/javascript; charset=utf-8",
    "Cache-Control": "public, max-age=3600",
    "ETag": _ETAG,
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@attrs.frozen
class Answer:
    """What the framework sends back."""

    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b""


@attrs.frozen(kw_only=True)
class Report:
    """A beacon whose every field has the right form."""

    name: EventName
    facts: Mapping[str, Any]
    digest: str | None
    session_id: str | None
    replay: Replay | None


@attrs.define(eq=False)
class Allowance:
    """How many beacons a minute may bring, from each visitor and in all.

    Attributes:
        clock: Seconds that never go back.
    """

    clock: Callable[[], float] = time.monotonic
    _by_visitor: Counter[str] = attrs.field(factory=Counter[str], init=False)
    _in_all: int = attrs.field(default=0, init=False)
    _minute_ends: float = attrs.field(default=0.0, init=False)

    def takes(self, visitor: str) -> bool:
        """Count a beacon. What is refused is not counted, so the limit in all also bounds who is remembered."""
        now = self.clock()
        if now >= self._minute_ends:
            self._by_visitor.clear()
            self._in_all, self._minute_ends = 0, now + 60
        if self._in_all >= PER_MINUTE_IN_ALL or self._by_visitor[visitor] >= PER_MINUTE:
            return False
        self._by_visitor[visitor] += 1
        self._in_all += 1
        return True


def _checked_prefix(_: object, __: object, prefix: object) -> None:
    if not isinstance(prefix, str) or not re.fullmatch(r"(/[\w.~-]+)+", prefix, re.ASCII):
        raise ConfigError("chat_input is the path below which the script is served, like '/lumina'")


@attrs.define(eq=False)
class ChatInput:
    """Answers the requests below one prefix.

    Attributes:
        client: Where the events are recorded, and the UI provider is told of them.
        prefix: Where the script and the beacons live.
        may_join: Asked where a page names a session (`data-session`), in the scope of its visitor. Without it what a
            page names counts for nothing: the session is the visitor's.
        allowance: How many beacons are taken.
        patience_s: How long a body may take.

    Raises:
        ConfigError: The prefix is no path.
    """

    client: LuminaClient
    prefix: str = attrs.field(default="/lumina", validator=_checked_prefix)
    may_join: MayJoin | None = None
    allowance: Allowance = attrs.field(factory=Allowance)
    patience_s: float = 10.0

    def serves(self, path: str) -> bool:
        """Return whether a request for this path is answered here."""
        return path.startswith(self.prefix) and path.removeprefix(self.prefix) in _PATHS

    async def answer(self, visit: Visit, method: str, path: str, read: ReadBody) -> Answer:
        """Return the answer to a request for a path that is served here. Runs while the visit is in force.

        Args:
            visit: The request.
            method: In capitals.
            path: Without what a proxy or a mount has taken off.
            read: Called once at most.
        """
        if path.endswith(".js"):
            return _script(method, visit)
        refusal = self._refusal(method, visit)
        if refusal is not None:
            return refusal
        body: bytes | None = None
        with anyio.move_on_after(self.patience_s) as reading:
            body = await read(MAX_BODY)
        if reading.cancelled_caught:
            return Answer(408)
        if body is None:
            return Answer(413)
        report = parse(body)
        if report is None:
            return Answer(400)
        # Who may not be known again is another visitor on each request: nothing would join what one of them does.
        if not visit.may_keep:
            return Answer(204)
        session_id = None if self.may_join is None else report.session_id
        if session_id is not None and not await self._lets_join(visit.request, session_id):
            return Answer(403)
        await self._record(report, session_id)
        return Answer(204)

    def _refusal(self, method: str, visit: Visit) -> Answer | None:
        if method != "POST":
            return Answer(405, {"Allow": "POST"})
        if not is_same_origin(visit):
            return Answer(403)
        # A form of another site can send no JSON without being asked first, and nobody answers that question.
        kind = (visit.header("content-type") or "").partition(";")[0].strip().lower()
        if kind != "application/json" or visit.header("content-encoding") is not None:
            return Answer(415)
        length = visit.header("content-length") or "0"
        if not length.isdecimal() or int(length[:20]) > MAX_BODY:
            return Answer(413)
        return None if self.allowance.takes(visit.visitor) else Answer(429, {"Retry-After": "60"})

    async def _lets_join(self, request: object, session_id: str) -> bool:
        answer: object = False
        try:
            answer = self.may_join is not None and self.may_join(request, session_id)
            answer = await answer if inspect.isawaitable(answer) else answer
        # The hook is the user's and may raise anything; who did not clearly say yes has not said yes.
        except Exception as error:  # noqa: BLE001
            hint = "the chat_session hook raised %s: nothing is recorded where it does"
            self.client.recorder.once.warn("chat_session", hint, type(error).__name__)
        return answer is True

    async def _record(self, report: Report, session_id: str | None) -> None:
        recorder, replay = self.client.recorder, report.replay
        pointers = None
        if replay is not None:
            # Of this moment, where the cookie may be older or not there; a provider finds it as it finds any other.
            set_replay(lambda: replay)
            pointers = {"ui_session_id": replay.session_id} if replay.session_id else None
        session = await self.client.session.start(pointers=pointers, session_id=session_id)
        hashed = None if report.digest is None else recorder.hash_digest(report.digest)
        record_chat_input(recorder, report.name, session.origin(), {**report.facts, "partial_content_hash": hashed})


def is_same_origin(visit: Visit) -> bool:
    """Return whether a page of this very origin sent the request.

    Browsers say so themselves in `Sec-Fetch-Site`, which no page can change; on plain http they leave it out, and
    `Origin` is compared. Whatever sends neither is no page.
    """
    site = visit.header("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    scheme, _, host = (visit.header("origin") or "").lower().partition("://")
    return scheme in {"http", "https"} and host != "" and host == (visit.header("host") or "").lower()


def parse(body: bytes) -> Report | None:
    """Return what a beacon says; None where anything in it has the wrong form. What is unknown is passed over."""
    try:
        said = orjson.loads(body)
    except ValueError:
        return None
    given = cast("dict[str, Any]", said) if isinstance(said, dict) else {}
    kind = given.get("kind")
    name = _KINDS.get(kind) if isinstance(kind, str) else None
    if name is None or not _is_plausible(name, given):
        return None
    return Report(
        name=name,
        facts={"typing_duration_ms": given.get("duration_ms"), "character_count": given.get("characters")},
        digest=given.get("digest"),
        session_id=session_id if is_id(session_id := given.get("session")) else None,
        replay=_replay(given),
    )


def _is_plausible(name: EventName, given: Mapping[str, Any]) -> bool:
    digest, characters = given.get("digest"), given.get("characters")
    # A beginning has no text yet, and whatever comes after it has.
    if (name is EventName.CHAT_INPUT_STARTED) != (characters is None):
        return False
    may_digest = name is EventName.CHAT_INPUT_ABANDONED and isinstance(digest, str)
    if digest is not None and not (may_digest and _DIGEST.fullmatch(digest)):
        return False
    return _is_count(given.get("duration_ms"), MAX_DURATION_MS) and _is_count(characters, MAX_CHARACTERS)


def _is_count(value: object, most: int) -> bool:
    return value is None or (type(value) is int and 0 <= value <= most)


def _replay(given: Mapping[str, Any]) -> Replay | None:
    """Return the replay that the page names, in the form of the headers that PostHog's own script would send."""
    said = {"x-posthog-session-id": given.get("replay_id"), "x-posthog-window-id": given.get("window_id")}
    return replay_in_headers({key: value for key, value in said.items() if isinstance(value, str)})


def _script(method: str, visit: Visit) -> Answer:
    if method not in {"GET", "HEAD"}:
        return Answer(405, {"Allow": "GET, HEAD"})
    if _ETAG in (visit.header("if-none-match") or ""):
        return Answer(304, {name: _SCRIPT_HEADERS[name] for name in ("Cache-Control", "ETag", "Vary")})
    is_packed = "gzip" in (visit.header("accept-encoding") or "")
    more = {"Content-Encoding": "gzip"} if is_packed else {}
    return Answer(200, _SCRIPT_HEADERS | more, b"" if method == "HEAD" else _PACKED if is_packed else _SCRIPT)
