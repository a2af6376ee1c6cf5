"""Records the calls of a client of OpenAI: (chat) completions and responses, async and sync, whole and streamed."""

from typing import TypeVar

from lumina_async.llms._requests import Requests, uninstrument

__all__ = ["instrument", "uninstrument"]

ClientT = TypeVar("ClientT")

_CHAT = "/chat/completions"


def instrument(client: ClientT, *, capture_input: bool = False) -> ClientT:
    """Record each call that this client makes inside an open turn; outside one nothing changes.

    Doing it again replaces the options. A call inside `wrap_llm` is not recorded twice: what it says belongs to that
    call. The streams of chat completions are asked for their usage, and the chunk that holds nothing else is kept from
    an app that did not ask.

    Args:
        client: `AsyncOpenAI`, `OpenAI` or one derived from them; of another vendor if it speaks like OpenAI.
        capture_input: Record what is said to the model too. It is content, so it goes by `capture_transcript`.

    Returns:
        The same client.

    Raises:
        TypeError: This is no such client.
    """
    paths = frozenset({_CHAT, "/completions", "/responses"})
    Requests("openai", paths, ("instructions", "messages", "input", "prompt"), _CHAT, capture_input).instrument(client)
    return client
