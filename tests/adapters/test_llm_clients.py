"""The real clients of OpenAI, Anthropic and Google against aimock, instrumented and by `wrap_llm`."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import anthropic
import openai
import pytest
from anthropic import AsyncAnthropic
from e2e.aimock import aimock, fixture
from google import genai
from google.genai import errors
from openai import AsyncOpenAI, OpenAI
from support import recording

from lumina_async import Turn, llm
from lumina_async.llms import anthropic as for_anthropic, google_genai as for_google, openai as for_openai

pytestmark = [
    pytest.mark.node,
    # google-genai derives a class from the session of aiohttp.
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),
    # aimock ends a call of a function for a reason that Google does not have.
    pytest.mark.filterwarnings("ignore:FUNCTION_CALL is not a valid FinishReason"),
]

USAGE = {"prompt_tokens": 11, "completion_tokens": 9, "total_tokens": 20}
USED = {"input_tokens": 11, "output_tokens": 9}
TOOL = {"name": "search", "arguments": '{"q": "beans"}'}
SLOW = "One two three four five six seven eight nine ten eleven twelve."
FIXTURES = [
    fixture("hello", content="Hi there!", usage=USAGE),
    fixture("tools", toolCalls=[TOOL], usage=USAGE),
    fixture("limit", error={"message": "slow down", "type": "rate_limit_error"}, status=429),
    fixture("slow", content=SLOW, usage=USAGE, latency=60, chunkSize=5),
    fixture("cut", content=SLOW, usage=USAGE, latency=20, chunkSize=5, truncateAfterChunks=8),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with aimock(tmp_path_factory.mktemp("aimock"), *FIXTURES) as url:
        yield url.removesuffix("/v1")


class Vendor:
    """One client, and how it is asked."""

    name = ""
    refused: type[Exception] = Exception
    cut: tuple[type[Exception], ...] = ()
    model = ""

    async def whole(self, text: str) -> Any: ...

    async def stream(self, text: str) -> Any: ...

    async def close(self) -> None: ...

    def text(self, chunk: Any) -> str: ...


class OpenAIVendor(Vendor):
    name, model = "openai", "gpt-4o-mini"
    refused, cut = openai.RateLimitError, (openai.APIConnectionError,)

    def __init__(self, url: str) -> None:
        self.client = for_openai.instrument(AsyncOpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0))

    async def whole(self, text: str) -> Any:
        return await self.client.chat.completions.create(
            model=self.model, messages=[{"role": "user", "content": text}], n=1
        )

    async def stream(self, text: str) -> Any:
        return await self.client.chat.completions.create(
            model=self.model, messages=[{"role": "user", "content": text}], stream=True
        )

    async def close(self) -> None:
        await self.client.close()

    def text(self, chunk: Any) -> str:
        return chunk.choices[0].delta.content or ""


class ResponsesVendor(OpenAIVendor):
    async def whole(self, text: str) -> Any:
        return await self.client.responses.create(model=self.model, input=text)

    async def stream(self, text: str) -> Any:
        return await self.client.responses.create(model=self.model, input=text, stream=True)

    def text(self, chunk: Any) -> str:
        return str(chunk.delta) if chunk.type == "response.output_text.delta" else ""


class AnthropicVendor(Vendor):
    name, model = "anthropic", "claude-test"
    refused, cut = anthropic.RateLimitError, (anthropic.APIConnectionError, Exception)

    def __init__(self, url: str) -> None:
        self.client = for_anthropic.instrument(AsyncAnthropic(base_url=url, api_key="x", max_retries=0))

    async def whole(self, text: str) -> Any:
        return await self.client.messages.create(
            model=self.model, max_tokens=100, messages=[{"role": "user", "content": text}]
        )

    async def stream(self, text: str) -> Any:
        return await self.client.messages.create(
            model=self.model, max_tokens=100, messages=[{"role": "user", "content": text}], stream=True
        )

    async def close(self) -> None:
        await self.client.close()

    def text(self, chunk: Any) -> str:
        return str(getattr(chunk.delta, "text", "")) if chunk.type == "content_block_delta" else ""


class GoogleVendor(Vendor):
    name, model = "google", "gemini-2.5-flash"
    refused, cut = errors.ClientError, (Exception,)

    def __init__(self, url: str) -> None:
        options: Any = {"base_url": url, "api_version": "v1beta"}
        self.client = for_google.instrument(genai.Client(api_key="x", http_options=options))

    async def whole(self, text: str) -> Any:
        return await self.client.aio.models.generate_content(model=self.model, contents=text)

    async def stream(self, text: str) -> Any:
        return await self.client.aio.models.generate_content_stream(model=self.model, contents=text)

    async def close(self) -> None:
        await self.client.aio.aclose()
        self.client.close()

    def text(self, chunk: Any) -> str:
        return chunk.text or ""


VENDORS = {"openai": OpenAIVendor, "responses": ResponsesVendor, "anthropic": AnthropicVendor, "google": GoogleVendor}


@pytest.fixture(params=VENDORS)
async def vendor(request: pytest.FixtureRequest, server: str) -> AsyncIterator[Vendor]:
    vendor = VENDORS[request.param](server)
    yield vendor
    await vendor.close()


@asynccontextmanager
async def a_turn(**options: Any) -> AsyncIterator[tuple[Turn, list[dict[str, Any]]]]:
    """A turn; when the block has ended, the calls of models that were recorded in it."""
    calls: list[dict[str, Any]] = []
    async with recording(capture_transcript="full", **options) as (client, transport):
        async with (await client.session.start()).turn() as t:
            yield t, calls
    calls += transport.turns[0].get("llm", [])


async def read(stream: AsyncIterator[Any], seen: list[Any] | None = None) -> None:
    """Read to the end; each chunk is put among those seen."""
    async for chunk in stream:
        if seen is not None:
            seen.append(chunk)


async def test_a_whole_answer(vendor: Vendor) -> None:
    """Recorded without `wrap_llm`, with the tokens, the model that answered, the reason and the text."""
    async with a_turn() as (_, calls):
        await vendor.whole("hello")
    [call] = calls
    assert (call["provider"], call["model"], call["output"]) == (vendor.name, vendor.model, "Hi there!")
    assert (call["usage"], call["status"]) == (USED, "ok")
    # aimock tells no model and no id for Google.
    told = {"finish_reason"} if vendor.name == "google" else {"finish_reason", "response_model", "response_id"}
    assert told <= {*call}


async def test_a_streamed_answer(vendor: Vendor) -> None:
    """The same of a stream, which the app reads as it is; no chunk is added that it did not ask for."""
    async with a_turn() as (_, calls):
        said = [vendor.text(chunk) async for chunk in await vendor.stream("hello")]
    [call] = calls
    assert "".join(said) == call["output"] == "Hi there!"
    assert (call["usage"], call["outcome"], call["streaming"]) == (USED, "completed", True)
    assert call["chunks"] == len(said)


async def test_tools_that_are_asked_for(vendor: Vendor) -> None:
    """Names and arguments, of a whole answer and of a stream, are the same."""
    async with a_turn() as (_, calls):
        await vendor.whole("tools")
        await read(await vendor.stream("tools"))
    for call in calls:
        [asked] = call["tool_calls"]
        assert (asked["name"], asked["arguments"]) == ("search", {"q": "beans"})
    assert len(calls) == 2


async def test_a_refusal(vendor: Vendor) -> None:
    """A 429 is the client's own exception for the app, and an error of the call."""
    async with a_turn() as (_, calls):
        for ask in (vendor.whole, vendor.stream):
            with pytest.raises(vendor.refused):
                await read(await ask("limit"))
    assert [call["status"] for call in calls] == ["error", "error"]
    assert all("usage" not in call for call in calls)


