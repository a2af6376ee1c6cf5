"""Records the calls of a client of Anthropic: messages, async and sync, whole and streamed."""

from typing import TypeVar

from lumina_async.llms._requests import Requests, uninstrument

__all__ = ["instrument", "uninstrument"]

ClientT = TypeVar("ClientT")


def instrument(client: ClientT, *, capture_input: bool = False) -> ClientT:
    """Record each call that this client makes inside an open turn; outside one nothing changes.

    A call inside `wrap_llm` is not recorded twice: what it says belongs to that call.

    Args:
        client: `AsyncAnthropic`, `Anthropic` or one derived from them.
        capture_input: Record what is said to the model too. It is content, so it goes by `capture_transcript`.

    Returns:
        The same client.

    Raises:
        TypeError: This is no such client.
    """
    Requests("anthropic", frozenset({"/v1/messages"}), ("system", "messages"), None, capture_input).instrument(client)
    return client
