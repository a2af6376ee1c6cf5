"""Running what `wrap_llm`, `record_tool` and the decorators are given, as a call of a turn."""

from collections.abc import Callable
from typing import Any

from lumina_async._calls import (
    conclude,
    describe,
    describe_nowait,
    keep_said,
    run_inside,
    run_inside_nowait,
    said_in,
)
from lumina_async._draft import Draft, Fact
from lumina_async._events import Call, LlmCall
from lumina_async._on_entry import gives_on_entry, watched_on_entry
from lumina_async._shapes import said_by
from lumina_async._stream import closing_of, is_async_stream, is_sync_stream, watched
from lumina_async._usage import is_of_client
from lumina_async._watch import Watch


async def observe(draft: Draft, fact: Fact, work: Any, fields: dict[str, Any], *, hides_usage: bool = False) -> Any:
    """Run a call that was added to a turn, and return what it gives; a stream comes back as its proxy."""
    recorder, call, output = draft.recorder, fact.call, fields.pop("output", None)
    try:
        if draft.is_untold or recorder.privacy.is_async:
            await _prepare(draft, call, fields)
        elif fields:
            describe_nowait(call, fields, recorder.privacy, draft.notes)
        call.began = recorder.clock.monotonic_ns()
        result = await run_inside(fact, work, recorder.once)
        if _is_watched(fact, result):
            return _watched(draft, fact, result, hides_usage)
        ended = recorder.clock.monotonic_ns()
        if output is not None:
            await conclude(call, output, result, recorder.privacy, draft.notes)
        if isinstance(fact, LlmCall) and (said := said_in(fact, result)) is not None:
            await keep_said(fact, said, recorder.privacy, draft.notes)
    except BaseException as error:
        draft.ended(fact, error)
        raise
    draft.returned(fact, ended)
    return result


async def _prepare(draft: Draft, call: Call, fields: dict[str, Any]) -> None:
    """Do what has to be awaited before a call: tell the providers of its turn, and mask what it is given."""
    if draft.is_untold:
        await draft.tell_start()
    if fields:
        await describe(call, fields, draft.recorder.privacy, draft.notes)


def observe_nowait(
    draft: Draft, fact: Fact, work: Callable[[], Any], fields: dict[str, Any], *, hides_usage: bool = False
) -> Any:
    """Add a plain function to a turn as a call, or what makes a generator, and run it without awaiting anything."""
    output, privacy = fields.pop("output", None), draft.recorder.privacy
    draft.add(fact)
    describe_nowait(fact.call, fields, privacy, draft.notes)
    try:
        result = run_inside_nowait(fact, work)
    except BaseException as error:
        draft.ended(fact, error)
        raise
    if _is_watched(fact, result):
        return _watched(draft, fact, result, hides_usage)
    if output is not None:
        describe_nowait(fact.call, {"output": result}, privacy, draft.notes)
    if isinstance(fact, LlmCall):
        fact.said = said_by(result, content=fact.takes_content)
    draft.ended(fact, None)
    return result


def _is_watched(fact: Fact, result: Any) -> bool:
    """Tell whether this is a stream, or gives one that a model answers in."""
    return is_async_stream(result) or is_sync_stream(result) or (isinstance(fact, LlmCall) and gives_on_entry(result))


def _watched(draft: Draft, fact: Fact, stream: Any, hides_usage: bool) -> Any:
    """Return the proxy of a stream, or of what gives one on entry; it ends this call when it ends."""
    watch = Watch(draft, fact, hides_usage)
    if gives_on_entry(stream):
        watch.inside = watch.around
        return watched_on_entry(stream, watch)
    if isinstance(fact, LlmCall):
        fact.streaming = True
        fact.was_closed = closing_of(stream)
        watch.inside = None if is_of_client(stream) else fact
    return watched(stream, watch)