async def test_a_slow_stream_tells_its_first_chunk(vendor: Vendor) -> None:
    """The time to the first chunk is the 60 ms that the server takes, and what the app sees in the same run."""
    seen: list[float] = []
    async with a_turn() as (_, calls):
        # Clients make much of what they need at their first call, and a busy machine disturbs some of them.
        for _number in range(4):
            began, first = monotonic(), 0.0
            async for _ in await vendor.stream("slow"):
                first = first or monotonic() - began
            seen.append(first * 1000)
    assert all(call["ttft_ms"] >= 60 for call in calls)
    assert min(abs(call["ttft_ms"] - first) for call, first in zip(calls, seen, strict=True)) < 20
    assert [(call["outcome"], call["output"]) for call in calls] == [("completed", SLOW)] * 4


async def test_a_cut_stream_keeps_what_was_said(vendor: Vendor) -> None:
    """The connection breaks in the middle: a provider's error, with the text up to there."""
    seen: list[Any] = []
    async with a_turn() as (_, calls):
        with pytest.raises(vendor.cut):
            await read(await vendor.stream("cut"), seen)
    said = "".join(map(vendor.text, seen))
    [call] = calls
    assert (call["outcome"], call["status"]) == ("provider_error", "error")
    assert call["output"] == said
    assert 0 < len(call["output"]) < len(SLOW)


