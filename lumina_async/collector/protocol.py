"""Answer what is no HTTP at all in the same form as everything else."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from aiohttp import web

from lumina_async.collector.errors import ProblemError
from lumina_async.collector.guard import HEADERS, internal, problem_response

logger = logging.getLogger("lumina_async.collector")

_OPTIONS: dict[str, Any] = {
    "access_log": None,
    # aiohttp takes a gzip body that was cut for a whole one (FAULTS trap 4): `decode` unpacks it.
    "auto_decompress": False,
    "keepalive_timeout": 75.0,
    "lingering_time": 3.0,
}


class _Protocol(web.RequestHandler):
    """The protocol of aiohttp, but for the answer to a request that it could not parse."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the answer to a broken request; `message` quotes the request, so it goes to the log only."""
        del message
        if request.writer.output_size > 0:
            raise ConnectionError("The answer has begun already.")
        if status < 500:
            logger.debug("A request broke the rules of HTTP: %s", type(exc).__name__)
            problem = ProblemError(status, "bad_request", "The request breaks the rules of HTTP.", close=True)
        else:
            logger.error("A request failed", exc_info=exc)
            problem = internal()
        response = problem_response(problem)
        response.headers.update(HEADERS)
        response.headers["Cache-Control"] = "no-store"
        response.force_close()
        return response


def protocol_factory(runner: web.AppRunner) -> Callable[[], asyncio.Protocol]:
    """Return what `loop.create_server` needs for the application of a runner that is set up."""
    server = runner.server
    assert server is not None, "the runner is not set up"  # noqa: S101
    loop = asyncio.get_running_loop()
    return lambda: _Protocol(server, loop=loop, **_OPTIONS)
