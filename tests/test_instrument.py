"""Putting a recording function into a client, and taking it out again."""

import functools
from typing import Any

import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from lumina_async.llms import anthropic as for_anthropic, openai as for_openai


@pytest.fixture
def client() -> AsyncOpenAI:
    return AsyncOpenAI(api_key="x")


class Slotted:
    __slots__ = ()

    def request(self) -> None: ...


@pytest.mark.parametrize(
    ("module", "client", "hint"),
    [
        (for_openai, AsyncOpenAI, "the class AsyncOpenAI .* pass the client itself"),
        (for_openai, object(), "a object .* pass the client itself"),
        (for_openai, Slotted(), "a Slotted .* pass the client itself"),
        (for_openai, AsyncAnthropic(api_key="x"), "use lumina_async.llms.anthropic"),
        (for_anthropic, AsyncOpenAI(api_key="x"), "use lumina_async.llms.openai"),
    ],
    ids=["class", "object", "no attributes", "client of Anthropic", "client of OpenAI"],
)
def test_what_is_not_meant_is_refused_and_left_alone(module: Any, client: Any, hint: str) -> None:
    """The message says what to pass, or which module is the right one."""
    before = {*vars(client)} if hasattr(client, "__dict__") else set()
    with pytest.raises(TypeError, match=hint):
        module.instrument(client)
    assert {*getattr(client, "__dict__", ())} == before


def test_doing_it_again_takes_the_new_options(client: AsyncOpenAI) -> None:
    """One layer is there, the last one."""
    for_openai.instrument(client)
    first = client.request
    for_openai.instrument(client, capture_input=True)
    assert client.request is not first
    for_openai.uninstrument(client)
    assert "request" not in vars(client)


def test_a_function_around_ours_stays(client: AsyncOpenAI) -> None:
    """Somebody wrapped the client after us: theirs is not taken away with ours."""
    for_openai.instrument(client)
    ours = client.request

    @functools.wraps(ours)
    async def theirs(*args: Any, **more: Any) -> Any:
        return await ours(*args, **more)

    client.request = theirs  # type: ignore[method-assign]
    for_openai.uninstrument(client)
    assert client.request is theirs
