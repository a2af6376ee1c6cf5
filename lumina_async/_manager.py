"""The objects of clients that give a stream on entry: `async with client.messages.stream(...) as stream`.

`wrap_llm` gives a proxy of such an object. What it gives on entry is the client's own; what that reads is watched.
"""

from typing import Any, cast

from lumina_async._inside import enter
from lumina_async._stream import StreamProxy, watched
from lumina_async._usage import is_of_client
from lumina_async._watch import Watch

_RAW = "_raw_stream"
"""Where the helpers of OpenAI and Anthropic have the stream that they read."""


def is_manager(value: Any) -> bool:
    """Tell whether this is an object of a known client that has to be entered, and is no stream itself."""
    kind: type[Any] = value.__class__
    return is_of_client(value) and (hasattr(kind, "__aexit__") or hasattr(kind, "__exit__"))


def managed(manager: Any, watch: Watch) -> Any:
    """Return a proxy of the manager; its call ends when it is left, or when the stream that it gives has ended."""
    return ManagerProxy(manager, watch)


class ManagerProxy(StreamProxy):
    """Around a manager, async or not."""

    __slots__ = ()

    @property
    def _lumina_watch(self) -> Watch:
        return cast("Watch", self._lumina.watcher)

    async def __aenter__(self) -> Any:
        before = enter(self._lumina_watch.inside)
        try:
            return self._lumina_entered(await self._lumina.stream.__aenter__())
        except BaseException as error:
            self._lumina_watch.end(error)
            raise
        finally:
            enter(before)

    async def __aexit__(self, kind: Any, error: BaseException | None, traceback: Any) -> Any:
        try:
            return await self._lumina.stream.__aexit__(kind, error, traceback)
        finally:
            self._lumina_left(error)

    def __enter__(self) -> Any:
        before = enter(self._lumina_watch.inside)
        try:
            return self._lumina_entered(self._lumina.stream.__enter__())
        except BaseException as error:
            self._lumina_watch.end(error)
            raise
        finally:
            enter(before)

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> Any:
        try:
            return self._lumina.stream.__exit__(kind, error, traceback)
        finally:
            self._lumina_left(error)

    def _lumina_entered(self, entered: Any) -> Any:
        raw = getattr(entered, "__dict__", {}).get(_RAW)
        if raw is not None:
            watch = self._lumina_watch
            watch.stream()
            setattr(entered, _RAW, watched(raw, watch))
        return entered

    def _lumina_left(self, error: BaseException | None) -> None:
        watch = self._lumina_watch
        if watch.is_streaming:
            super()._lumina_left(error)
        else:
            # A response in one piece was there when the block began: what goes wrong in the block is the app's.
            watch.end(None)
