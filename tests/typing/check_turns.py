"""The public signatures as users write them: checked by mypy and pyright, never run."""

from collections.abc import AsyncIterator
from typing import assert_type

from lumina_async import (
    CaptureTranscript,
    Lumina,
    LuminaClient,
    LuminaConfig,
    Message,
    Session,
    Stats,
    Turn,
    current_turn,
)


class Reply:
    text: str


async def ask() -> Reply:
    raise NotImplementedError


async def stream() -> AsyncIterator[str]:
    yield ""


def plain() -> int:
    return 1


async def turns(session: Session) -> None:
    async with session.turn() as t:
        assert_type(t, Turn)
        assert_type(await t.wrap_llm(ask, model="m"), Reply)
        assert_type(await t.wrap_llm(ask(), {"model": "m"}, prompt_id="p"), Reply)
        assert_type(await t.wrap_llm(lambda: ask(), model="m"), Reply)
        assert_type(await t.wrap_llm(plain), int)
        assert_type(await t.wrap_llm(stream()), AsyncIterator[str])
        async for word in await t.wrap_llm(stream, model="m", temperature=0.5):
            assert_type(word, str)
        await t.set_messages([{"role": "user", "content": "x"}, Message("assistant", None, tool_calls=[])])
        await t.annotate({"a": 1}, b=[2])
    by_hand = session.turn()
    await by_hand.finish(error=ValueError())
    by_hand.finish_nowait()
    assert_type(by_hand.turn_id, str)
    assert_type(by_hand.seq, int)
    assert_type(current_turn(), Turn | None)


async def client() -> None:
    await Lumina.init(endpoint="https://x", write_key="gi_x", capture_transcript=CaptureTranscript.NONE)
    await Lumina.init(LuminaConfig(endpoint="https://x", write_key="gi_x", mask_fn=str.upper, retry_delays_ms=(1, 2)))
    session = await Lumina.session.start(pointers={"a": 1}, session_id="chat", user_id="u", new=True)
    assert_type(session, Session)
    assert_type(session.session_id, str)
    async with Lumina.scope(user_id="u", session_id="s"):
        await turns(session)
    assert_type(await Lumina.flush(timeout=1.0), bool)
    assert_type(await Lumina.stats(), Stats)
    assert_type((await Lumina.stats()).lost_total, int)
    async with LuminaClient(LuminaConfig(enabled=False)) as own:
        assert_type(own, LuminaClient)
    await Lumina.shutdown(timeout=1.0)
