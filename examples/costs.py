"""What a turn cost, read back from the collector.

    pip install 'lumina-async[collector,prices]'
    lumina dev                      # in a terminal of its own: it shows what is recorded
    python examples/costs.py

The collector finds the cost as the turn arrives: by the model that answered, its tokens and the day. A model of your
own is in no list of prices; say what it cost yourself (`cost=`), or it counts as a call without a price. A script
stands for the models.
"""

import asyncio
import os
from typing import Any

from aiohttp import ClientSession

from lumina_async import Lumina

ENDPOINT = os.getenv("LUMINA_ENDPOINT", "http://127.0.0.1:4600")


async def model(name: str, text: str) -> dict[str, Any]:
    """Stand for a model: what it answers has the form of OpenAI's, with the tokens that were used."""
    await asyncio.sleep(0.02)
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": f"You said: {text}"}}
    usage = {"prompt_tokens": 400_000, "completion_tokens": 50_000, "total_tokens": 450_000}
    return {"id": "r1", "object": "chat.completion", "model": name, "choices": [choice], "usage": usage}


async def main() -> None:
    """Ask three models in one turn, and say what that cost."""
    await Lumina.init(endpoint=ENDPOINT, write_key=os.getenv("LUMINA_WRITE_KEY", "gi_dev"))
    session = await Lumina.session.start(user_id="ada")
    async with session.turn() as turn:
        await turn.wrap_llm(model("gpt-4o-mini", "Hello?"), model="gpt-4o-mini", provider="openai")
        await turn.wrap_llm(model("our-own-7b", "Hello?"), model="our-own-7b", cost=0.01)
        await turn.wrap_llm(model("our-own-70b", "Hello?"), model="our-own-70b")
    print("stored:", await Lumina.flush())
    async with ClientSession() as client, client.get(f"{ENDPOINT}/api/turns/{turn.turn_id}") as answer:
        cost = (await answer.json())["cost"]
    print(f"the turn: ${cost['usd']:.2f}, and {cost['unpriced']} call without a price")
    for call in cost["calls"]:
        print("a call:", "not known" if call is None else f"${call['usd']:.2f} by {call['by'].split()[0]}")
    await Lumina.shutdown()


asyncio.run(main())
