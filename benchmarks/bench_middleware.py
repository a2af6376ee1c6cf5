"""What does the middleware add to a request, beside the bare app in the same run?

Run with `python benchmarks/bench_middleware.py [--quick]`. Prints, for ASGI and for aiohttp, the median microseconds
that a request takes without the middleware, with it where no call of Lumina is made, and with it where the session of a
known visitor is asked for, which proves the signature of its cookie. No server is in it: an ASGI app is called as
servers call it, and an aiohttp app by its own handling of a request, up to the signal before the headers. The three
take turns, round by round; each figure is the median over the rounds. Fails where an untouched request carries a
cookie, or is not the very message that the app sent.
"""

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter_ns
from typing import Any

from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from measure import is_quick, median

from lumina_async import LuminaClient, LuminaConfig
from lumina_async.frameworks.aiohttp import setup_lumina
from lumina_async.frameworks.asgi import LuminaMiddleware
from lumina_async.frameworks.cookies import SESSION, Signer

REQUESTS, ROUNDS = (500, 3) if is_quick() else (5_000, 15)
SECRET = "the secret of the benchmark"  # noqa: S105
VISITOR = "anon_3f2b8c1e-5d4a-4b6c-8d7e-9f0a1b2c3d4e"
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"

Ask = Callable[[], Awaitable[None]]

START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
BODY = {"type": "http.response.body", "body": b"hello"}


def cookie() -> str:
    """Return what a browser sends that was here before."""
    return f"theme=dark; lumina_id={VISITOR}; lumina_session={Signer(SECRET).sign(SESSION, TRACE_ID)}"


def asgi(client: LuminaClient) -> list[Ask]:
    """Return what makes a request of an ASGI app: bare, with the middleware, and asking for the session."""

    async def plain(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(START)
        await send(BODY)

    async def asking(scope: Any, receive: Any, send: Any) -> None:
        await client.session.start()
        await plain(scope, receive, send)

    browsers = [
        (b"host", b"example.com"),
        (b"user-agent", b"a browser"),
        (b"accept", b"*/*"),
        (b"cookie", cookie().encode()),
    ]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        assert message is START or message is BODY  # noqa: S101

    def request(app: Any) -> Ask:
        async def ask() -> None:
            await app(
                {"type": "http", "scheme": "http", "client": ("127.0.0.1", 1), "headers": browsers}, receive, send
            )

        return ask

    wrapped = (LuminaMiddleware(app, client=client, cookie_secret=SECRET) for app in (plain, asking))
    return [request(app) for app in (plain, *wrapped)]


def aiohttp(client: LuminaClient) -> list[Ask]:
    """Return what makes a request of an aiohttp app: bare, with the middleware, and asking for the session."""

    async def plain(request: web.Request) -> web.Response:
        return web.Response(text="hello")

    async def asking(request: web.Request) -> web.Response:
        await client.session.start()
        return await plain(request)

    def request(handler: Any, *, bare: bool) -> Ask:
        app = web.Application()
        if not bare:
            setup_lumina(app, client=client, cookie_secret=SECRET)
        app.router.add_get("/", handler)
        app.freeze()
        request = make_mocked_request("GET", "/", {"Cookie": cookie()}, app=app, transport=_Transport())

        async def ask() -> None:
            # To make a request of aiohttp without a server takes longer than to serve it: there is one, made new again.
            request._state.clear()
            response = await app._handle(request)
            await request._prepare_hook(response)
            assert "Set-Cookie" not in response.headers  # noqa: S101

        return ask

    return [request(plain, bare=True), request(plain, bare=False), request(asking, bare=False)]


class _Transport(asyncio.Transport):
    """A connection that is open; the mocks of the kit would be slower than what is measured."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name == "peername" else None

    def is_closing(self) -> bool:
        return False


async def spent(ask: Ask) -> float:
    """Return what a request takes, in microseconds."""
    began = perf_counter_ns()
    for _ in range(REQUESTS):
        await ask()
    return (perf_counter_ns() - began) / REQUESTS / 1_000


async def main() -> None:
    """Print a line for each framework."""
    print(f"{'us':<10}{'bare':>8}{'untouched':>11}{'adds':>8}{'session':>10}{'adds':>8}")
    config = LuminaConfig(endpoint="http://127.0.0.1:9", write_key="gi_bench")
    async with LuminaClient(config) as client:
        for make in (asgi, aiohttp):
            asks = make(client)
            rounds = [[await spent(ask) for ask in asks] for _ in range(ROUNDS + 1)]
            # The first round warms up.
            bare, untouched, session = (median(column) for column in zip(*rounds[1:], strict=True))
            adds = f"{untouched:>11.1f}{untouched - bare:>8.1f}{session:>10.1f}{session - bare:>8.1f}"
            print(f"{make.__name__:<10}{bare:>8.1f}{adds}")


if __name__ == "__main__":
    asyncio.run(main())