CHAT = "/chat/completions"
ASK: Any = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
async def client(server: str) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{server}/v1", api_key="x", max_retries=0) as client:
        yield for_openai.instrument(client)


async def test_outside_a_turn_nothing_happens(client: AsyncOpenAI) -> None:
    """The very object of the client comes back, and its request is not changed."""
    stream = await client.chat.completions.create(**ASK, stream=True)
    assert type(stream) is openai.AsyncStream
    assert all(chunk.choices for chunk in [chunk async for chunk in stream])


async def test_both_layers_make_one_record(client: AsyncOpenAI) -> None:
    """Inside `wrap_llm` the instrumented client tells that call what it was told, the hidden usage included."""
    async with a_turn() as (t, calls):
        await t.wrap_llm(lambda: client.chat.completions.create(**ASK), prompt_id="a")
        await read(await t.wrap_llm(lambda: client.chat.completions.create(**ASK, stream=True), prompt_id="b"))
    assert [(call["prompt_id"], call["usage"], call["output"]) for call in calls] == [
        ("a", USED, "Hi there!"),
        ("b", USED, "Hi there!"),
    ]


async def test_a_function_of_the_app_around_the_client_is_one_call(client: AsyncOpenAI) -> None:
    """What `wrap_llm` runs may do what it likes with the answer: the tokens of all its requests belong to it."""

    async def words() -> AsyncIterator[str]:
        await client.chat.completions.create(**ASK)
        async for chunk in await client.chat.completions.create(**ASK, stream=True):
            yield chunk.choices[0].delta.content or ""

    async with a_turn() as (t, calls):
        said = [word async for word in await t.wrap_llm(words, prompt_id="a")]
    [call] = calls
    assert ("".join(said), call["output"]) == ("Hi there!", "Hi there!")
    assert call["usage"] == {"input_tokens": 22, "output_tokens": 18}
    assert (call["response_model"], call["outcome"]) == ("gpt-4o-mini", "completed")


async def test_who_asks_for_the_usage_gets_its_chunk(client: AsyncOpenAI) -> None:
    """The last chunk is hidden only from an app that did not ask."""
    async with a_turn() as (_, calls):
        stream = await client.chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True})
        chunks = [chunk async for chunk in stream]
    assert chunks[-1].usage is not None
    assert (calls[0]["usage"], calls[0]["chunks"]) == (USED, len(chunks))


