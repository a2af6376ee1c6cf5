"""What the browsers of the people do: everything over HTTP, one thing after the other."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import attrs
from aiohttp import ClientResponse, ClientSession, CookieJar

from lumina_async.demo.people import LogIn, Person, Said, Say, Thought

_PAUSE_S = 0.15


async def talk(person: Person, url: str, tell: Callable[[Said], None]) -> None:
    """Do everything that a person does, and tell what came of each thing that was said."""
    await asyncio.sleep(person.comes_after_s)
    # The app runs on a bare address, from which a careful jar takes no cookies.
    async with ClientSession(url, cookie_jar=CookieJar(unsafe=True)) as http:
        await _Browser(http, person, person.conversation).talk(tell)


@attrs.define
class _Browser:
    http: ClientSession
    person: Person
    conversation: str
    came_s: float = attrs.field(factory=time.monotonic)

    @property
    def who(self) -> str | None:
        names = [step.user for step in self.person.does if isinstance(step, LogIn)]
        return self.person.user or next(iter(names), None)

    async def talk(self, tell: Callable[[Said], None]) -> None:
        was_visitor = self.person.user is None
        for step in self.person.does:
            if isinstance(step, LogIn):
                await self._post("/login", {"user": step.user, "properties": {"plan": step.plan}})
                self.conversation, was_visitor = step.conversation, False
                continue
            turn_id = await self._say(step)
            if step.thinks:
                await self._think(step.thinks, turn_id)
            tell(Said(self.who, was_visitor, self.conversation, step, turn_id))
            await asyncio.sleep(_PAUSE_S)

    async def _say(self, say: Say) -> str:
        ask = {
            "text": say.text,
            "stream": say.stream,
            "user": self.person.user,
            "conversation": self.conversation,
            "replay": self._replay_url(),
        }
        return await self._post("/chat", ask, pieces=say.leaves_after)

    async def _think(self, thought: Thought, turn_id: str) -> None:
        said = {"label": thought.label, "score": thought.score, "comment": thought.comment}
        await self._post("/feedback", {"turn": turn_id, "user": self.person.user, **said})

    async def _post(self, path: str, body: Mapping[str, Any], pieces: int | None = None) -> str:
        """Post JSON, read the answer or only its first pieces, and return the turn that it names."""
        async with self.http.post(path, json=dict(body)) as answer:
            await _read(answer, pieces)
            return answer.headers.get("X-Turn-Id", "")

    def _replay_url(self) -> str:
        """Return where a session-replay product would show this screen at this second of the visit."""
        at_s = time.monotonic() - self.came_s
        return f"https://posthog.example/project/1/replay/{self.conversation}?t={at_s:.0f}"


async def _read(answer: ClientResponse, pieces: int | None) -> None:
    if pieces is None:
        await answer.read()
        return
    for _ in range(pieces):
        await answer.content.readany()
    answer.close()
