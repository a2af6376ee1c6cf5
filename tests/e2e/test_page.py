"""The page of the collector in a real browser: what it shows, that it lives, and that no text in it is ever markup."""

import re
from pathlib import Path
from typing import Any

import pytest
from e2e.visiting import Visit, event, send, turn
from playwright.async_api import Page, expect

from lumina_async.collector import Collector

PAYLOADS = Path(__file__).with_name("xss.txt").read_text().splitlines()
# What cannot stand in a line of a file.
PAYLOADS += [
    "\u202ejavascript:window.__xss=1",
    "java\nscript:window.__xss=1",
    "\u200bjava\u200bscript:1",
    "\ufeff\u2066x",
]
RECOGNISED = "ui_session_id ui_replay_url feedback feedback_score helpful flagged usage"
CALL_FIELDS = (
    "model prompt_id ttft_ms usage outcome error status name started_at latency_ms response_model provider meta"
)
CALL_FIELDS += " response_id span_id input output finish_reason tool_calls chunks longest_gap_ms tokens_per_s cost"
REPLAY = "https://us.posthog.com/project/1/replay/0197abc?t=84"
pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


def failed_turn() -> dict[str, Any]:
    error = {"type": "RateLimitError", "message": "slow down", "stack": ["app.chat:reply:88"]}
    call = {
        "model": "gpt-4o",
        "response_model": "gpt-4o-2024",
        "prompt_id": "v3",
        "ttft_ms": 312,
        "outcome": "timed_out",
    }
    return turn(status="error", error=error, llm=[call], annotations={"ui_replay_url": REPLAY, "helpful": False})


async def test_a_turn_is_shown_with_its_facts(visit: Visit) -> None:
    """A turn shows what was said, how long it took, with which model, and how its stream ended."""
    await send(visit.collector, failed_turn())
    page = await visit.open("chat_42")
    main = page.get_by_role("main")
    await expect(main.locator(".user .bubble")).to_have_text("Where is my order?")
    await expect(main.locator(".assistant .bubble")).to_have_text("About Where is my order?: on its way.")
    await expect(main.locator(".facts")).to_have_text("latency1.84 sfirst token312 msmodelgpt-4o → gpt-4o-2024promptv3")
    await expect(main.locator(".turn-head .badge")).to_have_text(["error", "timed out"])
    await expect(main.locator(".chips")).to_contain_text(["chat_42"])
    await expect(main.locator(".opinion")).to_have_text("Not helpfulby annotation")


async def test_what_a_turn_cost_is_shown_and_where_a_price_is_unknown(visit: Visit) -> None:
    """With the tokens from and to a cache; the session has the sum. Where none is known that is said."""
    usage = {"input_tokens": 1_600_000, "output_tokens": 50_000}
    usage |= {"cached_input_tokens": 500_000, "cache_creation_input_tokens": 1_000_000}
    known = {"model": "claude-haiku-4-5", "provider": "anthropic", "usage": usage}
    unknown = {"model": "our-own-7b", "usage": {"input_tokens": 100}}
    await send(visit.collector, turn(llm=[known, unknown]), turn("And this?", 2, llm=[unknown]))
    page = await visit.open("chat_42")
    first, second = page.locator("article").first.locator(".facts"), page.locator("article").last.locator(".facts")
    await expect(first).to_contain_text("cost$1.65 + 1 call without a price")
    await expect(first).to_contain_text("500,000 cached")
    await expect(first).to_contain_text("1,000,000 to the cache")
    await expect(second).to_contain_text("costno price known for 1 call")
    await expect(page.get_by_text("$1.65 + 2 calls without a price")).to_be_visible()


async def test_an_error_is_shown_with_its_stack(visit: Visit) -> None:
    """The kind and the message of an error are in sight; its stack is one click away."""
    await send(visit.collector, failed_turn())
    page = await visit.open("chat_42")
    await expect(page.locator(".failure summary")).to_have_text("RateLimitError slow down")
    await expect(page.get_by_text("app.chat:reply:88")).to_be_hidden()
    await page.locator(".failure summary").click()
    await expect(page.get_by_text("app.chat:reply:88")).to_be_visible()


