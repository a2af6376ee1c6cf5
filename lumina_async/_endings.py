"""How a call, a stream or a turn ended, read from the exception that ended it."""

import sys
from asyncio import CancelledError
from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from types import FrameType, TracebackType

from lumina_async._events import ErrorInfo, LlmCall, Outcome, Status, ToolRun
from lumina_async._handover import running_task
from lumina_async._values import MAX_ID, type_name

MAX_FRAMES = 50

# The errors by which frameworks tell that the client has left. They are told by name: no framework is imported here.
_DISCONNECTS = frozenset(
    {
        "starlette.requests.ClientDisconnect",
        "starlette.websockets.WebSocketDisconnect",
        "uvicorn.protocols.utils.ClientDisconnected",
        "aiohttp.client_exceptions.ClientConnectionResetError",
        "litestar.exceptions.websocket_exceptions.WebSocketDisconnect",
    }
)
_CANCELLED = frozenset({"asyncio.exceptions.CancelledError", "GeneratorExit", "KeyboardInterrupt"})

_STATUS_OF_OUTCOME = {
    Outcome.COMPLETED: Status.OK,
    Outcome.STOPPED: Status.OK,
    Outcome.CLIENT_GONE: Status.CANCELLED,
    Outcome.CANCELLED: Status.CANCELLED,
    Outcome.ABANDONED: Status.CANCELLED,
    Outcome.TIMED_OUT: Status.ERROR,
    Outcome.PROVIDER_ERROR: Status.ERROR,
}


def _names(error: BaseException) -> set[str]:
    return {type_name(kind) for kind in type(error).__mro__}


def status_of(error: BaseException | None) -> Status:
    """Return the status of a block or a call that this exception left; None means that it returned."""
    if error is None:
        return Status.OK
    names = _names(error)
    return Status.ERROR if names.isdisjoint(_CANCELLED) and names.isdisjoint(_DISCONNECTS) else Status.CANCELLED


def outcome_of(error: BaseException) -> Outcome:
    """Return the outcome of a stream that was open, or was being read, when this exception came."""
    names = _names(error)
    # 1. A closed generator or a framework's error: nobody is there to read on.
    # 2. A cancelled task: because the client has left, else the app's own cancellation.
    # 3. A deadline, of Python or of a provider's client.
    # 4. Anything else came from the provider.
    if "GeneratorExit" in names or not names.isdisjoint(_DISCONNECTS):
        return Outcome.CLIENT_GONE
    if not names.isdisjoint(_CANCELLED):
        return Outcome.CLIENT_GONE if _has_client_left(sys._getframe(1)) else Outcome.CANCELLED
    if any(name.rpartition(".")[2].endswith(("TimeoutError", "TimeoutException")) for name in names):
        return Outcome.TIMED_OUT
    return Outcome.PROVIDER_ERROR


def left_because(error: BaseException) -> BaseException | Outcome:
    """Return how a stream ended that its reader left because of this exception.

    What went wrong with the provider was raised by the stream itself and has ended it. So this is either why nobody
    reads any more, like a cancellation, or an error of the app's own, which has no part in it.
    """
    return Outcome.STOPPED if outcome_of(error) is Outcome.PROVIDER_ERROR else error


def is_stream(fact: LlmCall | ToolRun) -> bool:
    """Tell whether a call is one of a model that is read in chunks."""
    return isinstance(fact, LlmCall) and fact.streaming


def read_ending(fact: LlmCall | ToolRun, ending: BaseException | Outcome | None) -> tuple[Status, Outcome | None]:
    """Return the status that an ending means for this call, and the outcome where there is one."""
    if isinstance(ending, BaseException):
        if not is_stream(fact):
            return status_of(ending), None
        ending = outcome_of(ending)
    return (Status.OK, None) if ending is None else (_STATUS_OF_OUTCOME[ending], ending)