async def test_the_helpers_of_the_client_work_unchanged(client: AsyncOpenAI) -> None:
    """Streams with events, `async with`, raw responses, parsing and copies are what they are without us."""
    async with a_turn() as (_, calls):
        async with client.chat.completions.stream(**ASK) as events:
            assert [event.type async for event in events][-1] == "content.done"
            assert (await events.get_final_completion()).choices[0].message.content == "Hi there!"
        async with await client.chat.completions.create(**ASK, stream=True) as stream:
            assert isinstance(stream, openai.AsyncStream)
            assert stream.response.status_code == 200
            await read(stream)
        raw = await client.chat.completions.with_raw_response.create(**ASK)
        assert raw.parse().choices[0].message.content == "Hi there!"
        raw_stream = await client.chat.completions.with_raw_response.create(**ASK, stream=True)
        await read(raw_stream.parse())
        async with client.chat.completions.with_streaming_response.create(**ASK) as streamed:
            assert (await streamed.parse()).choices[0].message.content == "Hi there!"
        await client.with_options(timeout=5).chat.completions.create(**ASK)
    assert [call["status"] for call in calls] == ["ok"] * 6
    assert [call.get("usage") for call in calls] == [USED, USED, USED, None, None, USED]


async def test_the_stream_helper_of_anthropic_works_unchanged(server: str) -> None:
    """Its events, its text and its last message are there, and one call is recorded."""
    async with AsyncAnthropic(base_url=server, api_key="x", max_retries=0) as client, a_turn() as (_, calls):
        for_anthropic.instrument(client)
        ask: Any = {"model": "claude-test", "max_tokens": 100, "messages": ASK["messages"]}
        async with client.messages.stream(**ask) as stream:
            assert "".join([text async for text in stream.text_stream]) == "Hi there!"
            assert (await stream.get_final_message()).usage.output_tokens == 9
    [call] = calls
    assert (call["output"], call["usage"], call["outcome"]) == ("Hi there!", USED, "completed")


def openai_chat(url: str) -> tuple[Any, Any]:
    client = AsyncOpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0)
    return client, lambda text: client.chat.completions.stream(**ask_for(text))


def openai_responses(url: str) -> tuple[Any, Any]:
    client = AsyncOpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0)
    return client, lambda text: client.responses.stream(model="gpt-4o-mini", input=text)


def anthropic_messages(url: str) -> tuple[Any, Any]:
    client = AsyncAnthropic(base_url=url, api_key="x", max_retries=0)
    return client, lambda text: client.messages.stream(**ask_for(text) | {"max_tokens": 100})


def ask_for(text: str) -> Any:
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]}


HELPERS = [openai_chat, openai_responses, anthropic_messages]


@pytest.mark.parametrize("is_instrumented", [False, True], ids=["wrap_llm", "both layers"])
@pytest.mark.parametrize("helper", HELPERS)
async def test_the_helpers_of_clients_in_wrap_llm(server: str, helper: Any, is_instrumented: bool) -> None:
    """What gives a stream only on entry is one call, with all that its stream says, however it is read."""
    client, make = helper(server)
    if is_instrumented:
        (for_anthropic if helper is anthropic_messages else for_openai).instrument(client)
    async with client, a_turn() as (t, calls):
        manager = await t.wrap_llm(lambda: make("hello"), prompt_id="p")
        async with manager as stream:
            assert type(stream).__module__.partition(".")[0] in {"openai", "anthropic"}
            _ = [one async for one in getattr(stream, "text_stream", stream)]
    [call] = calls
    # Only an instrumented client asks for what a chat completion used.
    used = USED if is_instrumented or helper is not openai_chat else None
    assert (call["prompt_id"], call["output"], call.get("usage")) == ("p", "Hi there!", used)
    assert (call["outcome"], call["status"], call["streaming"]) == ("completed", "ok", True)


@pytest.mark.parametrize("layer", ["wrap_llm", "instrumented"])
@pytest.mark.parametrize("helper", HELPERS)
async def test_a_helper_that_is_left_early_was_stopped(server: str, helper: Any, layer: str) -> None:
    """By the app, whose choice it is; the text until then is there."""
    client, make = helper(server)
    if layer == "instrumented":
        (for_anthropic if helper is anthropic_messages else for_openai).instrument(client)

    async def some(t: Turn) -> None:
        count = 0
        async with await t.wrap_llm(lambda: make("slow")) if layer == "wrap_llm" else make("slow") as stream:
            async for _ in stream:
                if (count := count + 1) == 6:
                    break

    async with client, a_turn() as (t, calls):
        await some(t)
        await asyncio.sleep(0.01)
    [call] = calls
    assert (call["outcome"], call["status"]) == ("stopped", "ok")
    assert SLOW.startswith(call.get("output", ""))


