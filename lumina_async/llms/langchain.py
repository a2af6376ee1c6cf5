"""Records what LangChain does, as a callback handler: calls of models and of tools, and look-ups of retrievers."""

from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.messages import BaseMessage
from langchain_core.outputs import Generation, LLMResult

from lumina_async._handover import running_task
from lumina_async._inside import callers, enter_framework
from lumina_async._instrument import add_look_up, open_call, open_look_up, open_tool
from lumina_async._watch import Ear, Watch

__all__ = ["LuminaCallbackHandler"]

_MODELS = "langchain_core.language_models"
_EXECUTOR = "langchain_core.runnables.config"
# These run the model until it has answered, or hand on what it says as they are read.
_DIRECT = {"agenerate", "astream", "generate", "stream"}
_ROLES = {"human": "user", "ai": "assistant"}
_ROOM = 256


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
        self._models: dict[UUID, Watch | Ear] = {}
        self._tools: dict[UUID, Watch] = {}
        self._look_ups: dict[UUID, dict[str, Any]] = {}

    def on_chat_model_start(self, serialized: Any, messages: list[list[Any]], *, run_id: UUID, **more: Any) -> None:
        """A chat model is asked."""
        self._ask(run_id, messages[0] if messages else [], more)

    def on_llm_start(self, serialized: Any, prompts: list[str], *, run_id: UUID, **more: Any) -> None:
        """A model without roles is asked."""
        self._ask(run_id, prompts, more)

    def _ask(self, run_id: UUID, said: Any, more: dict[str, Any]) -> None:
        # A model that is made of another one is one call.
        if more.get("parent_run_id") in self._models:
            return
        about: dict[str, Any] = more.get("metadata") or {}
        fields: dict[str, Any] = {"model": about.get("ls_model_name"), "provider": about.get("ls_provider")}
        if self._captures_input:
            fields["input"] = list(map(_message, said))
        if (watch := open_call(fields, beside=True)) is None:
            return
        asking = next(filter(_is_of_a_model, callers()), None)
        if asking is None or asking.f_code.co_name not in _DIRECT:
            # The model may run on when this task runs code of the app again.
            watch.runs_in(None)
        if (around := watch.around) is not None:
            enter_framework(around, _runs(_owner(asking)))
        _keep(self._models, run_id, watch)

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, run_id: UUID, **more: Any) -> None:
        """A piece of the answer has come."""
        self._take(run_id, getattr(chunk, "message", None))

    def on_stream_event(self, event: Any, *, run_id: UUID, **more: Any) -> None:
        """A piece of the answer has come, by the third version of events."""
        if event.get("event") == "content-block-delta":
            self._take(run_id, None)

    def _take(self, run_id: UUID, piece: Any) -> None:
        if (watch := self._models.get(run_id)) is not None:
            watch.stream()
            watch.runs_in(running_task())
            watch.chunk(piece)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **more: Any) -> None:
        """The model has answered."""
        if (watch := self._models.pop(run_id, None)) is not None:
            first = response.generations[0][0] if response.generations and response.generations[0] else None
            watch.answered(getattr(first, "message", None) or _completion(first, response.llm_output))

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **more: Any) -> None:
        """The model has failed, or was cancelled."""
        if (watch := self._models.pop(run_id, None)) is not None:
            # A stream that nobody reads any more is closed, at the latest by the garbage collector.
            if isinstance(error, GeneratorExit):
                watch.left(error)
            else:
                watch.end(error)

    def on_tool_start(self, serialized: Any, input_str: str, *, run_id: UUID, **more: Any) -> None:
        """A tool is called."""
        fields: dict[str, Any] = {"input": input_str if more.get("inputs") is None else more["inputs"]}
        if more.get("tool_call_id") is not None:
            fields["tool_call_id"] = more["tool_call_id"]
        if (watch := open_tool(_name(serialized, more) or "tool", fields)) is not None:
            _keep(self._tools, run_id, watch)

    def on_tool_end(self, output: Any, *, run_id: UUID, **more: Any) -> None:
        """The tool has returned."""
        if (watch := self._tools.pop(run_id, None)) is not None:
            watch.returned(getattr(output, "content", output) if self._captures_input else None)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **more: Any) -> None:
        """The tool has failed."""
        if (watch := self._tools.pop(run_id, None)) is not None:
            watch.end(error)

    def on_retriever_start(self, serialized: Any, query: str, *, run_id: UUID, **more: Any) -> None:
        """Something is looked up."""
        if (begun := open_look_up(_name(serialized, more) or "retriever", query)) is not None:
            self._look_ups[run_id] = begun
        # Of one that was cancelled LangChain does not tell the end.
        while len(self._look_ups) > _ROOM:
            self._look_ups.pop(next(iter(self._look_ups)), None)

    def on_retriever_end(self, documents: Sequence[Document], *, run_id: UUID, **more: Any) -> None:
        """It was looked up."""
        if (begun := self._look_ups.pop(run_id, None)) is not None:
            add_look_up({**begun, "results": list(map(self._result, documents))})

    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **more: Any) -> None:
        """Nothing was found."""
        self._look_ups.pop(run_id, None)

    def _result(self, document: Document) -> dict[str, Any]:
        about = document.metadata
        id_ = document.id or about.get("id") or about.get("source")
        result = {"id": id_, "score": about.get("score") or about.get("relevance_score")}
        return {**result, "content": document.page_content} if self._captures_input else result


def _keep(open_: dict[UUID, Any], run_id: UUID, watch: Watch | Ear) -> None:
    """Keep what runs. Of a call that was cancelled LangChain does not tell the end: its turn has seen it."""
    if len(open_) > _ROOM:
        # Other threads may be here as well.
        for stale in [run for run, one in list(open_.items()) if not one.is_open]:
            open_.pop(stale, None)
    open_[run_id] = watch


def _is_of_a_model(frame: FrameType) -> bool:
    """Tell whether a method of LangChain's models runs here, or one of a model that LangChain runs in a thread."""
    if str(frame.f_globals.get("__name__", "")).startswith(_MODELS):
        return "self" in (*frame.f_code.co_varnames[:1], *frame.f_code.co_freevars)
    caller = frame.f_back
    return caller is not None and caller.f_globals.get("__name__") == _EXECUTOR


def _owner(frame: FrameType | None) -> Any:
    return None if frame is None else frame.f_locals.get("self")


def _runs(model: Any) -> Callable[[], bool]:
    """Return what tells whether the code that asks is run by this very model: others may be asked in between."""

    def applies() -> bool:
        return any(_owner(frame) is model for frame in callers() if _is_of_a_model(frame))

    return applies if model is not None else lambda: any(map(_is_of_a_model, callers()))


def _message(said: Any) -> Any:
    """Return a message of LangChain in the words of the models' own clients; a prompt is text already."""
    if not isinstance(said, BaseMessage):
        return said
    calls: list[dict[str, Any]] = getattr(said, "tool_calls", [])
    told = {
        "role": _ROLES.get(said.type, said.type),
        "content": said.content,
        "name": said.name,
        "tool_call_id": getattr(said, "tool_call_id", None),
        "tool_calls": [{"id": one.get("id"), "name": one["name"], "arguments": one["args"]} for one in calls] or None,
    }
    return {key: value for key, value in told.items() if value is not None}


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
    about = {"model": told.get("model_name"), "id": told.get("id"), "usage": told.get("token_usage")}
    return {"choices": [choice], **about}
