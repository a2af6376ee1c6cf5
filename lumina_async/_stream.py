"""The proxy around a stream that `wrap_llm` returns: it counts and times the chunks, and tells how the stream ended."""

import asyncio
import sys
import weakref
from collections.abc import Callable
from typing import Any, Protocol, cast

import attrs

from lumina_async._endings import left_because
from lumina_async._events import Outcome
from lumina_async._handover import running_loop
from lumina_async._inside import ASKING, Around, enter, here
from lumina_async._usage import fields_in, is_of_client


class Watcher(Protocol):
    """What a proxy tells of its stream."""

    @property
    def is_open(self) -> bool:
        """Whether no ending was told yet."""
        ...

    @property
    def inside(self) -> Around | None:
        """The call that the code which makes the chunks is to be inside of; None where none of it is the app's."""
        ...

    @property
    def hides_usage(self) -> bool:
        """Whether the chunk that holds nothing but the usage is kept from the app, which did not ask for it."""
        ...

    def chunk(self, chunk: Any) -> None:
        """A chunk has come."""

    def hidden(self) -> None:
        """The app does not see the chunk that has just come."""

    async def settle(self) -> None:
        """The end has come, and may still wait a moment for what takes awaiting."""

    def end(self, ending: BaseException | Outcome) -> None:
        """The stream has ended; only the first ending counts."""

    def drop(self, outcome: Outcome) -> None:
        """Nobody holds the stream any more. Called by the garbage collector, where no lock may be taken."""


def is_async_stream(value: object) -> bool:
    """Tell whether this is read by `async for`."""
    return hasattr(cast("type[Any]", type(value)), "__aiter__")


def is_sync_stream(value: object) -> bool:
    """Tell whether this is an iterator; a list or a mapping is a value, not a stream."""
    return hasattr(cast("type[Any]", type(value)), "__next__")


def watched(stream: Any, watcher: Watcher) -> Any:
    """Return a proxy that passes for the stream: class, attributes, `async for`, `async with`, `close`."""
    # The stream of LiteLLM is read in either way.
    if not is_async_stream(stream):
        return SyncStreamProxy(stream, watcher)
    return BothStreamProxy(stream, watcher) if is_sync_stream(stream) else AsyncStreamProxy(stream, watcher)


def is_only_usage(chunk: Any) -> bool:
    """Tell whether this chunk holds nothing but the usage: the last one of OpenAI, for who asks for it."""
    fields = fields_in(chunk)
    return fields.get("choices") == [] and fields.get("usage") is not None


@attrs.define(eq=False, repr=False)
class _Reading:
    """What a proxy knows, in an object of its own: attributes of the proxy, which passes for the stream, are slow.

    Attributes:
        stream: The stream itself.
        watcher: Whom to tell.
        iterator: What is read of it.
        loop: Where the turn lives.
        handled: The exception that was being handled when the stream was made, by its `id`: not a reason to leave it.
    """

    stream: Any
    watcher: Watcher
    iterator: Any
    loop: asyncio.AbstractEventLoop | None = attrs.Factory(running_loop)
    handled: int = attrs.Factory(lambda: id(sys.exc_info()[1]))


