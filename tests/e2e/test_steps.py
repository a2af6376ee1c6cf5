"""What the page shows of calls of models: what was said, every fact, and how each of them ended."""

from typing import Any

import pytest
from e2e.visiting import Visit, send, turn
from playwright.async_api import Locator, expect

QUESTION = [{"role": "user", "content": "Where is my order?"}]
pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


def call(**more: Any) -> dict[str, Any]:
    facts = {"span_id": "b6e574ad548e7aeb", "model": "gpt-4o", "status": "ok", "outcome": "completed"}
    return {**facts, "started_at": "2026-01-01T10:01:00.100Z", "latency_ms": 900, **more}


async def unfolded(visit: Visit, *events: dict[str, Any]) -> Locator:
    """Return what is inside the first step of a model."""
    await send(visit.collector, *events)
    page = await visit.open("chat_42")
    await page.locator("summary.step", has_text="model").first.click()
    return page.locator("details[open] > .insides")


@pytest.mark.parametrize("outcome", ["client_gone", "stopped", "provider_error"])
async def test_what_a_model_said_is_shown_where_no_answer_was_set(visit: Visit, outcome: str) -> None:
    """Also of an answer that broke off; it is marked as what the model said, and as no message of the turn."""
    cut = call(outcome=outcome, output="Your order left our ware")
    old = [{"role": "assistant", "content": "Hello"}, *QUESTION]
    await send(visit.collector, turn(messages=old, llm=[cut]), turn(seq=2, messages=[], llm=[cut]))
    page = await visit.open("chat_42")
    first, second = page.locator("article").first, page.locator("article").last
    await expect(first.locator(".message")).to_contain_text(["Hello", "Where", "model outputYour order left our ware"])
    await expect(second.locator(".assistant.message")).to_have_text("assistantmodel outputYour order left our ware")
    await expect(page.get_by_text("No messages were set")).to_have_count(0)


async def test_an_answer_is_not_shown_twice(visit: Visit) -> None:
    """Where the turn has an answer of its own, what the model said is in its step."""
    inside = await unfolded(visit, turn(llm=[call(output="In short: on its way.")]))
    await expect(visit.page.locator("article > .messages .assistant")).to_have_count(1)
    await expect(inside.locator(".assistant .bubble")).to_have_text("In short: on its way.")


async def test_every_fact_of_a_call_is_a_click_away(visit: Visit) -> None:
    """In words, with units; what can be copied is a button."""
    facts = {"provider": "openai", "response_model": "gpt-4o-2024", "response_id": "resp_1", "prompt_id": "support/3"}
    facts |= {"ttft_ms": 250, "tokens_per_s": 75.512, "longest_gap_ms": 90, "chunks": 1200, "finish_reason": "stop"}
    usage = {"input_tokens": 1200, "output_tokens": 90, "cached_input_tokens": 4, "audio_tokens": 3}
    inside = await unfolded(visit, turn(llm=[call(**facts, usage=usage, meta={"temperature": 0.5}, cost=0.25)]))
    told = ["provideropenai", "modelgpt-4o", "answered bygpt-4o-2024", "promptsupport/3", "statusok"]
    told += ["outcomecompleted", "finish reasonstop", "latency900 ms", "first token250 ms", "longest gap90 ms"]
    await expect(inside.locator(".told").first.locator("div")).to_contain_text([*told, "tokens/s75.5", "chunks1,200"])
    await expect(inside.get_by_role("button", name="response resp_1")).to_be_visible()
    parts = ["factsprovider", "tokens1,200 in · 90 out · 4 cached · 3 of sound", "cost$0.25 · as sent"]
    await expect(inside.locator(".inside")).to_contain_text([*parts, "metatemperature0.5"])


async def test_an_answer_that_was_cut_is_marked(visit: Visit) -> None:
    """By the turn and by its step; a usual end is not news."""
    await send(visit.collector, turn(llm=[call(finish_reason="length")]), turn(seq=2, llm=[call(finish_reason="stop")]))
    page = await visit.open("chat_42")
    await expect(page.locator("article").first.locator(".turn-head .badge")).to_have_text(["ok", "cut off: length"])
    await expect(page.locator("article").first.locator(".step .badge")).to_have_text(["cut off: length"])
    await expect(page.locator("article").last.locator(".badge")).to_have_text(["ok"])


async def test_calls_of_one_turn_are_told_apart(visit: Visit) -> None:
    """Each step says how it ended, with the message of its error, and unfolds."""
    error = {"type": "APIError", "message": "overloaded"}
    broken = call(status="error", outcome="provider_error", error=error)
    outcomes = [call(), call(outcome="stopped"), call(outcome="timed_out"), call(outcome="client_gone"), broken]
    await send(visit.collector, turn(llm=outcomes))
    page = await visit.open("chat_42")
    ends = ["completed", "stopped", "timed out", "client gone", "errorprovider errorAPIError overloaded"]
    await expect(page.locator(".step .name")).to_contain_text([f"gpt-4o {end}" for end in ends])
    await expect(page.locator("summary.step")).to_have_count(5)


