"""What the response of a model says, gathered: in one piece, or chunk by chunk as a stream gives it."""

from typing import Any

import attrs
import orjson

from lumina_async._usage import usage_of
from lumina_async._values import MAX_TEXT, identifier

MAX_CALLS = 1_000
_FACTS = ("model", "id", "provider", "finish_reason", "asked", "_texts")


@attrs.define(eq=False)
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


@attrs.define(eq=False)
class Said:
    """What a response said: taken in whole, or chunk by chunk.

    Attributes:
        content: Whether the text and the arguments of tools are wanted.
        kept: Chunks that were not read yet.
    """

    content: bool = True
    model: str | None = None
    id: str | None = None
    provider: str | None = None
    finish_reason: str | None = None
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
        self._usage = other.usage
        for name in _FACTS:
            setattr(self, name, getattr(other, name) or getattr(self, name))

    def fill(self, other: "Said") -> None:
        """Take from another what this one does not say."""
        for name in (*_FACTS, "_usage"):
            if not getattr(self, name):
                setattr(self, name, getattr(other, name))

    def begin_next(self) -> None:
        """Go on with another response of the same stream or call."""
        self._before, self._usage = self.usage, {}

    def name(self, model: Any, id: Any, provider: Any = None) -> None:  # noqa: A002
        """Take in who answered."""
        self.model, self.id = identifier(model) or self.model, identifier(id) or self.id
        self.provider = self.provider or identifier(provider)

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
        if (asked := self.asked.get(key)) is None:
            if len(self.asked) >= MAX_CALLS:
                return
            asked = self.asked[key] = Asked()
        asked.id, asked.name = asked.id or identifier(id), asked.name or identifier(name)
        if type(arguments) is not str:
            asked.arguments = asked.arguments if arguments is None else arguments
        elif self.content and self._room > 0:
            self._room -= len(arguments)
            asked.pieces.append(arguments)
