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


def gives_on_entry(value: Any) -> bool:
    """Tell whether this is an object of a client that makes its request on entry: both call theirs managers."""
    return value.__class__.__name__.endswith("Manager") and is_of_client(value)


def watched_on_entry(value: Any, watch: Watch) -> Any:
    """Return a proxy of such an object; its call ends when it is left, or when the stream that it gives has ended."""
    return OnEntryProxy(value, watch)


class OnEntryProxy(StreamProxy):
    """Around an object that is entered, async or not."""

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

    def __del__(self) -> None:
        # Once it was entered, whoever has the stream goes on with it.
        if not self._lumina_watch.is_streaming:
            super().__del__()
