"""The client: the one place that wires configuration, turns, queue and transport together."""

import atexit
import time
import weakref
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lumina_async._config import LuminaConfig
from lumina_async._fork import keep_for_good, on_fork
from lumina_async._handover import running_loop
from lumina_async._identity import Scope, Scopes
from lumina_async._ledger import Stats
from lumina_async._log import enable_debug, logger
from lumina_async._people import FeedbackKind, People
from lumina_async._protocols import Clock
from lumina_async._recorder import Recorder, State
from lumina_async._session import Sessions
from lumina_async.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from lumina_async._flusher import Flusher
    from lumina_async._transport import Transport


def _config_of(config: LuminaConfig | None, options: dict[str, Any]) -> LuminaConfig:
    if config is not None and options:
        raise ConfigError("init takes a LuminaConfig or keywords, not both")
    try:
        return config or LuminaConfig(**options)
    except TypeError as error:
        raise ConfigError(f"{error}; the options are those of LuminaConfig".partition("__init__() ")[2]) from None


def _new_flusher(
    config: LuminaConfig,
    recorder: Recorder,
    make_transport: "Callable[[LuminaConfig], Transport] | None",
    left: dict[Path, int],
) -> "Flusher":
    # Imported here and not above: aiohttp costs more than the rest of the package, and `import lumina_async` must stay
    # cheap. Not later either: the first batch would pay for it in the middle of a request.
    from lumina_async._flusher import Flusher
    from lumina_async._spool import Spool
    from lumina_async._transport import HttpTransport

    spool = None
    if config.spool_dir is not None:
        root, syncs, bound = Path(config.spool_dir), config.spool_fsync != "off", config.spool_max_bytes
        spool = Spool(root, config.url, syncs=syncs, max_bytes=bound, once=recorder.once, left=left)
    return Flusher(config, recorder, (make_transport or HttpTransport)(config), spool)


_clients: "weakref.WeakSet[LuminaClient]" = weakref.WeakSet()


