"""Which call of a model the code here runs in, so that what an instrumented client does in it is not recorded again."""

from contextvars import ContextVar

from lumina_async._events import LlmCall

_call: ContextVar[LlmCall | None] = ContextVar("lumina_llm_call", default=None)


def current_call() -> LlmCall | None:
    """Return the call that is being recorded around this code, or None. One that has ended is around nothing."""
    call = _call.get()
    return None if call is None or call.call.ended is not None else call


def enter(call: LlmCall | None) -> LlmCall | None:
    """Run what follows inside this call; return what `enter` takes to undo it.

    Not by a token: a generator may be closed in another context.
    """
    before = _call.get()
    _call.set(call)
    return before
