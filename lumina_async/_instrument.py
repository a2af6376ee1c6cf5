"""Calls of a model that are recorded without `wrap_llm`: by a decorator, or in an instrumented client."""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from lumina_async._calls import describe_nowait, new_llm, new_tool
from lumina_async._draft import Draft, Fact
from lumina_async._handover import running_task
from lumina_async._identity import current_turn
from lumina_async._inside import Around, current_call, heard_in
from lumina_async._observe import observe, observe_nowait
from lumina_async._shapes import said_by
from lumina_async._stream import is_async_stream, is_sync_stream, watched
from lumina_async._usage import is_of_client
from lumina_async._watch import Ear, Watch


def is_recording() -> bool:
    """Tell whether a call of a model that is made here is recorded: in an open turn, or in a call that is."""
    turn = current_turn()
    return current_call() is not None or (turn is not None and turn.draft.takes("llm"))


async def record(work: Callable[[], Awaitable[Any]], fields: dict[str, Any], *, hides_usage: bool = False) -> Any:
    """Run a call of a client and record it in the current turn; outside one it simply runs.

    Inside a call that is recorded already, what the response says is told to that one.

    Args:
        work: The call.
        fields: As for `wrap_llm`.
        hides_usage: Whether the chunk of a stream that holds nothing but the usage is kept from the app.
    """
    if (call := current_call()) is not None:
        return _heard(call, await work(), hides_usage)
    turn = current_turn()
    if turn is None or not turn.draft.takes("llm"):
        return await work()
    draft = turn.draft
    draft.add(llm := new_llm(draft.recorder.clock, fields))
    return await observe(draft, llm, work, fields, hides_usage=hides_usage)


def record_nowait(work: Callable[[], Any], fields: dict[str, Any], *, hides_usage: bool = False) -> Any:
    """Run a call of a client that blocks, and record it in the same way."""
    if (call := current_call()) is not None:
        return _heard(call, work(), hides_usage)
    turn = current_turn()
    if turn is None or not turn.draft.takes("llm"):
        return work()
    llm = new_llm(turn.draft.recorder.clock, fields)
    return observe_nowait(turn.draft, llm, work, fields, hides_usage=hides_usage)


def open_call(fields: dict[str, Any], *, streaming: bool = False, beside: bool = False) -> Watch | Ear | None:
    """Begin a call that a framework makes; return what is told how it goes on, or None outside a turn.

    Inside a call that is recorded already, what the response says is told to that one.

    Args:
        fields: As for `wrap_llm`, without `output`.
        streaming: Whether the answer comes in pieces.
        beside: Whether it is inside no other call of the framework, as this knows by itself.
    """
    if (around := current_call(beside_frameworks=beside)) is not None:
        return Ear(around)
    turn = current_turn()
    if turn is None or not turn.draft.takes("llm"):
        return None
    llm = new_llm(turn.draft.recorder.clock, fields)
    llm.streaming = streaming
    return _open(turn.draft, llm, fields)


def open_tool(name: str, fields: dict[str, Any]) -> Watch | None:
    """Begin a call of a tool that a framework makes; return what is told how it ended, or None outside a turn."""
    turn = current_turn()
    if turn is None or not turn.draft.takes("tool"):
        return None
    return _open(turn.draft, new_tool(turn.draft.recorder.clock, name, fields), fields)


def open_look_up(source: str, query: Any) -> dict[str, Any] | None:
    """Begin a look-up that a framework makes; return what `add_look_up` takes with its results, or None outside a turn.

    Of the query it has what may leave: a framework does not tell of every look-up that it ended.
    """
    turn = current_turn()
    if turn is None or not turn.draft.collects("add_retrieval"):
        return None
    kept = turn.draft.recorder.privacy.content_nowait(query, turn.draft.notes)
    return {"source": source, "query": None if kept is None else orjson.loads(orjson.dumps(kept))}


def add_look_up(fields: dict[str, Any]) -> None:
    """Add what a framework looked up."""
    turn = current_turn()
    if turn is not None and turn.draft.collects("add_retrieval"):
        draft = turn.draft
        draft.retrievals.append(draft.recorder.privacy.retrieval_nowait(fields, draft.notes))


def _open(draft: Draft, fact: Fact, fields: dict[str, Any]) -> Watch:
    draft.add(fact)
    fact.call.opener = running_task()
    describe_nowait(fact.call, fields, draft.recorder.privacy, draft.notes)
    return Watch(draft, fact)


def _heard(call: Around, result: Any, hides_usage: bool) -> Any:
    if is_async_stream(result) or is_sync_stream(result):
        return watched(result, Ear(call, hides_usage, None if is_of_client(result) else call))
    if (said := said_by(result, content=call.takes_content)) is not None:
        heard_in(call).take(said)
    return result
