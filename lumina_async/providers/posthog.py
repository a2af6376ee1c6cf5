"""PostHog: each turn linked to its session replay, each event of PostHog to its turn, and LLM analytics.

    provider = posthog_provider(api_key="phc_...", project_id="12345")
    await Lumina.init(..., ui_analytics=provider)

Session and window come from what the browser says in this request (the middleware reads it), else from PostHog's own
context. The screen is recorded by posthog-js in the browser; a server neither starts nor stops that.
"""

import asyncio
import contextvars
import inspect
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from weakref import WeakValueDictionary

from lumina_async import ConfigError, current_turn
from lumina_async._replay import Replay, current_replay, replay_id
from lumina_async.providers import TurnContext
from lumina_async.providers.facts import Facts
from lumina_async.providers.posthog_ai import ai_events, turn_properties

if TYPE_CHECKING:
    from posthog import AsyncPosthog, Posthog

CLOUD = "https://us.posthog.com"
LONGEST_SESSION_S = 24 * 3_600
"""After a day PostHog begins another session: an offset beyond it tells of a clock that is wrong."""


def posthog_provider(
    api_key: str | None = None,
    host: str | None = None,
    project_id: str | int | None = None,
    client: "Posthog | AsyncPosthog | None" = None,
    *,
    ui_host: str | None = None,
    llm_analytics: bool = True,
) -> "PostHogProvider":
    """Return the provider of a PostHog project; the same arguments give the same one.

    Args:
        api_key: The key of the project (`phc_...`); a client is made at its first use and shut down with Lumina.
        host: Where events go; PostHog's US cloud by default.
        project_id: The number in the address of PostHog's pages. Without it, a replay link opens in the project that
            the reader has open.
        client: One of yours instead of a key, sync or async. It is flushed at shutdown and stays yours.
        ui_host: Where PostHog's pages are, when `host` is a proxy of your own.
        llm_analytics: Whether turns become `$ai_trace`, `$ai_generation` and `$ai_span` events. Say no where
            `posthog.ai` already wraps the client of the model.

    Raises:
        ConfigError: Neither a key nor a client was given, or both.
    """
    if (client is None) == (not api_key):
        raise ConfigError("posthog_provider takes the api_key of a PostHog project, or a client of yours")
    # A loop must never wait for this import; whoever makes a provider is about to use it.
    import posthog

    options = (api_key, host, project_id, id(client), ui_host, llm_analytics)
    provider = _made.get(options)
    if provider is None:
        make = partial(posthog.Posthog, api_key or "", host=host)
        pages = _pages_host(ui_host or _configured_host(client) or host)
        provider = PostHogProvider(make, client, _replay_address(pages, project_id), llm_analytics)
        _made[options] = provider
    return provider


# Two clients of one key in a process compete; so whoever asks twice gets one.
_made: "WeakValueDictionary[tuple[Any, ...], PostHogProvider]" = WeakValueDictionary()