async def test_the_replay_is_one_click_away(visit: Visit) -> None:
    """A replay URL becomes a link that opens elsewhere and tells the other site nothing."""
    await send(visit.collector, failed_turn())
    page = await visit.open("chat_42")
    link = page.get_by_role("link", name="Replay")
    await expect(link).to_have_attribute("href", REPLAY)
    await expect(link).to_have_attribute("rel", "noopener noreferrer")
    await expect(link).to_have_attribute("target", "_blank")


def busy_turn() -> dict[str, Any]:
    tool = {"name": "find_order", "type": "http", "target": "orders.internal", "version": "v7", "latency_ms": 184}
    tool |= {"status": "error", "input": {"id": 1042}, "output": "half of it", "meta": {"shard": "eu-1"}}
    tool |= {"error": {"type": "TimeoutError", "message": "no answer", "stack": ["app.orders:find:7"]}}
    results = [{"id": "doc_1", "score": 0.91234567, "content": "Orders " * 60}, {"id": "doc_2", "page": 3}, "bare"]
    return turn(tools=[tool], retrievals=[{"source": "help_center", "query": "order", "results": results}])


async def test_tools_and_retrievals_are_listed(visit: Visit) -> None:
    """Each retrieval and tool is a line with its name, target, time and status."""
    await send(visit.collector, busy_turn(), {**busy_turn(), "llm": [{"model": "gpt-4o", "latency_ms": 900}], "seq": 2})
    page = await visit.open("chat_42")
    lines = page.locator("article").first.locator(".step")
    await expect(lines).to_contain_text(
        ["help_center order 3 found", "find_order orders.internal errorTimeoutError no answer184 ms"]
    )
    await expect(page.locator("article").last.locator(".step .kind")).to_have_text(["retrieval", "model", "tool"])


async def test_a_tool_unfolds_to_what_went_in_and_out(visit: Visit) -> None:
    """Input, output, metadata and error of a tool are one click away."""
    await send(visit.collector, busy_turn())
    page = await visit.open("chat_42")
    inside = page.locator("details[open] .inside")
    await expect(page.get_by_text("eu-1")).to_be_hidden()
    await page.locator(".step", has_text="find_order").click()
    await expect(inside.locator(".kind")).to_have_text(["type", "version", "input", "output", "meta", "error"])
    await expect(inside).to_contain_text(["http", "v7", '{"id":1042}', "half of it", "eu-1", "TimeoutError no answer"])


async def test_a_retrieval_unfolds_to_what_was_found(visit: Visit) -> None:
    """Query and results, with id, score and the beginning of the content, are one click away."""
    await send(visit.collector, busy_turn())
    page = await visit.open("chat_42")
    await page.get_by_text("help_center", exact=True).click()
    results = page.locator(".results li")
    await expect(results).to_contain_text(["doc_10.9123Orders Orders", 'doc_2{"page":3}', "bare"])
    assert len(await results.first.inner_text()) < 320
    await results.first.get_by_role("button", name="Show all 420 characters").click()
    await expect(results.first.locator(".prose")).to_have_text("Orders " * 59 + "Orders")


def feedback(turn_id: str, **more: Any) -> dict[str, Any]:
    return event("feedback", turn_id=turn_id, **{"session_id": None, "kind": "feedback", **more})


async def test_feedback_is_shown_with_its_turn(visit: Visit) -> None:
    """What people said, by event or annotation, is with the turn as what it is: label, score, comment, kind, source."""
    await send(
        visit.collector,
        turn(turn_id="t1", annotations={"feedback": "thumbs_up", "feedback_score": 5, "plan": "pro"}),
        feedback("t1", score=-1, label="thumbs_down", comment="It was cold.\nAnd late.", feedback_source="user"),
        feedback("t1", kind="nps", score=9, feedback_source="survey"),
        feedback("t1", score=0.5),
        turn("Other", 2),
    )
    page = await visit.open("chat_42")
    opinions = page.locator("article").first.locator(".opinion")
    await expect(opinions).to_contain_text(
        ["thumbs upscore 5by annotation", "thumbs downscore -1", "npsscore 9by survey", "score 0.5"]
    )
    assert await opinions.evaluate_all("(nodes) => nodes.map((node) => node.className.slice(8))") == [
        "good",
        "bad",
        "good",
        "",
    ]
    await expect(opinions.nth(1).locator(".prose")).to_have_text("It was cold.\nAnd late.")
    await expect(page.locator("article").first.locator(".chips")).to_have_text("planpro")
    await expect(page.locator("article").last.locator(".opinion")).to_have_count(0)
    await expect(page.locator(".who-head .about, nav .counts")).to_contain_text(["3 feedback", "3 feedback"])


