"""What holds for every request and every answer: who may ask, and what a browser may do with what it gets."""

import logging
import secrets
from typing import Any

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from lumina_async._trace import new_span_id
from lumina_async.collector.access import Access
from lumina_async.collector.addresses import Hosts
from lumina_async.collector.errors import CursorError, DiskError, ProblemError, StoreError

logger = logging.getLogger("lumina_async.collector")

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "lumina",
    "X-Content-Type-Options": "nosniff",
}
"""On every answer (FAULTS C19)."""

ACTION_HEADER = "X-Lumina-Action"
"""On each request that changes something, with any value: browsers send it to another origin only with its leave."""

INGEST_PATHS = ("/v1/ingest", "/collect/sdk/events")
"""The original documents both (FAULTS C33)."""

_OPEN = frozenset({*INGEST_PATHS, "/v1/project", "/healthz", "/login", "/", "/static/{name}"})
"""Routes that ask for no login: they have a key, or nothing to hide, or send people to the login themselves."""
_READING = ("GET", "HEAD")
_JSON = "application/json; charset=utf-8"
_STATUS_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    417: "expectation_failed",
}


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Put the headers of every answer on this one, streams included; a signal of aiohttp, before the first byte."""
    del request
    # aiohttp refuses an odd `Expect` before the guard sees the request; the answer is to look like every other.
    if isinstance(response, web.HTTPException):
        body = problem_body(_problem_of(response))
        response.body = body
        response.headers.update({"Content-Type": _JSON, "Content-Length": str(len(body))})
    response.headers.update(HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")
    # An event stream says `no-cache` on its own account; nothing of a transcript belongs into any cache.
    if response.content_type == "text/event-stream":
        response.headers["Cache-Control"] = "no-store"


def guard(access: Access) -> Middleware:
    """Return what refuses requests from elsewhere, and answers whatever goes wrong with JSON (FAULTS C22, C32)."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            _check_host(request, access.hosts)
            _check_origin(request)
            check_action(request)
            _check_login(request, access)
            return await handler(request)
        except Exception as error:  # noqa: BLE001  The last resort of the program; the log has the traceback.
            return _answer_to(error)

    return guarded


def _answer_to(error: Exception) -> web.Response:
    if isinstance(error, ProblemError):
        return problem_response(error)
    if isinstance(error, CursorError):
        return problem_response(ProblemError(400, "bad_parameter", str(error)))
    if isinstance(error, web.HTTPException):
        return problem_response(_problem_of(error))
    if isinstance(error, ConnectionError):
        return web.Response(status=408)  # The other end is gone; aiohttp finds out when it writes this.
    if isinstance(error, DiskError):
        # The log has one line for all of these already.
        return problem_response(disk_full() if error.is_full else unavailable())
    request_id = new_span_id()
    if isinstance(error, StoreError):
        logger.error("The store failed; request %s: %s", request_id, error)
        return problem_response(unavailable(), request_id)
    logger.error("Request %s failed", request_id, exc_info=error)
    return problem_response(internal(), request_id)


def unavailable(*, close: bool = False) -> ProblemError:
    """Return the 503 of a collector that takes nothing at the moment."""
    message = "The collector takes or finds nothing at the moment. Nothing of this request is stored; send it again."
    return ProblemError(503, "unavailable", message, headers=_come_again(), close=close)


def disk_full() -> ProblemError:
    """Return the 507 of a collector whose disk is full."""
    message = "The disk of the collector is full. Nothing of this request is stored; send it again."
    return ProblemError(507, "disk_full", message, headers=_come_again())


def _come_again() -> dict[str, str]:
    # Senders that are refused together must not come back together.
    return {"Retry-After": str(1 + secrets.randbelow(5))}


def internal() -> ProblemError:
    """Return the 500 of a fault of ours."""
    return ProblemError(500, "internal", "A fault of the collector; its log says more under this request id.")


def problem_response(problem: ProblemError, request_id: str | None = None) -> web.Response:
    """Return the answer for a problem."""
    response = web.Response(
        body=problem_body(problem, request_id), status=problem.status, headers={"Content-Type": _JSON}
    )
    response.headers.update(problem.headers)
    if problem.close:
        response.force_close()
    return response


def problem_body(problem: ProblemError, request_id: str | None = None) -> bytes:
    """Return the JSON of a problem: `{"error": {"code", "message", "request_id", ...}}`."""
    error: dict[str, Any] = {
        "code": problem.code,
        "message": problem.message,
        "request_id": request_id or new_span_id(),
        **problem.detail,
    }
    return orjson.dumps({"error": error})


def json_response(value: object) -> web.Response:
    """Return an answer with this value as JSON."""
    return web.Response(body=orjson.dumps(value), headers={"Content-Type": _JSON})


def _check_host(request: web.Request, known: Hosts) -> None:
    # A name that an attacker lets point here still stands in `Host`. A request line with a whole URL brings a second
    # name, which aiohttp gives as `request.host`.
    hosts = request.headers.getall("Host", [])
    if len(hosts) != 1 or hosts[0] not in known or request.host not in known:
        message = (
            "This collector does not answer to that name: only to localhost, 127.0.0.1, [::1] and what it was started "
            "with as --allowed-host."
        )
        raise ProblemError(421, "wrong_host", message, close=True)


def _check_login(request: web.Request, access: Access) -> None:
    # By the route that was found, not by the path: of one path there are many spellings.
    resource = request.match_info.route.resource
    if access.page is not None and (resource is None or resource.canonical not in _OPEN):
        access.page.check(request)


def _check_origin(request: web.Request) -> None:
    # The write side needs a header that no browser sends elsewhere without leave, and this collector never gives it.
    if request.path in INGEST_PATHS or (request.method in _READING and request.path != "/api/live"):
        return
    origins = request.headers.getall("Origin", [])
    host = request.headers["Host"].lower()
    own = (f"http://{host}", f"https://{host}")  # With TLS in front the browser's origin is the second.
    if any(origin.lower() not in own for origin in origins) or request.headers.get("Sec-Fetch-Site") == "cross-site":
        raise _wrong_origin()


def check_action(request: web.Request) -> None:
    """Refuse a request that would change something unless it is meant (FAULTS C21).

    The guard asks this of each request on the read side, so a handler of `DELETE` or `POST` need not: a page of another
    origin, also one of the same site, gets 403, and so does whoever does not send `X-Lumina-Action`, which a form
    cannot. `GET` and `HEAD` pass, and must never change anything.

    Raises:
        ProblemError: 403.
    """
    if request.method in _READING or request.path in INGEST_PATHS:
        return
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise _wrong_origin()
    if not request.headers.get(ACTION_HEADER):
        raise ProblemError(403, "no_action", f"What changes something needs the header {ACTION_HEADER}.", close=True)


def _wrong_origin() -> ProblemError:
    return ProblemError(403, "wrong_origin", "Other sites may not use this collector from a browser.", close=True)


def _problem_of(error: web.HTTPException) -> ProblemError:
    code = _STATUS_CODES.get(error.status, "http_error")
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
    return ProblemError(error.status, code, f"{error.reason}.", headers=headers, close=error.status == 413)
