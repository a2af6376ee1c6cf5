"""What was looked up for a turn, in any form a search gives it."""

# The results are the user's, of any type, so what `isinstance` finds inside them is unknown by nature.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from lumina_async._values import each, identifier, plain

_ID = ("id", "doc_id", "document_id", "key")
_CONTENT = ("content", "text", "page_content", "document")


@attrs.frozen
class RetrievalResult:
    """One thing that was found.

    Attributes:
        id: Of the document or passage.
        score: How well it matches, in the search's own measure.
        content: The text that was found.
    """

    id: str
    score: float | None = None
    content: str | None = None


@attrs.frozen(kw_only=True)
class RetrievalInfo:
    """One look-up. A mapping or keywords with these names do as well.

    Attributes:
        source: Where was looked, like `"docs"` or `"pinecone"`.
        query: What was looked for.
        results: What was found: `RetrievalResult`, mappings with `id`, `score` and `content`, or objects with such
            attributes.
    """

    source: str
    query: str | None = None
    results: Iterable[Any] = ()


def look_up(fields: Mapping[str, Any], text: Callable[[str], str], notes: set[str]) -> dict[str, Any]:
    """Return a look-up as JSON. Applying it to its own result changes nothing but the texts.

    Args:
        fields: `source`, `query` and `results`.
        text: What becomes of the query and the contents: the mask. None of them is kept where it gives an empty text.
        notes: Receives a sentence for each kind of thing that was changed.
    """
    found: dict[str, Any] = {"source": identifier(fields.get("source")) or "unknown"}
    if fields.get("query") is not None:
        found["query"] = plain(fields["query"], text, notes)
    results: Any = fields.get("results")
    if isinstance(results, str | Mapping) or not isinstance(results, Iterable):
        results = () if results is None else (results,)
    found["results"] = each(results, lambda result: _result(result, text, notes), notes)
    return found


def _result(result: Any, text: Callable[[str], str], notes: set[str]) -> dict[str, Any]:
    if isinstance(result, str):
        return {"content": text(result)}
    score, content = _get(result, ("score",)), _get(result, _CONTENT)
    fields = {"id": identifier(_get(result, _ID)), "score": None if score is None else plain(score, notes=notes)}
    if content is not None:
        fields["content"] = plain(content, text, notes)
    return {key: value for key, value in fields.items() if value is not None}


def _get(result: Any, names: Iterable[str]) -> Any:
    for name in names:
        value: Any = result.get(name) if isinstance(result, Mapping) else getattr(result, name, None)
        if value is not None:
            return value
    return None