class LuminaClient:
    """Records turns and ships them. `Lumina` is the one of the process; build others for several projects, or tests.

    It may be built without a loop, at import time: `async with` it, or its first use inside a loop, starts it.

    Args:
        config: The options; None waits for `init`.
        transport: What carries the batches, for tests; None for HTTP.
        clock: Where time comes from, for tests.

    Attributes:
        session: Begins conversations: `await Lumina.session.start()`.
        recorder: Where events are handed in; for this package alone.
    """

    def __init__(
        self,
        config: LuminaConfig | None = None,
        *,
        transport: "Callable[[LuminaConfig], Transport] | None" = None,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or Clock()
        self._make_transport = transport
        self.recorder = Recorder(self._clock)
        self._flusher: Flusher | None = None
        self._config: LuminaConfig | None = None
        self._left_on_disk: dict[Path, int] = {}
        self.session = Sessions(self.recorder, Scopes())
        self._people = People(self.recorder, self.session.scopes)
        _clients.add(self)
        if config is not None:
            self._configure(config)

    @property
    def is_initialized(self) -> bool:
        """Whether the client has a configuration and was not shut down."""
        return self.recorder.state in {State.RUNNING, State.DISABLED}

    async def init(self, config: LuminaConfig | None = None, /, **options: Any) -> "LuminaClient":
        """Configure and start the client; await it once, when the app starts.

        The same configuration again does nothing. After `shutdown` it starts anew.

        Args:
            config: The options, or
            options: the options as keywords; see `LuminaConfig`. The environment gives the rest. None: as before.

        Returns:
            The client itself.

        Raises:
            ConfigError: An option is missing or wrong; the client already has another configuration; or this is not
                asyncio.
        """
        config = _config_of(config or (None if options else self._config), options)
        if running_loop() is None:
            raise ConfigError("lumina_async runs on asyncio (uvloop included); this is another event loop")
        if not self.is_initialized:
            self._configure(config)
        elif self._config is not None and (names := self._config.differences(config)):
            raise ConfigError(f"already initialised with another {', '.join(names)}; await shutdown() before init")
        if self._flusher is not None:
            self._flusher.start()
        if self.recorder.hooks is not None:
            await self.recorder.hooks.start()
        return self

    def _configure(self, config: LuminaConfig) -> None:
        if config.debug:
            enable_debug()
        for warning in config.warnings():
            self.recorder.once.warn(warning, "%s", warning)
        self._config = config
        self.session.scopes.kind = config.scope
        self._people.keep_in(None if config.identity_file is None else Path(config.identity_file))
        self._record_by(config)
        logger.debug("initialised: %r", config)

    def _record_by(self, config: LuminaConfig) -> None:
        if config.enabled:
            self._flusher = _new_flusher(config, self.recorder, self._make_transport, self._left_on_disk)
        self.recorder.begin(config, None if self._flusher is None else self._flusher.offer)

    def _begin_in_child(self) -> None:
        """Begin anew in the child of a fork, with nothing of the parent's."""
        inherited, self._flusher, self._left_on_disk = self._flusher, None, {}
        self.recorder.forget()
        if inherited is not None and self._config is not None:
            inherited.abandon()
            keep_for_good(inherited)
            self._record_by(self._config)

    async def __aenter__(self) -> "LuminaClient":
        if self._config is None:
            raise ConfigError("the client has no configuration: LuminaClient(LuminaConfig(...))")
        return await self.init(self._config)

    async def __aexit__(self, *_: object) -> None:
        await self.shutdown()

    @asynccontextmanager
    async def scope(
        self, user_id: str | None = None, session_id: str | None = None, anonymous_id: str | None = None
    ) -> AsyncGenerator[None, None]:
        """Open a scope of its own for a request, a message or a job: nobody else's user or session is seen in it.

        Args:
            user_id: The known user, if there is one.
            session_id: The app's own id for the conversation; `session.start()` takes it from here.
            anonymous_id: The `anon_...` that the app has kept for a visitor, so that they are the same one again.
        """
        before = self.session.scopes.enter(Scope.begin(user_id, session_id, anonymous_id, self.recorder.once))
        try:
            yield
        finally:
            self.session.scopes.leave(before)

    async def identify(
        self, user_id: str, properties: Mapping[str, Any] | None = None, new_session: bool | None = None
    ) -> None:
        """Say who this is, at login or on every request: the same id and properties are sent once per process.

        What the visitor did before in this scope becomes this user's. Never raises; a bad id is refused, and warned of.

        Args:
            user_id: 1 to 200 printable characters that name one person.
            properties: What is known of the person, like a plan or an e-mail address. Sent as given, in every mode.
            new_session: None ends the session when another known user was here; True always, False never.
        """
        if self._people.identify(user_id, properties, new_session) and self._flusher is not None:
            self._flusher.hasten()

    async def reset(self) -> None:
        """Say that the user has left, at logout: from here on it is a new visitor in a new session."""
        self._people.reset()

    async def get_distinct_id(self) -> str:
        """Return the id of the user in this scope: the known one, else `anon_...`."""
        return self.session.scopes.current().distinct_id

    async def is_anonymous(self) -> bool:
        """Return whether nobody has said who this is."""
        return self.session.scopes.current().user_id is None

    async def feedback(
        self,
        turn_id: str,
        score: float | None = None,
        label: str | None = None,
        comment: str | None = None,
        source: str = "user",
        kind: FeedbackKind = "feedback",
    ) -> None:
        """Record what somebody thinks of an answer.

        Args:
            turn_id: The `turn_id` of the turn.
            score: In your own measure, like 1 and -1, or 0 to 10.
            label: In a word, like `"thumbs_down"`.
            comment: In their own words: content, so it goes through the mask.
            source: Who says it, like `"user"` or `"reviewer"`.
            kind: `"feedback"`, `"nps"`, `"survey"` or `"request"`.
        """
        await self._people.feedback(turn_id, score, label, comment, source, kind)

    async def flush(self, timeout: float = 10.0) -> bool:
        """Send what was recorded before this call. Never raises.

        Args:
            timeout: Seconds.

        Returns:
            True only if all of it is stored, with all that the spool held. False when the time is over, when some of it
            was lost, and at once when the server refuses everything (`Stats.paused`).
        """
        return await self._flusher.flush(timeout) if self._flusher is not None else not self.recorder.stats().waiting

    async def shutdown(self, timeout: float = 5.0) -> None:
        """Send what can be sent, then let go of everything; await it when the app stops. A second call does nothing.

        Args:
            timeout: Seconds for all of it, and none once it is cancelled; what is left stays in the spool, or is lost.
        """
        if not self.is_initialized:
            return
        hooks, flusher, left, deadline = self.recorder.hooks, self._flusher, 0.0, time.monotonic() + timeout
        self.recorder.end()
        self._flusher = None
        try:
            if hooks is not None:
                await hooks.aclose(timeout / 2)
            left = deadline - time.monotonic()
        finally:
            if flusher is not None:
                await flusher.aclose(max(0.0, left))

    async def stats(self) -> Stats:
        """Return where every event of this client is."""
        if (flusher := self._flusher) is None:
            return self.recorder.stats()
        return self.recorder.stats(paused=flusher.paused, spool=flusher.spool_state.value)

    def _end_at_exit(self) -> None:
        """Leave on disk what can be left there, and log what nobody has sent."""
        if self._flusher is not None:
            self.recorder.release_held()
            self._flusher.end_at_exit()
        if waiting := (stats := self.recorder.stats()).waiting + stats.open_turns:
            logger.warning("%d events were never sent: await Lumina.flush() or shutdown() before the app ends", waiting)

    def __repr__(self) -> str:
        return f"<LuminaClient {self.recorder.state.value}>"


def _before_fork() -> None:
    for client in tuple(_clients):
        client.recorder.release_held()


def _in_child() -> None:
    for client in tuple(_clients):
        client._begin_in_child()


@atexit.register
def _at_exit() -> None:
    for client in tuple(_clients):
        client._end_at_exit()


on_fork(before=_before_fork, in_child=_in_child)

Lumina = LuminaClient()
"""The client of this process: `await Lumina.init(...)` once, then use it everywhere."""
