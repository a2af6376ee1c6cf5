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
    done = 0
    while done < len(kept):
        # Before the model is known there is more to read in every chunk.
        texts = [] if said.model is None else _texts_alone(kept[done:])
        said.write("".join(texts))
        done += len(texts)
        if done < len(kept):
            take(said, kept[done])
            done += 1


def _texts_alone(chunks: list[Any]) -> list[str]:
    """Return the texts of these chunks, up to the first that says something else."""
    texts: list[str] = []
    # Of an object of another class no code is run.
    if not known_classes.issuperset(map(type, chunks)):
        return texts
    try:
        if "choices" in chunks[0].__dict__:
            _add_completions(chunks, texts)
        else:
            _add_events(chunks, texts)
    # One of the fields is missing, or is something else: whoever reads every shape will see.
    except (AttributeError, LookupError, TypeError, ValueError):
        pass
    return texts


def _add_completions(chunks: list[Any], texts: list[str]) -> None:
    """Add the texts in chunks of OpenAI's chat completions."""
    choice_kind = delta_kind = None
    for chunk in chunks:
        fields = chunk.__dict__
        [choice] = fields["choices"]
        if type(choice) is not choice_kind:
            choice_kind = _known(choice)
        about = choice.__dict__
        delta = about["delta"]
        if type(delta) is not delta_kind:
            delta_kind = _known(delta)
        said = delta.__dict__
        text = said["content"]
        says_more = fields["usage"] or about["finish_reason"] or about["index"] or said["tool_calls"]
        # One without a text may be a refusal, or sound.
        if says_more or not text or type(text) is not str:
            return
        texts.append(text)


def _add_events(chunks: list[Any], texts: list[str]) -> None:
    """Add the texts in events of OpenAI's responses or of Anthropic's messages."""
    delta_kind = None
    for chunk in chunks:
        fields = chunk.__dict__
        kind, text = fields["type"], fields["delta"]
        if kind == "content_block_delta":
            if type(text) is not delta_kind:
                delta_kind = _known(text)
            text = text.__dict__["text"]
        elif kind != "response.output_text.delta":
            return
        if type(text) is not str:
            return
        texts.append(text)


def _known(value: Any) -> type:
    """Return the class of an object of a known client; of any other no code is run.

    Raises:
        TypeError: It is of another class.
    """
    if type(value) not in known_classes:
        raise TypeError
    return type(value)
