"""Records the requests that a model of pydantic-ai makes."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models import KnownModelName, Model, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel

from lumina_async._inside import enter
from lumina_async._instrument import open_call, record
from lumina_async._stream import watched

__all__ = ["LuminaModel"]

# Of which role the parts of messages are; thoughts are not told.
_ROLES = {
    "system-prompt": "system",
    "user-prompt": "user",
    "tool-return": "tool",
    "retry-prompt": "user",
    "text": "assistant",
}


class LuminaModel(WrapperModel):
    """A model whose requests are recorded when they are made inside an open turn; outside one nothing changes.

    `Agent(LuminaModel("openai:gpt-4o"))`: each step of the agent is a call of its own. A run inside `wrap_llm` is one
    call, and so is that of an instrumented client inside the model.

    Args:
        wrapped: The model, or its name.
        capture_input: Record what is said to the model too. It is content, so it goes by `capture_transcript`.
    """

    def __init__(self, wrapped: Model | KnownModelName | str, *, capture_input: bool = False) -> None:
        super().__init__(wrapped)
        self._captures_input = capture_input

    def _fields(self, messages: Any) -> dict[str, Any]:
        fields: dict[str, Any] = {"model": self.model_name, "provider": self.system}
        return {**fields, "input": _told(messages)} if self._captures_input else fields

    async def request(self, messages: Any, model_settings: Any, model_request_parameters: Any) -> ModelResponse:
        """Ask the model."""
        ask = super().request
        response: ModelResponse = await record(
            lambda: ask(messages, model_settings, model_request_parameters), self._fields(messages)
        )
        return response

    @asynccontextmanager
    async def request_stream(
        self, messages: Any, model_settings: Any, model_request_parameters: Any, run_context: Any = None
    ) -> AsyncGenerator[StreamedResponse]:
        """Ask the model for an answer in pieces."""
        watch = open_call(self._fields(messages), streaming=True)
        ask = super().request_stream(messages, model_settings, model_request_parameters, run_context)
        if watch is None:
            async with ask as stream:
                yield stream
            return
        # Around the request alone: the block in which the answer is read is the app's.
        before, answered = enter(watch.around), None
        try:
            async with ask as answered:
                enter(before)
                # Its events are counted and timed, and an error of the provider is raised where they are read.
                watch.last_word = answered.get
                yield watched(answered, watch)
        except BaseException as error:
            if answered is None:
                enter(before)
                watch.end(error)
            else:
                watch.left(error)
            raise
        watch.left(None)


def _told(messages: Sequence[ModelMessage]) -> list[dict[str, Any]]:
    """Return messages of pydantic-ai, which have parts, in the words of the models' own clients."""
    told: list[dict[str, Any]] = []
    for message in messages:
        if isinstance(message, ModelRequest) and message.instructions:
            told.append({"role": "system", "content": message.instructions})
        calls: list[dict[str, Any]] = []
        for part in message.parts:
            if isinstance(part, ToolCallPart):
                calls.append({"id": part.tool_call_id, "name": part.tool_name, "arguments": part.args})
            elif (role := _ROLES.get(part.part_kind)) is not None:
                about = {"tool_call_id": part.tool_call_id} if isinstance(part, ToolReturnPart) else {}
                told.append({"role": role, "content": _content(getattr(part, "content", None)), **about})
        if calls:
            told.append({"role": "assistant", "content": None, "tool_calls": calls})
    return told


def _content(content: Any) -> Any:
    pieces: Any = content
    return list(map(_piece, pieces)) if isinstance(content, list | tuple) else content


def _piece(piece: Any) -> Any:
    """Return a piece of what a user says; of data how much there is, never the data."""
    if isinstance(piece, BinaryContent):
        return {"type": piece.kind, "mime": piece.media_type, "bytes": len(piece.data)}
    return piece
