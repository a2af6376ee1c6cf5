"""What the response of a model says, gathered: in one piece, or chunk by chunk as a stream gives it."""

from collections.abc import Callable
from typing import Any

import attrs
import orjson

from lumina_async._usage import usage_of
from lumina_async._values import MAX_TEXT, identifier

MAX_CALLS = 1_000
_FACTS = ("model", "id", "provider", "finish_reason", "asked", "_texts")


@attrs.define(eq=False, repr=False)
class Asked:
    """A call of a tool that a model asks for; its arguments come in one piece, or as pieces of JSON."""

    id: str | None = None
    name: str | None = None
    arguments: Any = None
    pieces: list[str] = attrs.Factory(list[str])

    def told(self, *, content: bool) -> dict[str, Any]:
        """Return it as JSON; its arguments are content."""
        facts: dict[str, Any] = {"id": self.id, "name": self.name}
        if content:
            facts["arguments"] = _json("".join(self.pieces)) if self.pieces else self.arguments
        return {name: value for name, value in facts.items() if value is not None}


def _json(text: str) -> Any:
    try:
        return orjson.loads(text)
    # It broke off, or the model wrote something else.
    except orjson.JSONDecodeError:
        return text


@attrs.define(eq=False, repr=False)
class Said:
    """What a response said: taken in whole, or chunk by chunk.

    Attributes:
        content: Whether the text and the arguments of tools are wanted.
        ids: Of this response, and of those before it in the same stream or call.
        failure: The code and the message of an error that the response tells instead of raising it.
        kept: Chunks that were not read yet.
    """

    content: bool = True
    model: str | None = None
    id: str | None = None
    ids: set[str] = attrs.Factory(set[str])
    provider: str | None = None
    finish_reason: str | None = None
    failure: tuple[str, str] | None = None
    asked: dict[Any, Asked] = attrs.Factory(dict[Any, Asked])
    kept: list[Any] = attrs.Factory(list[Any])
    _usage: dict[str, int] = attrs.Factory(dict[str, int])
    _before: dict[str, int] = attrs.Factory(dict[str, int])
    _texts: list[str] = attrs.Factory(list[str])
    _room: int = MAX_TEXT

    @property
    def usage(self) -> dict[str, int]:
        """The tokens of this response, and of those before it in the same stream or call."""
        before = self._before
        return {name: self._usage.get(name, 0) + before.get(name, 0) for name in {**before, **self._usage}}

    @property
    def text(self) -> str | None:
        """The text of the answer; None where there was none."""
        return "".join(self._texts) or None

    @property
    def tool_calls(self) -> list[dict[str, Any]]:
        """The calls of tools that were asked for."""
        return [asked.told(content=self.content) for asked in self.asked.values()]

    def join(self, other: "Said") -> None:
        """Take in what a later response said: the tokens of both count, and of all else the last word stands."""
        self.begin_next()
        self._usage, self.failure = other.usage, other.failure
        self.ids |= other.ids
        for name in _FACTS:
            setattr(self, name, getattr(other, name) or getattr(self, name))

    def fill(self, other: "Said") -> None:
        """Take from another what this one does not say."""
        for name in _FACTS:
            if not getattr(self, name):
                setattr(self, name, getattr(other, name))
        if not self.usage:
            self._usage = other.usage
        self.ids |= other.ids

    def complete(self, heard: "Said") -> None:
        """Take in what clients were told in the same call; this response may be one of theirs, or theirs of this."""
        usage = heard.usage or self.usage
        if self.ids and heard.ids and self.ids.isdisjoint(heard.ids):
            # No client told of it, so its tokens are not among theirs.
            heard.join(self)
            usage = heard.usage
        self.fill(heard)
        self._usage, self._before = usage, {}

    def begin_next(self) -> None:
        """Go on with another response of the same stream or call."""
        self._before, self._usage = self.usage, {}

    def name(self, model: Any, id: Any, provider: Any = None) -> None:  # noqa: A002
        """Take in who answered."""
        self.model, self.id = identifier(model) or self.model, identifier(id) or self.id
        self.provider = self.provider or identifier(provider)
        if self.id is not None:
            self.ids.add(self.id)

    def fail(self, code: Any, message: Any) -> None:
        """Take in that it failed."""
        self.failure = identifier(code) or "error", message if type(message) is str else ""

    def end(self, reason: Any) -> None:
        """Take in why it ended."""
        self.finish_reason = identifier(reason) or self.finish_reason

    def rewrite(self) -> None:
        """Forget the text: all of it is said again."""
        self._texts, self._room = [], MAX_TEXT

    def use(self, value: Any) -> None:
        """Take in the usage of the response: the last word stands."""
        if found := usage_of(value):
            self._usage = found

    def use_more(self, value: Any) -> None:
        """Take in usage that leaves out what was said at the start."""
        self._usage |= {name: max(tokens, self._usage.get(name, 0)) for name, tokens in usage_of(value).items()}

    def write(self, text: Any) -> None:
        """Take in a piece of the text."""
        if self.content and type(text) is str and text and self._room > 0:
            # One character more than is kept, so that the text is seen to be cut.
            text = text[: self._room + 1]
            self._room -= len(text)
            self._texts.append(text)

    def ask(self, key: Any, id: Any = None, name: Any = None, arguments: Any = None) -> None:  # noqa: A002
        """Take in a call of a tool, or what more is said of it."""
        if (asked := self._asked(key, identifier(id), identifier(name))) is None:
            return
        if type(arguments) is not str:
            asked.arguments = asked.arguments if arguments is None else arguments
        elif self.content and self._room > 0:
            self._room -= len(arguments)
            asked.pieces.append(arguments)

    def _asked(self, key: Any, id: str | None, name: str | None) -> Asked | None:  # noqa: A002
        """Return the call under this key; None where there are too many."""
        asked = self.asked.get(key)
        if asked is not None and name and asked.id and id not in {None, asked.id}:
            # Another call under the same number, as some servers count: what was said of the first is complete.
            self.asked[len(self.asked), key] = self.asked.pop(key)
            asked = None
        if asked is None:
            if len(self.asked) >= MAX_CALLS:
                return None
            asked = self.asked[key] = Asked()
        asked.id, asked.name = asked.id or id, asked.name or name
        return asked


@attrs.define(eq=False, repr=False)
class Heard:
    """What clients were told inside a call, response by response.

    Attributes:
        said: All of it, in the order in which the responses ended.
        listening: For each stream that is still open, what adds what it has said so far.
    """

    said: Said | None = None
    listening: list[Callable[[], None]] = attrs.Factory(list[Callable[[], None]])

    def take(self, said: Said) -> None:
        """Take in one more response."""
        if self.said is None:
            self.said = said
        else:
            self.said.join(said)

    def told(self) -> Said | None:
        """Return all that was said until now; None where nothing was."""
        while self.listening:
            self.listening.pop(0)()
        return self.said
