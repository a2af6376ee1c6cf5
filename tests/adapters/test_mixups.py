"""Many people at once: nobody is taken for anybody else (FAULTS I8)."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import ClientSession, TCPConnector
from faults.forms import form
from support import recording

from lumina_async import LuminaClient
from lumina_async.frameworks.cookies import SESSION, USER, Signer

from .browsers import KEY, serving

USERS, REQUESTS, AT_ONCE = 500, form(10_000, 40_000), 100


def talking(client: LuminaClient) -> Callable[[], Awaitable[str]]:
    chance = random.Random(7)

    async def chat() -> str:
        """Touch everything a scope holds, with other requests in between, in tasks of their own too."""
        await asyncio.sleep(chance.random() / 100)
        session = await client.session.start()
        async with asyncio.TaskGroup() as group:
            nested = group.create_task(client.get_distinct_id())
            group.create_task(asyncio.sleep(0))
        async with session.turn() as turn:
            await asyncio.sleep(0)
            await turn.annotate(said_by=nested.result())
        return f"{await client.get_distinct_id()} {session.trace_id}"

    return chat


@pytest.mark.timeout(300)
@pytest.mark.parametrize("framework", ["fastapi", "aiohttp"])
async def test_nobody_is_taken_for_anybody_else(framework: str) -> None:
    """Each of 10,000 interleaved answers, and each stored turn, is of the user whom its cookies name (FAULTS I8)."""
    signer = Signer(KEY)
    people = {f"user_{number}": f"{number + 1:032x}" for number in range(USERS)}
    cookies = {
        user: f"lumina_uid={signer.sign(USER, user)}; lumina_session={signer.sign(SESSION, trace_id)}"
        for user, trace_id in people.items()
    }
    asked = [random.Random(number).choice(list(people)) for number in range(REQUESTS)]
    waiting, mixed_up = iter(asked), list[str]()
    async with recording() as (client, transport):
        routes = {"/chat": talking(client)}
        async with serving(framework, client, routes, cookie_secret=KEY) as url:
            async with ClientSession(url, connector=TCPConnector(limit=AT_ONCE)) as http:

                async def ask() -> None:
                    for user in waiting:
                        async with http.get("/chat", headers={"Cookie": cookies[user]}) as answer:
                            said = await answer.text()
                        if said != f"{user} {people[user]}" or "Set-Cookie" in answer.headers:
                            mixed_up.append(f"{user}: {said}")

                async with asyncio.TaskGroup() as group:
                    for _ in range(AT_ONCE):
                        group.create_task(ask())
        await client.flush(60)
        stored = Counter((turn["distinct_id"], turn["trace_id"]) for turn in transport.turns)
        said_by = [turn["annotations"]["said_by"] == turn["distinct_id"] for turn in transport.turns]
    assert mixed_up == []
    assert stored == Counter((user, people[user]) for user in asked)
    assert all(said_by)