def left_behind(fact: LlmCall | ToolRun) -> BaseException | Outcome | None:
    """Return how a call ended that was left and is never told so; None for one that may still run.

    1. A stream that a framework has closed: the turn went on, so it was the app's choice.
    2. A stream whose response the helper of its client has closed.
    3. What a framework began or streamed in a task that was cancelled.
    """
    if fact.call.closed is not None:
        return Outcome.STOPPED
    if isinstance(fact, LlmCall) and fact.was_closed is not None and fact.was_closed():
        return Outcome.STOPPED
    return CancelledError() if _was_cancelled(fact) else None


def _was_cancelled(fact: LlmCall | ToolRun) -> bool:
    # What is streamed may be read by one task after the other. All else runs until the framework returns, and then its
    # task runs code of the app again, or has ended.
    opener = fact.call.opener
    if opener is None:
        return False
    return opener.cancelled() if is_stream(fact) else opener.done() or opener is running_task()


def see_deadline(error: BaseException, calls: Iterable[LlmCall]) -> None:
    """Let a stream that was cancelled by a deadline have timed out: that has the cancellation as its cause."""
    cause = error.__cause__ or error.__context__
    for llm in calls:
        if llm.outcome is Outcome.CANCELLED and isinstance(error, TimeoutError) and llm.call.cancelled_by == id(cause):
            llm.outcome, llm.call.status = Outcome.TIMED_OUT, Status.ERROR


_has_left: ContextVar[Callable[[], bool] | None] = ContextVar("lumina_client_has_left", default=None)


def set_presence(has_left: Callable[[], bool] | None) -> None:
    """Say how it is found out whether the client of this request has left; None where nobody knows."""
    _has_left.set(has_left)


def _has_client_left(frame: FrameType | None) -> bool:
    has_left = _has_left.get()
    # Without a middleware that was told, what called us is the only sign.
    return _is_streamed_to_client(frame) if has_left is None else has_left()


def _is_streamed_to_client(frame: FrameType | None) -> bool:
    """Tell whether a Starlette response is what drives this code: it cancels its task when the client has left."""
    for _ in range(200):
        if frame is None:
            return False
        if frame.f_code.co_name == "stream_response" and frame.f_globals.get("__name__") == "starlette.responses":
            return True
        frame = frame.f_back
    return False


def error_info(error: BaseException, at_ns: int, redact: Callable[[str], str | None]) -> ErrorInfo:
    """Return what may be told of an exception.

    Args:
        error: The exception.
        at_ns: When it was seen, in nanoseconds since the epoch.
        redact: What becomes of its message, which may hold anything.
    """
    try:
        text = str(error)
    # The exception is the user's, and so is its __str__.
    except Exception:  # noqa: BLE001
        text = "<unreadable>"
    return ErrorInfo(
        type=type_name(type(error)),
        message=redact(_without_folders(text)) if text else None,
        stack=_stack(error.__traceback__),
        at_ns=at_ns,
    )


def _without_folders(text: str) -> str:
    """Return the text with the working folder as `.` and the home folder as `~`: they tell of the machine."""
    for find, sign in ((Path.cwd, "."), (Path.home, "~")):
        # The working folder may be gone, and a user may have no home.
        with suppress(OSError, RuntimeError):
            if len(folder := str(find())) > 1:
                text = text.replace(folder, sign)
    return text


def _stack(traceback: TracebackType | None) -> tuple[str, ...]:
    """Return `module:function:line` of each frame, the innermost last: the last 50, and none of this package's own."""
    frames: list[str] = []
    while traceback is not None:
        module = str(traceback.tb_frame.f_globals.get("__name__", "?"))
        if module.partition(".")[0] != "lumina_async":
            frames.append(f"{module}:{traceback.tb_frame.f_code.co_name}:{traceback.tb_lineno}"[:MAX_ID])
        if len(frames) > 2 * MAX_FRAMES:
            del frames[:MAX_FRAMES]
        traceback = traceback.tb_next
    return tuple(frames[-MAX_FRAMES:])