class PostHogProvider:
    """A `UIAnalyticsProvider` for PostHog; `posthog_provider` makes it.

    Everything it sends names its person and its turn itself and is captured in an empty context: the hooks run after
    the fact, and a turn that is open by then is another one.
    """

    def __init__(self, make: "Callable[[], Posthog]", client: Any, address: str, llm_analytics: bool) -> None:
        self.name = "posthog"
        self._make, self._client, self._is_ours = make, client, client is None
        self._address, self._llm_analytics = address, llm_analytics
        if client is not None:
            stamp(client)

    async def init(self) -> None:
        """Make the client, where it is ours, and let posthog find out what system this is."""
        self._ready()
        await _in_thread(_look_around)

    async def get_session_id(self) -> str:
        """Return PostHog's session of the person in this request, or an empty string."""
        return _replay().session_id or ""

    async def get_window_id(self) -> str:
        """Return PostHog's id of the tab, or an empty string."""
        return _replay().window_id or ""

    async def get_replay_url(self) -> str:
        """Return where this moment can be watched: the replay of the session, at the second that is now."""
        replay = _replay()
        if replay.session_id is None:
            return ""
        address, began_ms = f"{self._address}/replay/{replay.session_id}", replay.began_ms
        if began_ms is None:
            return address
        seconds = (time.time_ns() // 1_000_000 - began_ms) // 1_000
        return f"{address}?t={seconds if 0 < seconds <= LONGEST_SESSION_S else 0}"

    async def tag_turn(self, context: TurnContext) -> None:
        """Nothing needs to be marked: each capture reads `current_turn()` itself, where it is made."""
        self._ready()

    async def untag_turn(self, context: TurnContext) -> None:
        """Nothing needs to be undone."""

    async def start_replay(self) -> None:
        """Do nothing: the browser records, so posthog-js starts it (`posthog.startSessionRecording()`)."""

    async def stop_replay(self) -> None:
        """Do nothing: posthog-js stops it (`posthog.stopSessionRecording()`)."""

    async def capture_event(self, name: str, properties: Mapping[str, Any]) -> None:
        """Capture an event of the person that `distinct_id` names; without one it is nobody's."""
        told, replay = dict(properties), _replay()
        distinct_id, is_anonymous = told.pop("distinct_id", None), told.pop("anonymous", False)
        told |= {"$session_id": replay.session_id} if replay.session_id else {}
        told |= {"$window_id": replay.window_id} if replay.window_id else {}
        told |= {"$process_person_profile": False} if is_anonymous else {}
        await self._send("capture", name, distinct_id=distinct_id, properties=told)

    async def alias(self, previous_id: str, user_id: str) -> None:
        """Say that a visitor is this user."""
        # PostHog merges the second id into the person of the first, and refuses where the second was identified before.
        # So the user comes first, although the parameter is called `previous_id`.
        await self._send("alias", user_id, previous_id)

    async def identify(self, user_id: str, properties: Mapping[str, Any]) -> None:
        """Set what is known of a user."""
        if properties:
            await self._send("set", distinct_id=user_id, properties=dict(properties))

    async def turn_ended(self, context: TurnContext, facts: Facts) -> None:
        """Tell LLM analytics of a turn."""
        if not self._llm_analytics:
            return
        for told in ai_events(facts):
            await self._send(
                "capture",
                told.event,
                distinct_id=context.distinct_id,
                properties=told.properties,
                timestamp=told.at,
                uuid=told.uuid,
            )

    async def shutdown(self) -> None:
        """Send what waits, within the deadline of `Lumina.shutdown`; a client of ours ends."""
        client = self._client
        if client is None:
            return
        if self._is_ours:
            self._client = None
            await _in_thread(client.shutdown)
        elif inspect.iscoroutinefunction(client.flush):
            await client.flush()
        else:
            await _in_thread(client.flush)

    def _ready(self) -> Any:
        if self._client is None:
            self._client = self._make()
        stamp(self._client)
        return self._client

    async def _send(self, method: str, *args: Any, **facts: Any) -> None:
        client = self._ready()
        send = partial(contextvars.Context().run, partial(getattr(client, method), *args, **facts))
        # Other clients only put it into their queue; one in this mode sends it, and waits for the answer.
        if getattr(client, "sync_mode", False):
            await _in_thread(send)
        else:
            send()


class TurnProperties(Mapping[str, Any]):
    """The super properties of a client: its own, and while a turn is open those that name the turn.

    The client merges them into each event as that is captured, so this is asked in the context of whoever captures: no
    state marks a turn, and turns at the same time do not mix. (A `before_send` would come too late: the async client
    calls it when the batch leaves.)
    """

    def __init__(self, own: Mapping[str, Any]) -> None:
        self._own = own

    def __getitem__(self, name: str) -> Any:
        found = self._now()
        if name not in found and not name.startswith("lumina_"):
            raise KeyError(name)
        # Between the question for the names and this one a turn may end in another thread: None then.
        return found.get(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())

    def _now(self) -> Mapping[str, Any]:
        turn = current_turn()
        if turn is None:
            return self._own
        start_ms = turn.started_ns // 1_000_000
        return {**self._own, **turn_properties(turn.turn_id, turn.seq, turn.session_id, start_ms)}


def stamp(client: Any) -> None:
    """Let each capture of a client name the turn it is made in. Again is the same as once."""
    if not isinstance(client.super_properties, TurnProperties):
        client.super_properties = TurnProperties(client.super_properties or {})


def _replay() -> Replay:
    """Return the replay of this request: as its browser tells, else the session in PostHog's own context."""
    told = current_replay()
    if told is not None and told.session_id is not None:
        return told
    from posthog.contexts import get_context_session_id

    return Replay(session_id=replay_id(get_context_session_id()))


def _look_around() -> None:
    # At the first capture posthog asks programs of the system (`uname`, `lsb_release`) and waits for them; it remembers
    # the answer for all clients. This one sends nothing.
    import posthog

    posthog.Posthog("none", send=False).capture("none", distinct_id="none")


async def _in_thread(work: Callable[[], object]) -> None:
    """Wait for something that blocks. Cancelled, it goes on alone and keeps neither the loop nor the process."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def run() -> None:
        try:
            work()
        finally:
            # Nobody waits any more once the loop is closed.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(done.set)

    threading.Thread(target=run, name="lumina-posthog", daemon=True).start()
    await done.wait()


def _configured_host(client: Any) -> str | None:
    return getattr(client, "app_host", None) or getattr(client, "raw_host", None)


def _pages_host(host: str | None) -> str:
    """Return where PostHog's pages are, for the host that events go to."""
    host = (host or CLOUD).rstrip("/")
    cloud = re.fullmatch(r"https://(us|eu|app)(\.i)?\.posthog\.com", host)
    return host if cloud is None else f"https://{cloud[1].replace('app', 'us')}.posthog.com"


def _replay_address(pages: str, project_id: str | int | None) -> str:
    return pages if project_id is None else f"{pages}/project/{quote(str(project_id), safe='')}"
