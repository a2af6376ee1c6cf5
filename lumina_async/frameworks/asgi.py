"""The middleware for every ASGI app: FastAPI, Starlette, Litestar, Quart; HTTP and WebSocket."""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

import attrs

from lumina_async import Lumina, LuminaClient
from lumina_async._recorder import State
from lumina_async.frameworks.chat_input import ChatInput, MayJoin
from lumina_async.frameworks.cookies import private
from lumina_async.frameworks.visit import Consent, Visit, Visits

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]

CLIENT = "lumina_async.client"
"""Where the ASGI scope names the client of the middleware."""

_BEGINS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})
_STOPS = frozenset({"lifespan.startup.failed", "lifespan.shutdown.complete", "lifespan.shutdown.failed"})
_DISCONNECTS = frozenset({"http.disconnect", "websocket.disconnect"})


class LuminaMiddleware:
    """Gives each request and each WebSocket the scope of its visitor, by cookies. Pure ASGI.

    With FastAPI and Starlette: `app.add_middleware(LuminaMiddleware, cookie_secret=...)`. With Litestar:
    `middleware=[DefineMiddleware(LuminaMiddleware, ...)]`. With Quart: `app.asgi_app = LuminaMiddleware(app.asgi_app)`.

    Where it sees the lifespan (around the whole app), a `client` that was built with a configuration is started and
    ended with the server. `Lumina` is the app's to start; it is shut down behind the app, where the app has not done
    that.

    Args:
        app: The ASGI app.
        client: Whose scopes they are; `Lumina` by default.
        cookie_secret: Signs cookies; the first of several signs, all are accepted. See `visit.Visits` for the options.
        consent: Asked, with the ASGI scope, whether the browser may be known again.
        eager: Find out who it is at the beginning of each request.
        trusted_hosts: Proxies whose `X-Forwarded-Proto` is believed.
        posthog_project_key: Names PostHog's cookie.
        chat_input: Where to serve the script that watches the input of a chat, like `"/lumina"`. For Litestar, put the
            middleware around the app then, `LuminaMiddleware(Litestar(...))`: it has no route there.
        chat_session: Asked, with the ASGI scope and the session that a page names, whether what is typed there belongs
            to that session.
    """

    def __init__(
        self,
        app: App,
        *,
        client: LuminaClient | None = None,
        cookie_secret: str | Sequence[str] | None = None,
        consent: Consent | None = None,
        eager: bool = False,
        trusted_hosts: Sequence[str] = (),
        posthog_project_key: str | None = None,
        chat_input: str | None = None,
        chat_session: MayJoin | None = None,
    ) -> None:
        self.app = app
        self._visits = Visits(
            client,
            cookie_secret=cookie_secret,
            consent=consent,
            eager=eager,
            trusted_hosts=trusted_hosts,
            posthog_project_key=posthog_project_key,
        )
        self._chat_input = None if chat_input is None else ChatInput(self._visits.client, chat_input, chat_session)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve a connection, as ASGI has it."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        # An app that is mounted in another one shares its visits.
        elif scope["type"] not in {"http", "websocket"} or scope.get(CLIENT) is self._visits.client:
            await self.app(scope, receive, send)
        else:
            await self._serve(scope, receive, send)

    async def _serve(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        scope[CLIENT] = self._visits.client
        peer = scope.get("client")
        visit = Visit(self._visits, scope, scope.get("scheme", "http"), peer and peer[0], lambda: _headers(scope))
        exchange = _Exchange(visit, receive, send)
        visit.enter(exchange.has_client_left)
        try:
            if self._visits.has_to_begin:
                await self._visits.begin(visit)
            await self._app(scope, visit)(scope, exchange.receive, exchange.send)
        finally:
            visit.leave()

    def _app(self, scope: MutableMapping[str, Any], visit: Visit) -> App:
        chat_input = self._chat_input
        if chat_input is None or scope["type"] != "http":
            return self.app
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        return _chat_input_app(chat_input, path, visit) if chat_input.serves(path) else self.app

    async def _live(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        client, was_running = self._visits.client, Lumina.is_initialized

        async def tell(message: Message) -> None:
            # Behind the app: what it records while it stops still counts.
            if message["type"] in _STOPS:
                await (client.flush(5.0) if client is Lumina and was_running else client.shutdown())
            await send(message)

        # One that has no configuration yet is the app's to start, like `Lumina`.
        if client is not Lumina and client.recorder.state is not State.NEW:
            await client.init()
        await self.app(scope, receive, tell)


def _chat_input_app(chat_input: ChatInput, path: str, visit: Visit) -> App:
    async def serve(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        async def read(limit: int) -> bytes | None:
            body, has_more = bytearray(), True
            while has_more and len(body) <= limit:
                message = await receive()
                if message["type"] in _DISCONNECTS:
                    return None
                body += message.get("body", b"")
                has_more = message.get("more_body", False)
            return bytes(body) if len(body) <= limit else None

        answer = await chat_input.answer(visit, scope["method"], path, read)
        headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers.items()]
        if answer.status not in {204, 304}:
            headers.append((b"content-length", str(len(answer.body)).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    return serve


@attrs.define(eq=False)
class _Exchange:
    """The messages of one connection on their way through."""

    _visit: Visit
    _receive: Receive
    _send: Send
    _is_complete: bool = False
    _has_left: bool = False

    def has_client_left(self) -> bool:
        return self._has_left

    async def receive(self) -> Message:
        message = await self._receive()
        # After the whole answer a server tells of a disconnect as well, whether there was one or not.
        if message["type"] in _DISCONNECTS and not self._is_complete:
            self._has_left = True
        return message

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind in _BEGINS:
            message = _with_cookies(message, self._visit.set_cookies())
        elif kind == "websocket.close" or (kind == "http.response.body" and not message.get("more_body")):
            self._is_complete = True
        try:
            await self._send(message)
        # How servers of ASGI 2.4 tell that nobody is there any more.
        except OSError:
            self._has_left = True
            raise


def _headers(scope: MutableMapping[str, Any]) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]


def _with_cookies(message: Message, cookies: list[str]) -> Message:
    if not cookies:
        return message
    headers = list[tuple[bytes, bytes]](message.get("headers") or ())
    cache_control = b", ".join(value for name, value in headers if name.lower() == b"cache-control").decode("latin-1")
    headers = [header for header in headers if header[0].lower() != b"cache-control"]
    headers += [(b"cache-control", private(cache_control).encode("latin-1"))]
    return {**message, "headers": headers + [(b"set-cookie", value.encode("latin-1")) for value in cookies]}
