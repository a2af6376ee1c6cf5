"""Records the calls of LiteLLM: `acompletion` and `completion`, whole and streamed, of the module or of a router."""

from collections.abc import Callable
from typing import Any, TypeVar

from lumina_async._instrument import is_recording, record, record_nowait
from lumina_async.llms._replacing import replace, restore

ClientT = TypeVar("ClientT")


def instrument(client: ClientT, *, capture_input: bool = False) -> ClientT:
    """Record each call that is made inside an open turn; outside one nothing changes.

    A call inside `wrap_llm` is not recorded twice: what it says belongs to that call. The usage of a stream is told
    only to who asks for it, by `stream_options={"include_usage": True}`.

    Args:
        client: The module `litellm`, for calls written as `litellm.acompletion(...)`, or a `litellm.Router`. A name
            that was imported by `from litellm import acompletion` before is not recorded.
        capture_input: Record what is said to the model too. It is content, so it goes by `capture_transcript`.

    Returns:
        The same module or router.

    Raises:
        TypeError: This has no such functions.
    """

    def fields(args: tuple[Any, ...], more: dict[str, Any]) -> dict[str, Any]:
        given = {**dict(zip(("model", "messages"), args, strict=False)), **more}
        about = {"model": given.get("model")}
        return {**about, "input": given.get("messages")} if capture_input else about

    def asynchronous(call: Callable[..., Any]) -> Callable[..., Any]:
        async def recording(*args: Any, **more: Any) -> Any:
            if not is_recording():
                return await call(*args, **more)
            return await record(lambda: call(*args, **more), fields(args, more))

        return recording

    def plain(call: Callable[..., Any]) -> Callable[..., Any]:
        def recording(*args: Any, **more: Any) -> Any:
            if not is_recording():
                return call(*args, **more)
            return record_nowait(lambda: call(*args, **more), fields(args, more))

        return recording

    replace(client, "acompletion", asynchronous)
    replace(client, "completion", plain)
    return client


def uninstrument(client: Any) -> None:
    """Record nothing of this module or router any more."""
    restore(client, "acompletion", "completion")