async def test_feedback_appears_by_itself(visit: Visit) -> None:
    """Feedback that arrives later is shown with its turn, wherever that is, and what is unfolded stays so."""
    turns = [turn(f"Turn {seq}", seq, turn_id=f"t{seq}") for seq in range(59)]
    await send(visit.collector, busy_turn() | {"turn_id": "busy", "seq": 59}, *turns)
    page = await visit.open("chat_42")
    await load_all(page, "article", "Load more turns", 60)
    await page.locator(".step", has_text="find_order").click()
    await send(visit.collector, feedback("t0", label="thumbs_down"), feedback("busy", label="thumbs_up"))
    await expect(page.locator("article", has_text="find_order").locator(".opinion")).to_contain_text("thumbs up")
    await expect(
        page.locator("article", has=page.get_by_text("Turn 0", exact=True)).locator(".opinion.bad")
    ).to_have_count(1)
    await expect(page.get_by_text("half of it")).to_be_visible()
    await send(visit.collector, feedback("t0", comment="And another thing"))
    await expect(page.get_by_text("And another thing")).to_have_count(1)


def visitor_turn(text: str, seq: int = 1, **more: Any) -> dict[str, Any]:
    return turn(text, seq, **{"distinct_id": "anon_77", "anonymous": True, **more})


def identify(user_id: str = "maria.keller", **more: Any) -> dict[str, Any]:
    return event("identify", distinct_id=user_id, **{"session_id": None, "previous_id": "anon_77", **more})


async def test_a_visitor_who_logs_in_gets_their_name(visit: Visit) -> None:
    """The name takes the place of the anonymous id by itself, with what is known, and a hint of what was before."""
    await send(visit.collector, visitor_turn("Hello"))
    page = await visit.open("chat_42")
    await expect(page.locator("h2")).to_have_text("anon_77anonymous")
    await send(visit.collector, identify(properties={"plan": "pro", "email": "maria@example.com"}))
    await expect(page.locator("h2")).to_have_text("maria.kellerearlier anonymous")
    await expect(page.locator(".person")).to_have_text("planproemailmaria@example.comearlier anonymous anon_77")
    await expect(page.locator("nav .row")).to_contain_text(["maria.keller"])
    await expect(page.locator("nav .counts")).to_have_text("1 turnearlier anonymous")
    await send(visit.collector, identify(properties={"plan": "team"}))
    await expect(page.locator(".person")).to_contain_text("planteam")


async def test_of_whom_nothing_is_known_nothing_is_told(visit: Visit) -> None:
    """A user without properties has a name, and not a word in the place of what is not there."""
    await send(visit.collector, turn())
    page = await visit.open("chat_42")
    async with page.expect_response("**/api/users/**"):
        await page.reload()
    await expect(page.locator(".who-head > *")).to_have_count(4)
    await expect(page.locator(".who-head")).not_to_contain_text(re.compile("false|null"))


async def test_a_login_within_a_conversation_marks_what_was_before(visit: Visit) -> None:
    """The turns from before the login say so; those after it do not, nor does anything while nobody is known."""
    await send(visit.collector, visitor_turn("Hello"))
    page = await visit.open("chat_42")
    await expect(page.locator("article .tag")).to_be_hidden()
    await send(visit.collector, identify(session_id="chat_42"), turn("It is me", 2))
    await expect(page.locator("article")).to_have_count(2)
    await expect(page.locator("article .tag:visible")).to_have_text(["earlier anonymous anon_77"])
    await expect(page.locator("h2")).to_have_text("maria.keller")