async def test_a_helper_whose_manager_is_dropped_goes_on(server: str) -> None:
    """Whoever entered it has the stream, and reads it to its end."""
    client, make = anthropic_messages(server)
    async with client, a_turn() as (t, calls):
        stream = await (await t.wrap_llm(lambda: make("hello"))).__aenter__()
        _ = [one async for one in stream]
    assert [(call["outcome"], call["usage"]) for call in calls] == [("completed", USED)]


async def test_a_helper_in_a_decorated_function_is_a_call(server: str) -> None:
    """`@llm` on a plain function that returns one."""
    client, make = anthropic_messages(server)

    @llm(model="claude")
    def ask() -> Any:
        return make("hello")

    async with client, a_turn() as (_, calls):
        async with ask() as stream:
            await stream.get_final_message()
    assert [(call["outcome"], call["usage"]) for call in calls] == [("completed", USED)]


async def test_a_client_that_comes_out_of_a_call_is_a_value(server: str) -> None:
    """It can be entered too, and is given back as it is."""
    async with AsyncOpenAI(base_url=server, api_key="x") as client, a_turn() as (t, calls):
        assert await t.wrap_llm(lambda: client) is client
    assert [call["status"] for call in calls] == ["ok"]


async def test_a_helper_that_is_refused_raises_as_it_does(server: str) -> None:
    """On entry, where the request is made."""
    client, make = anthropic_messages(server)
    async with client, a_turn() as (t, calls):
        manager = await t.wrap_llm(lambda: make("limit"))
        with pytest.raises(anthropic.RateLimitError):
            await manager.__aenter__()
    assert [call["status"] for call in calls] == ["error"]


async def test_a_client_that_blocks_is_recorded_too(server: str) -> None:
    """In the thread that the app gives it, whole and streamed."""

    def work() -> list[str]:
        with for_openai.instrument(OpenAI(base_url=f"{server}/v1", api_key="x", max_retries=0)) as client:
            whole = client.chat.completions.create(**ASK).choices[0].message.content or ""
            stream = client.chat.completions.create(**ASK, stream=True)
            return [whole, "".join(chunk.choices[0].delta.content or "" for chunk in stream)]

    async with a_turn() as (_, calls):
        assert await asyncio.to_thread(work) == ["Hi there!", "Hi there!"]
    assert [(call["usage"], call["output"]) for call in calls] == [(USED, "Hi there!")] * 2


async def test_instrumenting_twice_is_once_and_can_be_undone(client: AsyncOpenAI) -> None:
    """Afterwards the client has nothing of ours."""
    for_openai.instrument(client)
    async with a_turn() as (_, calls):
        await client.chat.completions.create(**ASK)
        for_openai.uninstrument(client)
        await client.chat.completions.create(**ASK)
    assert len(calls) == 1
    assert not {"request", "copy", "with_options"} & {*vars(client)}


async def test_what_is_said_to_the_model_is_recorded_on_request(server: str) -> None:
    """`capture_input` makes it content like any other."""
    async with AsyncOpenAI(base_url=f"{server}/v1", api_key="x") as client, a_turn() as (_, calls):
        for_openai.instrument(client, capture_input=True)
        await client.chat.completions.create(**ASK)
    assert calls[0]["input"] == ASK["messages"]


@pytest.mark.parametrize("module", [for_openai, for_anthropic, for_google])
def test_what_is_no_client_is_refused(module: Any) -> None:
    """A mistake in code is told at once."""
    with pytest.raises(TypeError, match="pass the client itself"):
        module.instrument(object())
