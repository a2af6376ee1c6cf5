"""Keeps apart the browsers of a web app: the requests of one share a scope, which remembers who it is."""

import asyncio
import secrets
from contextvars import Context, copy_context

import attrs
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from lumina_async import LuminaClient

_COOKIE = "browser"
_BROWSER = web.RequestKey("browser", str)


@attrs.define
class Browsers:
    """The scopes by cookie. They live as long as the app; a real one would let go of those that have gone quiet."""

    lumina: LuminaClient
    _contexts: dict[str, Context] = attrs.field(init=False, factory=dict[str, Context])

    @property
    def middleware(self) -> Middleware:
        """Runs each request in the scope of its browser."""

        @web.middleware
        async def run(request: web.Request, handler: Handler) -> web.StreamResponse:
            browser = request[_BROWSER] = request.cookies.get(_COOKIE) or secrets.token_urlsafe()
            context = await self._context(browser)
            # A copy: the scope in it is the same one, the current turn is this request's alone.
            return await asyncio.create_task(_handled(handler, request), context=context.copy())

        return run

    async def set_cookie(self, request: web.Request, response: web.StreamResponse) -> None:
        """Let the browser be known again: a signal of aiohttp, before the first byte."""
        if browser := request.get(_BROWSER):
            # As a header: aiohttp has put `response.cookies` into the headers already.
            response.headers.add("Set-Cookie", f"{_COOKIE}={browser}; Path=/; HttpOnly; SameSite=Lax")

    async def _context(self, browser: str) -> Context:
        if browser not in self._contexts:
            self._contexts[browser] = context = copy_context()
            # The first question to a client in a context opens a scope there.
            await asyncio.create_task(self.lumina.is_anonymous(), context=context)
        return self._contexts[browser]


async def _handled(handler: Handler, request: web.Request) -> web.StreamResponse:
    return await handler(request)
