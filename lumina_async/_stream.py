"""The proxy around a stream that `wrap_llm` returns: it counts and times the chunks, and tells how the stream ended."""

import sys
from collections.abc import Callable
from typing import Any, Protocol, cast

from lumina_async._events import Outcome
from lumina_async._handover import running_loop


class Watcher(Protocol):
    """What a proxy tells of its stream."""

    @property
    def is_open(self) -> bool:
        """Whether no ending was told yet."""
        ...

    def chunk(self) -> None:
        """A chunk has come."""

    def end(self, ending: BaseException | Outcome) -> None:
        """The stream has ended; only the first ending counts."""


def is_async_stream(value: object) -> bool:
    """Tell whether this is read by `async for`."""
    return hasattr(cast("type[Any]", type(value)), "__aiter__")


def is_sync_stream(value: object) -> bool:
    """Tell whether this is an iterator; a list or a mapping is a value, not a stream."""
    return hasattr(cast("type[Any]", type(value)), "__next__")


def watched(stream: Any, watcher: Watcher) -> Any:
    """Return a proxy that passes for the stream: class, attributes, `async for`, `async with`, `close`."""
    return AsyncStreamProxy(stream, watcher) if is_async_stream(stream) else SyncStreamProxy(stream, watcher)


class _StreamProxy:
    """What both kinds of proxy share: attributes, class and the last resort of the garbage collector."""

    __slots__ = ("__weakref__", "_lumina_iterator", "_lumina_loop", "_lumina_stream", "_lumina_watcher")

    def __init__(self, stream: Any, watcher: Watcher) -> None:
        self._lumina_stream: Any = stream
        is_iterator = is_sync_stream(stream) or hasattr(stream, "__anext__")
        self._lumina_iterator: Any = stream if is_iterator else aiter(stream)
        self._lumina_watcher = watcher
        self._lumina_loop = running_loop()

    @property  # type: ignore[misc]
    def __class__(self) -> type[Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        kind: type[Any] = self._lumina_stream.__class__
        return kind

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._lumina_stream, name)
        return self._lumina_closing(value) if name in {"close", "aclose"} else value

    def _lumina_closing(self, close: Callable[[], Any]) -> Callable[[], Any]:
        def closing() -> Any:
            self._lumina_left(sys.exc_info()[1])
            return close()

        return closing

    def _lumina_left(self, error: BaseException | None) -> None:
        """End a stream that is left before its end: because of what is being raised, else by the app's own choice."""
        self._lumina_watcher.end(Outcome.STOPPED if error is None else error)

    def __repr__(self) -> str:
        return repr(self._lumina_stream)

    def __del__(self) -> None:
        # The collector may run anywhere, in any thread: the turn is ended on the loop, where the rest of it lives.
        watcher, loop = self._lumina_watcher, self._lumina_loop
        if not watcher.is_open:
            return
        if loop is None or loop.is_closed():
            watcher.end(Outcome.ABANDONED)
            return
        try:
            loop.call_soon_threadsafe(watcher.end, Outcome.ABANDONED)
        except RuntimeError:
            watcher.end(Outcome.ABANDONED)


class AsyncStreamProxy(_StreamProxy):
    """Around an async iterator."""

    __slots__ = ()

    def __aiter__(self) -> "AsyncStreamProxy":
        return self

    async def __anext__(self) -> Any:
        watcher = self._lumina_watcher
        try:
            chunk = await self._lumina_iterator.__anext__()
        except StopAsyncIteration:
            watcher.end(Outcome.COMPLETED)
            raise
        except BaseException as error:
            watcher.end(error)
            raise
        watcher.chunk()
        return chunk

    async def __aenter__(self) -> "AsyncStreamProxy":
        entered = await self._lumina_stream.__aenter__()
        # A manager gives the stream on entry; the stream of most clients gives itself.
        if entered is not self._lumina_stream:
            self._lumina_iterator = entered
        return self

    async def __aexit__(self, kind: Any, error: BaseException | None, traceback: Any) -> Any:
        self._lumina_left(error)
        return await self._lumina_stream.__aexit__(kind, error, traceback)


class SyncStreamProxy(_StreamProxy):
    """Around an iterator."""

    __slots__ = ()

    def __iter__(self) -> "SyncStreamProxy":
        return self

    def __next__(self) -> Any:
        try:
            chunk = next(self._lumina_iterator)
        except StopIteration:
            self._lumina_watcher.end(Outcome.COMPLETED)
            raise
        except BaseException as error:
            self._lumina_watcher.end(error)
            raise
        self._lumina_watcher.chunk()
        return chunk

    def __enter__(self) -> "SyncStreamProxy":
        self._lumina_iterator = self._lumina_stream.__enter__()
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> Any:
        self._lumina_left(error)
        return self._lumina_stream.__exit__(kind, error, traceback)
