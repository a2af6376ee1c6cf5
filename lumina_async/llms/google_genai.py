"""Records the calls of a client of google-genai: contents, async and sync, whole and streamed, chats included."""

from collections.abc import Callable
from typing import Any, TypeVar

from lumina_async._instrument import is_recording, record, record_nowait
from lumina_async.llms._replacing import replace, restore

ClientT = TypeVar("ClientT")

# One request of a whole answer is one call: with automatic function calling the public method makes several.
_NAMES = ("_generate_content", "generate_content_stream")


def instrument(client: ClientT, *, capture_input: bool = False) -> ClientT:
    """Record each call that this client makes inside an open turn; outside one nothing changes.

    Both `client.models` and `client.aio.models` are recorded, and the chats, which use them. A call inside `wrap_llm`
    is not recorded twice: what it says belongs to that call.

    Args:
        client: `google.genai.Client`.
        capture_input: Record what is said to the model too. It is content, so it goes by `capture_transcript`.

    Returns:
        The same client.

    Raises:
        TypeError: This is no such client.
    """

    def fields(more: dict[str, Any]) -> dict[str, Any]:
        about = {"model": more.get("model")}
        return {**about, "input": more.get("contents")} if capture_input else about

    def asynchronous(call: Callable[..., Any]) -> Callable[..., Any]:
        async def recording(**more: Any) -> Any:
            return await (record(lambda: call(**more), fields(more)) if is_recording() else call(**more))

        return recording

    def plain(call: Callable[..., Any]) -> Callable[..., Any]:
        def recording(**more: Any) -> Any:
            return record_nowait(lambda: call(**more), fields(more)) if is_recording() else call(**more)

        return recording

    for models, make in _owners(client, asynchronous, plain):
        for name in _NAMES:
            replace(models, name, make)
    return client


def uninstrument(client: Any) -> None:
    """Record nothing of this client any more."""
    restore(client.models, *_NAMES)
    restore(client.aio.models, *_NAMES)


def _owners(client: Any, asynchronous: Any, plain: Any) -> tuple[tuple[Any, Any], ...]:
    try:
        return (client.aio.models, asynchronous), (client.models, plain)
    except AttributeError:
        raise TypeError(f"a {type(client).__name__} has no models: pass the client itself") from None