async def test_a_known_user_is_found_by_name(visit: Visit) -> None:
    """The search finds what a user said before they were known."""
    await send(visit.collector, visitor_turn("Before"), identify(), turn("Else", session_id="b", distinct_id="ben"))
    page = await visit.open()
    await page.get_by_role("searchbox").fill("maria")
    await expect(page.locator("nav .preview")).to_have_text(["Before"])


async def test_a_later_turn_appears_by_itself(visit: Visit) -> None:
    """A turn that arrives while someone looks is shown, and counted, without a reload."""
    await send(visit.collector, turn("First"))
    page = await visit.open("chat_42")
    await expect(page.locator("article")).to_have_count(1)
    await send(visit.collector, turn("Second", 2))
    await expect(page.locator("article .user .bubble")).to_have_text(["First", "Second"])
    await expect(page.locator("nav .preview")).to_have_text(["Second"])
    await expect(page.locator("#stats")).to_contain_text("2turns")


async def test_what_is_read_does_not_move(visit: Visit) -> None:
    """Someone who reads further up stays there, and is told that there is more below."""
    await send(visit.collector, *(turn(f"Question {seq}", seq) for seq in range(1, 13)))
    page = await visit.open("chat_42")
    await expect(page.locator("article")).to_have_count(12)
    await page.locator("main").evaluate("(main) => main.scrollTo(0, 100)")
    await send(visit.collector, turn("One more", 13))
    await expect(page.get_by_role("button", name="1 new turn below")).to_be_visible()
    assert await page.locator("main").evaluate("(main) => main.scrollTop") == 100


async def test_the_end_stays_in_sight(visit: Visit) -> None:
    """Someone at the end of a conversation sees each new turn."""
    await send(visit.collector, *(turn(f"Question {seq}", seq) for seq in range(1, 13)))
    page = await visit.open("chat_42")
    await expect(page.get_by_text("Question 12", exact=True).first).to_be_in_viewport()
    await send(visit.collector, turn("One more", 13))
    await expect(page.locator("article").last.locator(".ids")).to_be_in_viewport()
    await expect(page.locator("article")).to_have_count(13)


async def test_sessions_are_listed_latest_first(visit: Visit) -> None:
    """The list names who it was and whether they are known, what they asked last, and what went wrong."""
    await send(visit.collector, turn("Old", session_id="a", distinct_id="anon_1", anonymous=True, status="cancelled"))
    await send(visit.collector, turn("New", session_id="b", status="error"))
    page = await visit.open()
    rows = page.locator("nav .row")
    await expect(rows).to_contain_text(["maria.keller", "anon_1"])
    await expect(rows.nth(0)).to_contain_text("New1 turn1 error")
    await expect(rows.nth(1)).to_contain_text("Old1 turnanonymous1 cancelled")


async def test_search_and_keys(visit: Visit) -> None:
    """`/` leads to the search, which narrows the list; `j` and `k` move through it."""
    await send(visit.collector, turn("Apples", session_id="a"), turn("Pears", session_id="b"))
    page = await visit.open()
    await expect(page).to_have_url(re.compile("#/sessions/b$"))
    await page.keyboard.press("j")
    await expect(page.locator("main .user .bubble")).to_have_text("Apples")
    await page.keyboard.press("k")
    await expect(page.locator("main .user .bubble")).to_have_text("Pears")
    await page.keyboard.press("/")
    await page.keyboard.type("appl")
    await expect(page.locator("nav .preview")).to_have_text(["Apples"])


async def test_an_empty_collector_says_how_to_begin(visit: Visit) -> None:
    """The empty page holds the code that sends the first turn here, and that turn takes its place."""
    page = await visit.open()
    await expect(page.locator("main pre")).to_contain_text(f'endpoint="{visit.collector.url}", write_key="gi_dev"')
    await send(visit.collector, turn("Hello"))
    await expect(page.locator("main .user .bubble")).to_have_text("Hello")


async def test_losses_are_in_sight(visit: Visit) -> None:
    """What never arrived is said with its reasons, also while someone looks."""
    page = await visit.open()
    await expect(page.get_by_role("alert")).to_have_count(0)
    report = event("sdk_report", client_id="c1", lost={"queue_overflow": 31, "of_tomorrow": 2})
    await send(visit.collector, report)
    await expect(page.get_by_role("alert")).to_contain_text("33 events lost")
    await expect(page.get_by_role("alert")).to_contain_text("31 queue_overflow the queue in memory was full")
    await expect(page.get_by_role("alert")).to_contain_text("2 of_tomorrow")


