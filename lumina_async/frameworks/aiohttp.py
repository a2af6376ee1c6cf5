"""For aiohttp servers: the scope of its visitor for each request and each WebSocket, and the life of the client.

app = web.Application()
setup_lumina(app, cookie_secret=...)
app.cleanup_ctx.append(lumina_cleanup_ctx(endpoint=..., write_key=...))
"""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from lumina_async import Lumina, LuminaClient, LuminaConfig
from lumina_async.frameworks.chat_input import ChatInput, MayJoin
from lumina_async.frameworks.cookies import private
from lumina_async.frameworks.visit import Consent, Visit, Visits

__all__ = ["lumina_cleanup_ctx", "setup_lumina"]

_VISIT = web.RequestKey("lumina_visit", Visit)


def setup_lumina(
    app: web.Application,
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
    """Give each request of this app, and of those mounted in it, the scope of its visitor, by cookies.

    It adds a middleware before those that are there, and a signal that sets cookies before the first byte.

    Args:
        app: The app, before it runs.
        client: Whose scopes they are; `Lumina` by default.
        cookie_secret: Signs cookies; the first of several signs, all are accepted. See `visit.Visits` for the options.
        consent: Asked, with the `web.Request`, whether the browser may be known again.
        eager: Find out who it is at the beginning of each request.
        trusted_hosts: Proxies whose `X-Forwarded-Proto` is believed.
        posthog_project_key: Names PostHog's cookie.
        chat_input: Where to serve the script that watches the input of a chat, like `"/lumina"`.
        chat_session: Asked, with the `web.Request` and the session that a page names, whether what is typed there
            belongs to that session.

    Raises:
        ConfigError: An option is wrong, or needs a package that is not installed.
    """
    visits = Visits(
        client,
        cookie_secret=cookie_secret,
        consent=consent,
        eager=eager,
        trusted_hosts=trusted_hosts,
        posthog_project_key=posthog_project_key,
    )
    served = None if chat_input is None else ChatInput(visits.client, chat_input, chat_session)
    app.middlewares.insert(0, _middleware(visits, served))
    app.on_response_prepare.append(_set_cookies)


def lumina_cleanup_ctx(
    config: LuminaConfig | None = None, /, *, client: LuminaClient = Lumina, timeout: float = 5.0, **options: Any
) -> Callable[[web.Application], AsyncIterator[None]]:
    """Return what starts the client with the app and sends the last events when it ends: for `app.cleanup_ctx`.

    Args:
        config: The options, or
        options: the options as keywords, as for `Lumina.init`. What is not given comes from the environment.
        client: The client to start; `Lumina` by default.
        timeout: Seconds for the last events to be sent.
    """

    async def live(app: web.Application) -> AsyncIterator[None]:
        await client.init(config, **options)
        yield
        await client.shutdown(timeout)

    return live


def _middleware(visits: Visits, chat_input: ChatInput | None) -> Middleware:
    @web.middleware
    async def serve(request: web.Request, handler: Handler) -> web.StreamResponse:
        # An app that is mounted in another one shares its visits.
        if _VISIT in request:
            return await handler(request)
        visit = Visit(visits, request, request.scheme, request.remote, request.headers.items)
        request[_VISIT] = visit
        visit.enter(lambda: request.transport is None or request.transport.is_closing())
        try:
            if visits.has_to_begin:
                await visits.begin(visit)
            if chat_input is not None and chat_input.serves(request.path):
                return await _answered(chat_input, request, visit)
            return await handler(request)
        finally:
            visit.leave()

    return serve


async def _answered(chat_input: ChatInput, request: web.Request, visit: Visit) -> web.Response:
    async def read(limit: int) -> bytes | None:
        body = bytearray()
        try:
            async for data in request.content.iter_any():
                body += data
                if len(body) > limit:
                    return None
        # The page is gone.
        except ConnectionError:
            return None
        return bytes(body)

    answer = await chat_input.answer(visit, request.method, request.path, read)
    return web.Response(status=answer.status, headers=answer.headers, body=answer.body)


async def _set_cookies(request: web.Request, response: web.StreamResponse) -> None:
    visit: Visit | None = request.get(_VISIT)
    cookies = [] if visit is None else visit.set_cookies()
    if cookies:
        given = ", ".join(response.headers.getall("Cache-Control", ()))
        response.headers["Cache-Control"] = private(given)
    for value in cookies:
        # As a header: aiohttp has put `response.cookies` into the headers already.
        response.headers.add("Set-Cookie", value)