class StreamProxy:
    """What both kinds of proxy share: attributes, class and the last resort of the garbage collector."""

    __slots__ = ("__weakref__", "_lumina")

    def __init__(self, stream: Any, watcher: Watcher) -> None:
        self._lumina = _Reading(stream, watcher, stream if is_sync_stream(stream) else None)

    @property  # type: ignore[misc]
    def __class__(self) -> type[Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        kind: type[Any] = self._lumina.stream.__class__
        return kind

    def __getattr__(self, name: str) -> Any:
        if name == "_lumina":
            raise AttributeError(name)
        value = getattr(self._lumina.stream, name)
        return self._lumina_closing(value) if name in {"close", "aclose"} else value

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "_lumina":
            object.__setattr__(self, name, value)
        else:
            setattr(self._lumina.stream, name, value)

    def _lumina_closing(self, close: Callable[[], Any]) -> Callable[[], Any]:
        def closing() -> Any:
            self._lumina_left(sys.exc_info()[1])
            return close()

        return closing

    def _lumina_left(self, error: BaseException | None) -> None:
        """End a stream that is left before its end: because of what is being raised, else by the app's own choice."""
        if error is None or id(error) == self._lumina.handled:
            self._lumina.watcher.end(Outcome.STOPPED)
        else:
            self._lumina.watcher.end(left_because(error))

    def __reduce_ex__(self, protocol: Any) -> Any:
        # A copy of the proxy would be of nothing; most streams refuse.
        return self._lumina.stream.__reduce_ex__(protocol)

    def __repr__(self) -> str:
        return repr(self._lumina.stream)

    def __del__(self) -> None:
        # The collector may run anywhere, in any thread: the turn is ended on the loop, where the rest of it lives.
        watcher, loop = self._lumina.watcher, self._lumina.loop
        if not watcher.is_open:
            return
        outcome = Outcome.STOPPED if is_closed(self._lumina.stream) else Outcome.ABANDONED
        try:
            if loop is not None:
                loop.call_soon_threadsafe(watcher.end, outcome)
                return
        # The loop is closed.
        except RuntimeError:
            pass
        watcher.drop(outcome)


def closing_of(stream: Any) -> Callable[[], bool] | None:
    """Return what tells whether this stream of a client was closed, while somebody has it; None for any other."""
    if not is_of_client(stream):
        return None
    try:
        source = weakref.ref(stream)
    # Not every class allows it; what it would tell is then not known.
    except TypeError:
        return None
    return lambda: is_closed(source())


def is_closed(stream: Any) -> bool:
    """Tell whether the response behind a client's stream was closed, as its helpers do without closing the stream."""
    while issubclass(type(stream), StreamProxy):
        stream = stream._lumina.stream
    response = fields_in(stream).get("response")
    if type(response).__module__.partition(".")[0] not in {"httpx", "httpx2"}:
        return False
    return vars(response).get("is_closed") is True


class AsyncStreamProxy(StreamProxy):
    """Around an async iterator."""

    __slots__ = ()

    def __aiter__(self) -> "AsyncStreamProxy":
        self._lumina_reading()
        return self

    def _lumina_reading(self) -> Any:
        # Asked for when the app reads, not before: a stream may refuse until it was entered.
        if self._lumina.iterator is None:
            self._lumina_read(self._lumina.stream)
        return self._lumina.iterator

    def _lumina_read(self, source: Any) -> None:
        try:
            self._lumina.iterator = source if hasattr(source, "__anext__") else aiter(source)
        except BaseException as error:
            self._lumina.watcher.end(error)
            raise

    async def __anext__(self) -> Any:
        reading = self._lumina
        watcher, iterator = reading.watcher, reading.iterator
        if iterator is None:
            iterator = self._lumina_reading()
        while True:
            before = around = None
            if watcher.inside is not None and ASKING:
                before, around = here.get(), watcher.inside
                here.set(around)
            try:
                chunk = await iterator.__anext__()
            except StopAsyncIteration:
                try:
                    await watcher.settle()
                finally:
                    watcher.end(Outcome.COMPLETED)
                raise
            except BaseException as error:
                watcher.end(error)
                raise
            finally:
                if around is not None:
                    here.set(before)
            watcher.chunk(chunk)
            if not watcher.hides_usage or not is_only_usage(chunk):
                return chunk
            watcher.hidden()

    async def __aenter__(self) -> "AsyncStreamProxy":
        entered = await self._lumina.stream.__aenter__()
        # A manager gives the stream on entry; the stream of most clients gives itself.
        if entered is not self._lumina.stream:
            self._lumina_read(entered)
        return self

    async def __aexit__(self, kind: Any, error: BaseException | None, traceback: Any) -> Any:
        self._lumina_left(error)
        return await self._lumina.stream.__aexit__(kind, error, traceback)


class SyncStreamProxy(StreamProxy):
    """Around an iterator."""

    __slots__ = ()

    def __iter__(self) -> "SyncStreamProxy":
        return self

    def __next__(self) -> Any:
        watcher = self._lumina.watcher
        while True:
            before, around = None, watcher.inside if ASKING else None
            if around is not None:
                before = enter(around)
            try:
                chunk = next(self._lumina.iterator)
            except StopIteration:
                watcher.end(Outcome.COMPLETED)
                raise
            except BaseException as error:
                watcher.end(error)
                raise
            finally:
                if around is not None:
                    enter(before)
            watcher.chunk(chunk)
            if not watcher.hides_usage or not is_only_usage(chunk):
                return chunk
            watcher.hidden()

    def __enter__(self) -> "SyncStreamProxy":
        self._lumina.iterator = self._lumina.stream.__enter__()
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> Any:
        self._lumina_left(error)
        return self._lumina.stream.__exit__(kind, error, traceback)


class BothStreamProxy(AsyncStreamProxy, SyncStreamProxy):
    """Around what is an async iterator and an iterator, and is read as either."""

    __slots__ = ()