async def test_a_call_and_the_tool_it_asked_for_lead_to_each_other(visit: Visit) -> None:
    """A tool that was asked for is there with its arguments; the ids say which step it became."""
    wanted = [{"id": "call_1", "name": "find_order", "arguments": {"order": 1042}}, {"id": "call_2", "name": "nap"}]
    ran = {"name": "find_order", "status": "ok", "output": "in transit", "meta": {"tool_call_id": "call_1"}}
    inside = await unfolded(visit, turn(llm=[call(finish_reason="tool_calls", tool_calls=wanted)], tools=[ran]))
    await expect(inside.locator(".wanted > div")).to_have_text(["find_ordercall_1its steporder1042", "napcall_2"])
    await inside.get_by_role("button", name="its step").click()
    await expect(visit.page.get_by_text("in transit")).to_be_visible()
    await visit.page.get_by_role("button", name="the model's step").click()
    await expect(visit.page.locator("summary.step", has_text="gpt-4o")).to_be_focused()


LANGCHAIN = [
    {"type": "human", "content": "Where?", "name": None, "id": None},
    {"type": "ai", "content": "", "tool_calls": [{"id": "1", "name": "find", "args": {"q": 1}}], "id": None},
    {"type": "tool", "content": "in transit", "tool_call_id": "1"},
]
PYDANTIC_AI = [
    {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": "Where?", "timestamp": None}]},
    {"kind": "response", "parts": [{"part_kind": "tool-call", "tool_name": "find", "args": {"q": 1}}]},
    {"kind": "request", "parts": [{"part_kind": "tool-return", "tool_name": "find", "content": "in transit"}]},
]
GOOGLE = [
    {"role": "user", "parts": [{"text": "Where?", "thought": None}]},
    {"role": "model", "parts": [{"function_call": {"name": "find", "args": {"q": 1}}, "text": None}]},
    {"role": "tool", "parts": [{"text": "in transit"}]},
]
RESPONSES = [
    {"role": "user", "content": [{"type": "input_text", "text": "Where?"}], "id": None},
    {"type": "function_call", "name": "find", "arguments": '{"q":1}', "call_id": "1"},
    {"type": "function_call_output", "call_id": "1", "output": "in transit"},
]
ANTHROPIC = [
    {"role": "user", "content": "Where?"},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "find", "input": {"q": 1}}]},
    {"role": "tool", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "in transit"}]},
]
FORMS = {
    "langchain": LANGCHAIN,
    "pydantic_ai": PYDANTIC_AI,
    "google": GOOGLE,
    "openai": RESPONSES,
    "anthropic": ANTHROPIC,
}


@pytest.mark.parametrize("said", FORMS.values(), ids=FORMS.keys())
async def test_what_a_model_was_told_is_drawn_as_messages(visit: Visit, said: list[dict[str, Any]]) -> None:
    """In whatever form its client has them, with who said what, and without what was left empty."""
    inside = await unfolded(visit, turn(llm=[call(input={"instructions": "Be kind.", "input": said})]))
    await expect(inside.locator(".bubble")).to_have_text(["Be kind.", "Where?", 'find({"q":1})', "in transit"])
    roles = ["system message", "user message", "assistant message", "tool message"]
    kinds = await inside.locator(".message").evaluate_all("(nodes) => nodes.map((node) => node.className)")
    assert [" ".join(reversed(kind.split())) for kind in kinds] == roles


async def test_what_is_no_message_stays_as_it_is(visit: Visit) -> None:
    """Any other input is JSON."""
    inside = await unfolded(visit, turn(llm=[call(input={"rows": [1, 2]})]))
    await expect(inside.locator("pre")).to_have_text('{"rows":[1,2]}')


async def test_a_cost_is_in_the_list_and_an_unknown_one_is_explained(visit: Visit) -> None:
    """The list of sessions has the sum, the step the reason; a call that tells no tokens is no news in its turn."""
    unknown = call(model="our-own-7b", usage={"input_tokens": 100})
    inside = await unfolded(visit, turn(llm=[unknown, call(cost=1.5)]), turn(seq=2, llm=[call()]))
    await expect(inside.locator(".inside", has_text="cost")).to_contain_text("no price known to genai-prices")
    await expect(visit.page.locator("nav .counts")).to_contain_text("$1.50+")
    await expect(visit.page.locator("article").last.locator(".facts")).not_to_contain_text("cost")


async def test_a_narrow_screen_is_wide_enough_for_a_step(visit: Visit) -> None:
    """Whatever is unfolded, nothing is wider than the screen."""
    await visit.page.set_viewport_size({"width": 400, "height": 800})
    long = {"response_model": "gpt-4o-" + "x" * 80, "response_id": "resp_" + "y" * 80, "input": LANGCHAIN}
    inside = await unfolded(visit, turn(llm=[call(**long, finish_reason="z" * 80, meta={"k" * 50: "v" * 70})]))
    await expect(inside).to_be_visible()
    assert await visit.page.evaluate("document.querySelector('main').scrollWidth <= innerWidth")