async def test_no_capture_is_said(visit: Visit) -> None:
    """Where messages are not recorded the page says so instead of showing nothing."""
    hidden = turn(capture="none")
    del hidden["messages"]
    await send(visit.collector, hidden)
    page = await visit.open("chat_42")
    await expect(page.get_by_text("Messages are not recorded")).to_be_visible()


async def test_message_parts_are_told_apart(visit: Visit) -> None:
    """Text parts are text, binary ones their kind and size, unknown ones JSON; calls of tools are named."""
    parts = [
        {"type": "text", "text": "Look"},
        {"type": "image", "mime": "image/png", "bytes": 2048},
        {"type": "x", "n": 1},
    ]
    call = {"id": "1", "function": {"name": "find", "arguments": '{"q": 1}'}}
    messages = [{"role": "user", "content": parts}, {"role": "assistant", "content": None, "tool_calls": [call]}]
    await send(visit.collector, turn(messages=messages))
    page = await visit.open("chat_42")
    bubbles = page.locator("main .bubble")
    await expect(bubbles).to_have_text(['Lookimage/png · 2.0 KB{"type":"x","n":1}', 'find({"q": 1})'])


async def test_a_repeated_history_is_folded(visit: Visit) -> None:
    """Apps that hand over the whole conversation each time do not make it longer than it was."""
    said = [{"role": "user", "content": "One"}, {"role": "assistant", "content": "Two"}]
    more = [*said, {"role": "user", "content": "Three"}]
    await send(visit.collector, turn(messages=said), turn(seq=2, messages=more))
    page = await visit.open("chat_42")
    await expect(page.get_by_text("2 earlier messages")).to_be_visible()
    await expect(page.locator("main .bubble:visible")).to_have_text(["One", "Two", "Three"])


def filled(names: str, value: Any) -> dict[str, Any]:
    return dict.fromkeys(names.split(), value)


def odd_turns(odd: Any) -> list[dict[str, Any]]:
    """Return a turn with this value in each field, and one with it a level deeper."""
    outer = "seq status started_at latency_ms llm tools retrievals messages capture annotations ui links error notes"
    inner = filled(CALL_FIELDS, odd)
    said = [{"role": odd, "name": odd, "content": odd, "tool_calls": odd}, {"content": [odd]}]
    deep = {"llm": [inner, inner], "tools": [inner], "retrievals": [inner], "messages": said, "notes": [odd]}
    deep |= {
        "error": filled("type message stack", odd),
        "annotations": filled(RECOGNISED, odd),
        "ui": {"replay_url": odd},
    }
    return [{**turn(), **filled(outer, odd)}, {**turn(), **deep}]


@pytest.mark.parametrize("odd", [7, "text", True, [], [None, 1, "x"], {"a": {"b": []}}], ids=str)
async def test_strange_feedback_and_properties_are_shown_somehow(visit: Visit, odd: Any) -> None:
    """Whatever types the fields of feedback, properties and results have, the rest of the page is there."""
    said = {**feedback("t1"), **filled("kind score label comment feedback_source ts", odd)}
    noted = turn(turn_id="t1", annotations=filled("feedback feedback_score helpful", odd), anonymous=odd)
    found = {"source": odd, "query": odd, "results": [odd, filled("id score content", odd)]}
    await send(visit.collector, {**noted, "retrievals": [found], "feedback": odd}, said)
    await send(visit.collector, identify(properties=odd), identify(properties={"odd": odd, "deep": {"deep": odd}}))
    page = await visit.open("chat_42")
    await expect(page.locator(".opinion")).to_have_count(2 if odd else 1)
    await expect(page.locator(".step")).to_have_count(1)
    await expect(page.locator(".person")).to_contain_text("deep")
    await expect(page.get_by_text("could not be shown")).to_have_count(0)


