"""`@llm`, `@tool`, `@retrieval`: what a function does is recorded in the turn that is current when it is called.

Each works on coroutine functions, async generator functions, generator functions and plain functions, with or without
arguments of its own. Outside a turn the function simply runs. What the function is given and what it gives is recorded
only with `capture=True`: arguments are often more than a person would hand over knowingly.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, Literal, TypeVar, overload

from lumina_async._calls import new_llm, new_tool
from lumina_async._identity import current_turn
from lumina_async._observe import observe, observe_nowait

F = TypeVar("F", bound=Callable[..., Any])
Kind = Literal["llm", "tool"]


@overload
def llm(function: F, /) -> F: ...
@overload
def llm(*, capture: bool = False, **meta: Any) -> Callable[[F], F]: ...
def llm(function: Any = None, /, *, capture: bool = False, **meta: Any) -> Any:
    """Record each call of the function as a call of a model.

    Args:
        function: The function, when the decorator is used without arguments.
        capture: Record the arguments as `input` and what is returned as `output`.
        meta: `model`, `prompt_id`, `provider`, and anything else as metadata.
    """
    return _decorated("llm", function, "", capture, meta)


@overload
def tool(function: F, /) -> F: ...
@overload
def tool(name: str | None = None, /, *, capture: bool = False, **meta: Any) -> Callable[[F], F]: ...
def tool(function: Any = None, /, *, capture: bool = False, **meta: Any) -> Any:
    """Record each call of the function as a call of a tool.

    Args:
        function: The function, when the decorator is used without arguments; or the tool's name, when it is not that of
            the function.
        capture: Record the arguments as `input` and what is returned as `output`.
        meta: `type`, `target`, `version`, and anything else as metadata.
    """
    name = function if isinstance(function, str) else ""
    return _decorated("tool", None if name else function, name, capture, meta)


@overload
def retrieval(function: F, /) -> F: ...
@overload
def retrieval(source: str | None = None, /) -> Callable[[F], F]: ...
def retrieval(function: Any = None, /) -> Any:
    """Record what each call of the function looked up: its first argument is the query, what it returns the results.

    Args:
        function: The function, when the decorator is used without arguments; or the source, when it is not the
            function's name. It returns a list of `RetrievalResult`, of mappings with `id`, `score` and `content`, or of
            objects with such attributes.
    """
    source = function if isinstance(function, str) else ""

    def decorate(function: F) -> F:
        return _retrieving(function, source or function.__name__)  # type: ignore[return-value]

    return decorate(function) if callable(function) else decorate


def _decorated(kind: Kind, function: Any, name: str, capture: bool, meta: dict[str, Any]) -> Any:
    def decorate(function: F) -> F:
        return _recorded(kind, function, name or function.__name__, capture, meta)  # type: ignore[return-value]

    return decorate if function is None else decorate(function)


def _recorded(
    kind: Kind, function: Callable[..., Any], name: str, capture: bool, meta: dict[str, Any]
) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def asynchronous(*args: Any, **more: Any) -> Any:
            turn = current_turn()
            if turn is None:
                return await function(*args, **more)
            fields = _fields(function, args, more, capture, meta)
            draft = turn.draft
            if kind == "llm" and draft.takes("llm"):
                draft.add(call := new_llm(draft.recorder.clock, fields, takes_content=capture))
                return await observe(draft, call, lambda: function(*args, **more), fields)
            if kind == "tool":
                return await turn.record_tool(name, lambda: function(*args, **more), fields)
            return await function(*args, **more)

        return asynchronous

    @functools.wraps(function)
    def plain(*args: Any, **more: Any) -> Any:
        turn = current_turn()
        if turn is None or not turn.draft.takes(kind):
            return function(*args, **more)
        fields = _fields(function, args, more, capture, meta)
        clock = turn.draft.recorder.clock
        fact = new_tool(clock, name, fields) if kind == "tool" else new_llm(clock, fields, takes_content=capture)
        return observe_nowait(turn.draft, fact, lambda: function(*args, **more), fields)

    return plain


def _fields(function: Any, args: Any, more: Any, capture: bool, meta: dict[str, Any]) -> dict[str, Any]:
    if not capture:
        return {**meta}
    try:
        given = dict(inspect.signature(function).bind(*args, **more).arguments)
    except (TypeError, ValueError):
        given = {"args": args, **more}
    given.pop("self", None)
    return {**meta, "input": given, "output": _same}


def _same(result: Any) -> Any:
    return result


def _retrieving(function: Callable[..., Any], source: str) -> Callable[..., Any]:
    def found(args: Any, more: dict[str, Any], results: Any) -> dict[str, Any]:
        query = args[0] if args else more.get("query", next(iter(more.values()), None))
        return {"source": source, "query": query, "results": results}

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def asynchronous(*args: Any, **more: Any) -> Any:
            results = await function(*args, **more)
            if (turn := current_turn()) is not None:
                await turn.add_retrieval(found(args, more, results))
            return results

        return asynchronous

    @functools.wraps(function)
    def plain(*args: Any, **more: Any) -> Any:
        results = function(*args, **more)
        if (turn := current_turn()) is not None and turn.draft.collects("retrieval"):
            draft = turn.draft
            draft.retrievals.append(draft.recorder.privacy.retrieval_nowait(found(args, more, results), draft.notes))
        return results

    return plain
