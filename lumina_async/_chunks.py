"""Keeps the chunks of a stream while somebody waits for the next, and reads them once nobody does.

Nearly every chunk is a piece of text and nothing else. Those are read here, in a quarter of the time that `_shapes`
takes; it reads all others.
"""

# The chunks are of other people's types, so what is found inside them is unknown by nature.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false

from typing import Any

from lumina_async._said import Said
from lumina_async._shapes import take
from lumina_async._usage import known_classes

MAX_KEPT = 64
"""A chunk of a client takes some 2.5 KB: a thousand open streams hold 160 MB of them at most."""


def keep(said: Said, chunk: Any) -> None:
    """Keep a chunk, to be read when there are many of them or the stream has ended."""
    kept = said.kept
    kept.append(chunk)
    if len(kept) >= MAX_KEPT:
        read_kept(said)


def read_kept(said: Said) -> None:
    """Read the chunks that were kept."""
    kept, said.kept = said.kept, []
    texts: list[str] = []
    for chunk in kept:
        # Before the model is known there is more to read in every chunk.
        text = None if said.model is None else _text_alone(chunk)
        if type(text) is str:
            texts.append(text)
            continue
        if texts:
            said.write("".join(texts))
            texts = []
        take(said, chunk)
    said.write("".join(texts))


def _text_alone(chunk: Any) -> Any:
    """Return the text of a chunk that says nothing else; something that is no text for any other.

    Of a class that was not met before, and may be unknown, no code is run.
    """
    if type(chunk) not in known_classes:
        return None
    fields = chunk.__dict__
    try:
        if "choices" not in fields:
            return _text_of_event(fields)
        # A chunk of OpenAI's chat completions.
        [choice] = fields["choices"]
        if type(choice) not in known_classes or fields["usage"] is not None:
            return None
        about = choice.__dict__
        delta = about["delta"]
        if type(delta) not in known_classes or about["finish_reason"] is not None or about["index"]:
            return None
        said = delta.__dict__
        return None if said["tool_calls"] else said["content"]
    # One of the fields is missing, or is something else: whoever reads every shape will see.
    except (LookupError, TypeError, ValueError):
        return None


def _text_of_event(fields: Any) -> Any:
    """Return the text in an event of OpenAI's responses or of Anthropic's messages."""
    kind, delta = fields["type"], fields["delta"]
    if kind == "response.output_text.delta":
        return delta
    return delta.__dict__["text"] if kind == "content_block_delta" and type(delta) in known_classes else None