async def test_a_strange_event_costs_nothing_else(visit: Visit) -> None:
    """Whatever types the fields of an event have, the page shows it somehow, and the turns around it."""
    odds = [7, -1.5e300, "text", True, False, None, [], [[]], [None, 1, "x"], {}, {"a": {"b": []}}, {"length": 2}]
    strange = [one for odd in odds for one in odd_turns(odd)]
    await send(visit.collector, turn("Before", 0), *strange, turn("After", 59))
    page = await visit.open("chat_42")
    await expect(page.locator("article")).to_have_count(2 + len(strange))
    await expect(page.locator("main").get_by_text("Before", exact=True)).to_have_count(1)
    await expect(page.locator("main").get_by_text("After", exact=True)).to_have_count(1)
    await page.evaluate("document.querySelectorAll('details').forEach((details) => (details.open = true))")
    await expect(page.locator("details[open] > .insides").first).to_be_visible()
    await expect(page.get_by_text("could not be shown")).to_have_count(0)


async def load_all(page: Page, items: str, button: str, count: int) -> None:
    for shown in range(50, count, 50):
        await expect(page.locator(items)).to_have_count(shown)
        await page.get_by_role("button", name=button, exact=True).click()
    await expect(page.locator(items)).to_have_count(count)


async def test_long_lists_come_in_pages(visit: Visit) -> None:
    """Sessions and turns beyond the first page are a click away."""
    await send(visit.collector, *(turn(f"In {number}", session_id=f"s{number}") for number in range(60)))
    await send(visit.collector, *(turn(f"Turn {seq}", seq) for seq in range(60)))
    page = await visit.open("chat_42")
    await load_all(page, "article", "Load more turns", 60)
    await load_all(page, "nav .row", "Load more", 61)


async def test_an_unknown_address_waits_for_its_session(visit: Visit) -> None:
    """A link to a session that is not here says so, and shows the session when it comes."""
    page = await visit.open("chat_42")
    await expect(page.get_by_text("This session is not here.")).to_be_visible()
    assert all("404" in problem for problem in visit.problems)
    visit.problems.clear()
    await send(visit.collector, turn("There"))
    await expect(page.locator("main .user .bubble")).to_have_text("There")


async def test_a_restart_leaves_no_gap(visit: Visit, tmp_path: Path) -> None:
    """What arrives while the page is cut off shows up when it is back, without a reload."""
    async with Collector(db=tmp_path / "lumina.db", port=0) as first:
        visit.collector = first
        await send(first, turn("First", turn_id="t1"))
        page = await visit.open("chat_42")
    await expect(page.get_by_text("Reconnecting")).to_be_visible()
    async with Collector(db=tmp_path / "lumina.db", port=first.port) as second:
        await send(second, turn("Second", 2), feedback("t1", label="thumbs_down"))
        await expect(page.locator("main .user .bubble")).to_have_text(["First", "Second"], timeout=15_000)
        await expect(page.locator("article").first.locator(".opinion")).to_contain_text("thumbs down")
        await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    visit.problems = [problem for problem in visit.problems if "Failed to load resource" not in problem]


async def test_a_phone_shows_one_thing_at_a_time(visit: Visit) -> None:
    """On a narrow screen the list leads to the conversation and back, and nothing is wider than the screen."""
    await visit.page.set_viewport_size({"width": 390, "height": 800})
    await send(visit.collector, failed_turn())
    page = await visit.open()
    await page.locator("nav .row").click()
    await expect(page.locator("main .user .bubble")).to_be_visible()
    await expect(page.locator("nav")).to_be_hidden()
    assert await page.evaluate("document.querySelector('main').scrollWidth <= innerWidth")
    await page.get_by_role("link", name="Sessions").click()
    await expect(page.locator("nav .row")).to_be_visible()


