"""Running what `wrap_llm` and `record_tool` are given, and reading what is said about it."""

from collections.abc import Awaitable, Mapping
from typing import Any, cast

import attrs

from lumina_async._events import Call, LlmCall, ToolRun
from lumina_async._log import Once
from lumina_async._privacy import Privacy
from lumina_async._protocols import Clock
from lumina_async._stream import is_async_stream, is_sync_stream
from lumina_async._trace import new_span_id
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


def new_llm(clock: Clock, fields: dict[str, Any]) -> LlmCall:
    """Begin a call of a model, and take out of `fields` what is not metadata or content."""
    call = Call(new_span_id(), clock.wall_ns(), clock.monotonic_ns())
    model, prompt_id = identifier(fields.pop("model", None)), identifier(fields.pop("prompt_id", None))
    return LlmCall(call, model, prompt_id, identifier(fields.pop("provider", None)))


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
