"""Records what LangChain does, as a callback handler: calls of models and of tools, and look-ups of retrievers."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.outputs import Generation, LLMResult

from lumina_async._instrument import add_look_up, open_call, open_tool
from lumina_async._watch import Ear, Watch

__all__ = ["LuminaCallbackHandler"]

_MODELS = "langchain_core.language_models"
"""Whose functions run a model; those of chains and agents run code of the app as well."""
_ROOM = 64


class LuminaCallbackHandler(BaseCallbackHandler):
    """Records each call of a model or a tool, and each look-up, inside an open turn; outside one it does nothing.

    `await chain.ainvoke(question, config={"callbacks": [LuminaCallbackHandler()]})`. A call of a model inside
    `wrap_llm` is not recorded twice, what it says belongs to that call; and neither is that of an instrumented client
    inside the model. A tool that is decorated with `@tool` as well is recorded by both.

    Args:
        capture_input: Record what is said to the model too, with the output of tools and the texts that retrievers
            found. It is content, so it goes by `capture_transcript`.
    """

    # In the loop, and in the context of the code that asks: there the turn is current.
    run_inline = True

    def __init__(self, *, capture_input: bool = False) -> None:
        self._captures_input = capture_input
        self._open: dict[UUID, Watch | Ear] = {}
        self._queries: dict[UUID, tuple[str, str]] = {}
        self._room = _ROOM

    def on_chat_model_start(self, serialized: Any, messages: list[list[Any]], *, run_id: UUID, **more: Any) -> None:
        """A chat model is asked."""
        self._ask(run_id, messages[0] if messages else [], more)

    def on_llm_start(self, serialized: Any, prompts: list[str], *, run_id: UUID, **more: Any) -> None:
        """A model without roles is asked."""
        self._ask(run_id, prompts, more)

    def _ask(self, run_id: UUID, said: Any, more: dict[str, Any]) -> None:
        # A model that is made of another one is one call.
        if more.get("parent_run_id") in self._open:
            return
        about: dict[str, Any] = more.get("metadata") or {}
        fields: dict[str, Any] = {"model": about.get("ls_model_name"), "provider": about.get("ls_provider")}
        if self._captures_input:
            fields["input"] = said
        self._keep(run_id, open_call(fields, _MODELS))

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, run_id: UUID, **more: Any) -> None:
        """A piece of the answer has come."""
        if (watch := self._open.get(run_id)) is not None:
            watch.stream()
            watch.chunk(getattr(chunk, "message", None))

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **more: Any) -> None:
        """The model has answered."""
        if (watch := self._open.pop(run_id, None)) is not None:
            first = response.generations[0][0] if response.generations and response.generations[0] else None
            watch.answered(getattr(first, "message", None) or _completion(first, response.llm_output))

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **more: Any) -> None:
        """The model has failed, or was cancelled."""
        if (watch := self._open.pop(run_id, None)) is not None:
            # A stream that nobody reads any more is closed, at the latest by the garbage collector.
            if isinstance(error, GeneratorExit):
                watch.left(error)
            else:
                watch.end(error)

    def on_tool_start(self, serialized: Any, input_str: str, *, run_id: UUID, **more: Any) -> None:
        """A tool is called."""
        fields: dict[str, Any] = {"input": input_str if more.get("inputs") is None else more["inputs"]}
        self._keep(run_id, open_tool(_name(serialized, more) or "tool", fields))

    def on_tool_end(self, output: Any, *, run_id: UUID, **more: Any) -> None:
        """The tool has returned."""
        if isinstance(watch := self._open.pop(run_id, None), Watch):
            watch.returned(getattr(output, "content", output) if self._captures_input else None)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **more: Any) -> None:
        """The tool has failed."""
        if (watch := self._open.pop(run_id, None)) is not None:
            watch.end(error)

    def on_retriever_start(self, serialized: Any, query: str, *, run_id: UUID, **more: Any) -> None:
        """Something is looked up."""
        self._queries[run_id] = _name(serialized, more) or "retriever", query

    def on_retriever_end(self, documents: Sequence[Document], *, run_id: UUID, **more: Any) -> None:
        """It was looked up."""
        source, query = self._queries.pop(run_id, ("retriever", None))
        add_look_up({"source": source, "query": query, "results": list(map(self._result, documents))})

    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **more: Any) -> None:
        """Nothing was found."""
        self._queries.pop(run_id, None)

    def _result(self, document: Document) -> dict[str, Any]:
        about = document.metadata
        id_ = document.id or about.get("id") or about.get("source")
        result = {"id": id_, "score": about.get("score") or about.get("relevance_score")}
        return {**result, "content": document.page_content} if self._captures_input else result

    def _keep(self, run_id: UUID, watch: Watch | Ear | None) -> None:
        if watch is not None:
            self._open[run_id] = watch
        # Of a call that was cancelled LangChain does not tell the end. Its turn has seen it, and here it is forgotten.
        if len(self._open) > self._room:
            self._open = {run: watch for run, watch in self._open.items() if watch.is_open}
            self._room = 2 * len(self._open) + _ROOM


def _name(serialized: Any, more: dict[str, Any]) -> Any:
    """Return the name of what runs: one that the app gave it, else its own."""
    about: dict[str, Any] = serialized or {}
    return more.get("name") or about.get("name")


def _completion(generation: Generation | None, output: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the answer of a model without roles, in the shape of OpenAI's."""
    if generation is None:
        return None
    told, ended = output or {}, generation.generation_info or {}
    choice = {"text": generation.text, "finish_reason": ended.get("finish_reason")}
    return {
        "choices": [choice],
        "model": told.get("model_name"),
        "id": told.get("id"),
        "usage": told.get("token_usage"),
    }
