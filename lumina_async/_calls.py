"""Running what `wrap_llm` and `record_tool` are given, and reading what is said about it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import attrs

from lumina_async._chunks import read_kept
from lumina_async._events import Answer, Call, ErrorInfo, LlmCall, Outcome, Status, ToolRun
from lumina_async._inside import enter
from lumina_async._log import Once
from lumina_async._privacy import Privacy
from lumina_async._protocols import Clock
from lumina_async._said import Said
from lumina_async._shapes import said_by
from lumina_async._stream import is_async_stream, is_sync_stream
from lumina_async._trace import new_span_id
from lumina_async._usage import usage_of
from lumina_async._values import identifier


@attrs.frozen(kw_only=True)
class ToolCall:
    """What is said about a call of a tool; a mapping or keywords with these names do as well.

    Attributes:
        type: The kind, like `"vector_search"`.
        target: What is called, like `"pinecone"`.
        version: Of the tool.
        input: What it is given: content, so it goes through the mask.
        output: What it gives, or a function from its result to that; content too.
    """

    type: str | None = None
    target: str | None = None
    version: str | None = None
    input: Any = None
    output: Any = None


Meta = Mapping[str, Any] | ToolCall | None
"""What is said about a call."""


def new_llm(clock: Clock, fields: dict[str, Any], *, takes_content: bool = True) -> LlmCall:
    """Begin a call of a model, and take out of `fields` what is not metadata or content."""
    call = Call(new_span_id(), clock.wall_ns(), clock.monotonic_ns())
    model, prompt_id = identifier(fields.pop("model", None)), identifier(fields.pop("prompt_id", None))
    llm = LlmCall(call, model, prompt_id, identifier(fields.pop("provider", None)))
    llm.takes_content = takes_content
    # What the user says of the tokens wins, where it is of a known form; else it is metadata like any other.
    if "usage" in fields and (usage := usage_of(fields["usage"])):
        del fields["usage"]
        llm.answer = Answer(usage=usage)
    return llm


def new_tool(clock: Clock, name: str, fields: dict[str, Any]) -> ToolRun:
    """Begin a call of a tool, and take out of `fields` what is not metadata or content."""
    call = Call(new_span_id(), clock.wall_ns(), clock.monotonic_ns())
    kind, target = identifier(fields.pop("type", None)), identifier(fields.pop("target", None))
    return ToolRun(call, identifier(name) or "tool", kind, target, identifier(fields.pop("version", None)))


async def describe(call: Call, fields: dict[str, Any], privacy: Privacy, notes: set[str]) -> None:
    """Keep the input and the metadata of a call, as they may leave."""
    if "input" in fields:
        call.input = await privacy.content(fields.pop("input"), notes)
    if fields:
        call.meta = await privacy.metadata(fields, notes)


def describe_nowait(call: Call, fields: dict[str, Any], privacy: Privacy, notes: set[str]) -> None:
    """Keep input, output and metadata of a call where nothing may be awaited: under an async mask as a failed one."""
    if "input" in fields:
        call.input = privacy.content_nowait(fields.pop("input"), notes)
    if "output" in fields:
        call.output = privacy.content_nowait(fields.pop("output"), notes)
    if fields:
        call.meta = privacy.metadata_nowait(fields, notes)


async def conclude(call: Call, output: Any, result: Any, privacy: Privacy, notes: set[str]) -> None:
    """Keep the output of a call, as it may leave: a value, or what a function makes of the result."""
    if callable(output):
        try:
            output = output(result)
        # The function is the user's and may raise anything; the call itself went well.
        except Exception as error:  # noqa: BLE001
            notes.add(f"the output function raised {type(error).__name__}")
            return
    call.output = await privacy.content(output, notes)


def said_in(llm: LlmCall, result: Any = None) -> Said | None:
    """Return all that was said in a call, and forget it: what is kept of it is what may leave.

    What the result says, or the chunks of its stream, and what clients were told inside the call.
    """
    said = llm.said or said_by(result, content=llm.takes_content)
    heard = None if llm.heard is None else llm.heard.told()
    llm.said = llm.heard = None
    if said is None:
        if heard is not None:
            # What came out is of the app's own making: it has seen to what failed inside.
            heard.failure = None
        return heard
    read_kept(said)
    if heard is not None:
        said.complete(heard)
    return said


def _answer(llm: LlmCall, said: Said) -> Answer:
    """Keep what is no content; what the user said wins."""
    given = None if llm.answer is None else llm.answer.usage
    llm.provider = llm.provider or said.provider
    llm.answer = Answer(
        response_model=said.model,
        response_id=said.id,
        usage=given or said.usage or None,
        finish_reason=said.finish_reason,
        failure=said.failure,
    )
    return llm.answer


def _takes_text(llm: LlmCall, said: Said) -> bool:
    return llm.takes_content and llm.call.output is None and said.text is not None


async def keep_said(llm: LlmCall, said: Said, privacy: Privacy, notes: set[str]) -> None:
    """Keep what a response said, as it may leave."""
    answer = _answer(llm, said)
    if said.asked:
        answer.tool_calls = await privacy.metadata(said.tool_calls, notes)
    if _takes_text(llm, said):
        llm.call.output = await privacy.content(said.text, notes)


def keep_said_nowait(llm: LlmCall, said: Said, privacy: Privacy, notes: set[str]) -> None:
    """Keep the same where nothing may be awaited."""
    answer = _answer(llm, said)
    if said.asked:
        answer.tool_calls = privacy.metadata_nowait(said.tool_calls, notes)
    if _takes_text(llm, said):
        llm.call.output = privacy.content_nowait(said.text, notes)


def see_failure(fact: LlmCall | ToolRun, privacy: Privacy, clock: Clock) -> None:
    """Let a call that returned have failed, where its response says so."""
    if not isinstance(fact, LlmCall) or fact.answer is None or fact.answer.failure is None:
        return
    if fact.call.status is not Status.OK:
        return
    code, message = fact.answer.failure
    told = privacy.error_message(message) if message else None
    fact.call.status = Status.ERROR
    fact.call.error = ErrorInfo(type=code, message=told, stack=(), at_ns=clock.wall_ns())
    if fact.outcome is not None:
        fact.outcome = Outcome.PROVIDER_ERROR


async def run_inside(fact: LlmCall | ToolRun, work: Any, once: Once) -> Any:
    """Run what a call was given: what an instrumented client does in it belongs to a call of a model, not of a tool."""
    if not isinstance(fact, LlmCall):
        return await run_once(work, once)
    before = enter(fact)
    try:
        return await run_once(work, once)
    finally:
        enter(before)


def run_inside_nowait(fact: LlmCall | ToolRun, work: Callable[[], Any]) -> Any:
    """Run a plain function in the same way."""
    if not isinstance(fact, LlmCall):
        return work()
    before = enter(fact)
    try:
        return work()
    finally:
        enter(before)


async def run_once(work: Any, once: Once) -> Any:
    """Run what `wrap_llm` or `record_tool` was given, exactly once, and return what it gives."""
    # 1. A callable, async or plain; the usual case.
    # 2. An awaitable: a coroutine object, a task, a future.
    # 3. A stream that was made already: it is its own result.
    # 4. Anything else was computed before: nothing is left to measure.
    is_awaitable = hasattr(work, "__await__")
    if callable(work) and not is_awaitable:
        result: Any = work()
        return await result if hasattr(result, "__await__") else result
    if is_awaitable:
        return await cast("Awaitable[Any]", work)
    if not is_async_stream(work) and not is_sync_stream(work):
        hint = "a %s is no call that could be recorded: pass the function, not its result"
        once.warn("not callable", hint, work.__class__.__name__)
    return work
