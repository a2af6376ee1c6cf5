"""Records the calls that chat models of LangChain make, and their tools, as a callback handler."""

from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.outputs import LLMResult

from lumina_async._instrument import open_call
from lumina_async._watch import Watch

__all__ = ["LuminaCallbackHandler"]


class LuminaCallbackHandler(BaseCallbackHandler):
    """Records each call of a model that is made inside an open turn; outside one it does nothing.

    `await chain.ainvoke(question, config={"callbacks": [LuminaCallbackHandler()]})`. A call inside `wrap_llm` is not
    recorded twice, and neither is that of an instrumented client inside the model.

    Args:
        capture_input: Record what is said to the model too. It is content, so it goes by `capture_transcript`.
    """

    # In the loop, and in the context of the code that asks: there the turn is current.
    run_inline = True

    def __init__(self, *, capture_input: bool = False) -> None:
        self._captures_input = capture_input
        self._open: dict[UUID, Watch] = {}

    def on_chat_model_start(self, serialized: Any, messages: list[list[Any]], *, run_id: UUID, **more: Any) -> None:
        """A chat model is asked."""
        self._start(run_id, messages[0] if messages else [], more)

    def on_llm_start(self, serialized: Any, prompts: list[str], *, run_id: UUID, **more: Any) -> None:
        """A model without roles is asked."""
        self._start(run_id, prompts, more)

    def _start(self, run_id: UUID, said: Any, more: dict[str, Any]) -> None:
        about: dict[str, Any] = more.get("metadata") or {}
        fields: dict[str, Any] = {"model": about.get("ls_model_name"), "provider": about.get("ls_provider")}
        if self._captures_input:
            fields["input"] = said
        if (watch := open_call(fields)) is not None:
            self._open[run_id] = watch

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, run_id: UUID, **more: Any) -> None:
        """A piece of the answer has come."""
        if (watch := self._open.get(run_id)) is not None:
            watch.stream()
            watch.chunk(getattr(chunk, "message", None))

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **more: Any) -> None:
        """The model has answered."""
        if (watch := self._open.pop(run_id, None)) is not None:
            first = response.generations[0][0] if response.generations and response.generations[0] else None
            watch.answered(getattr(first, "message", None))

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **more: Any) -> None:
        """The model has failed, or was cancelled."""
        if (watch := self._open.pop(run_id, None)) is not None:
            watch.end(error)