def hostile_turn(text: str, seq: int) -> dict[str, Any]:
    """Return a turn with this text in every field that takes one."""
    error = {"type": text, "message": text, "stack": [text], "at": text}
    call = filled(
        "model response_model response_id provider prompt_id status outcome finish_reason output span_id", text
    )
    call |= {"input": [{"role": text, "content": text, "name": text}], "usage": {text: text}, "chunks": text}
    call |= {"tool_calls": [{"id": text, "name": text, "arguments": {text: text}}]}
    tool = filled("name status started_at type target version input output", text)
    parts = [{"type": "text", "text": text}, {"type": text, text: text}, {"mime": text, "bytes": text}]
    messages = [
        {"role": text, "name": text, "content": text},
        {"role": "assistant", "content": parts, "tool_calls": [{"function": {"name": text, "arguments": text}}]},
    ]
    return {
        **turn(seq=seq, session_id=text, distinct_id=text, turn_id=text, messages=messages, error=error),
        **filled("status ended_at trace_id environment release parent_id", text),
        "llm": [{**call, "error": error, "meta": {text: text}}] * 2,
        "tools": [{**tool, "error": error, "meta": {"tool_call_id": text, text: text}}],
        "retrievals": [{"source": text, "query": text, "results": [{"id": text, "score": text, "content": text}]}],
        "annotations": {text: text, **filled(RECOGNISED, text)},
        "ui": {"session_id": text, "window_id": text, "replay_url": text},
        "notes": [text],
        "links": [text],
    }


def hostile_feedback(text: str) -> dict[str, Any]:
    return {**feedback(text), **filled("kind label comment feedback_source score ts", text)}


LINKS = "(nodes) => nodes.map((node) => [node.getAttribute('href'), node.target, node.rel])"
SUSPECTS = "main :is(script, style, img, iframe, object, embed, link, base, meta, form, input, video, audio, math, use)"


async def assert_links_are_safe(page: Page) -> None:
    for href, target, rel in await page.locator("a").evaluate_all(LINKS):
        if not href.startswith("#/"):
            assert re.match(r"https?://[^/]", href)
            assert (target, rel) == ("_blank", "noopener noreferrer")


async def assert_harmless(visit: Visit) -> None:
    await assert_links_are_safe(visit.page)
    assert await visit.page.evaluate("window.__xss") is None
    assert await visit.page.locator(SUSPECTS).count() == 0
    handlers = "document.evaluate('count(//@*[starts-with(name(), \"on\")])', document).numberValue"
    assert await visit.page.evaluate(handlers) == 0
    assert visit.problems == []


async def test_hostile_turns_are_only_text(visit: Visit) -> None:
    """No payload in a text of a turn runs, loads anything or is a link, even with all unfolded (FAULTS C19, G24)."""
    turns = [{**hostile_turn(text, seq), "session_id": "chat_42"} for seq, text in enumerate(PAYLOADS)]
    for start in range(0, len(turns), 25):
        await send(visit.collector, *turns[start : start + 25])
    await send(visit.collector, *(hostile_feedback(text) for text in PAYLOADS))
    page = await visit.open("chat_42")
    await load_all(page, "article", "Load more turns", len(turns))
    assert await page.locator(".opinion").count() == 2 * len(turns)
    await page.evaluate("document.querySelectorAll('details').forEach((details) => (details.open = true))")
    await expect(page.locator(".raw pre")).to_have_count(len(turns))
    await assert_harmless(visit)


async def test_hostile_sessions_are_only_text(visit: Visit) -> None:
    """No payload as id, name, property, preview or pointer does harm, and each session opens (FAULTS C19, G24)."""
    for text in PAYLOADS:
        pointers = {"page": text, text: text, "replay_url": text}
        visitor = {"session_id": text, "distinct_id": f"anon_{text}", "anonymous": True}
        started, asked = event("session_started", pointers=pointers, **visitor), turn(text, **visitor)
        login = identify(text, previous_id=f"anon_{text}", properties={text: text, "deep": {text: [text]}})
        lost = event("sdk_report", session_id=None, client_id=text, lost={text[:64]: 1})
        await send(visit.collector, started, asked, login, lost)
    page = await visit.open()
    await load_all(page, "nav .row", "Load more", len(PAYLOADS))
    for text in PAYLOADS:
        await page.evaluate("(id) => (location.hash = `#/sessions/${encodeURIComponent(id)}`)", text)
        await expect(page.locator("main .user .prose")).to_have_count(1)
        await expect(page.locator("main h2 bdi")).not_to_be_empty()
        await expect(page.locator(".person .chip")).to_have_count(2)
        await assert_links_are_safe(page)
    await assert_harmless(visit)
