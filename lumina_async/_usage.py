"""The fields of a response, and the tokens it tells of: no client is imported, no code of a value is run.

Only objects whose class comes from a known client, and plain dicts, are looked at, and of those only what is in their
`__dict__`: an attribute of any other object may be a property that runs, blocks or raises.
"""

# The responses are of other people's types, so what is found inside them is unknown by nature.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false

from collections.abc import Mapping
from typing import Any

from lumina_async._values import identifier

Fields = Mapping[str, Any]

PROVIDERS = {
    "openai": "openai",
    "anthropic": "anthropic",
    "google": "google",
    "mistralai": "mistral",
    "groq": "groq",
    "litellm": None,
    "langchain_core": None,
    "pydantic_ai": None,
}
"""The packages whose classes are known, and the provider that their responses come from."""

MAX_CLASSES = 512
NOTHING: Fields = {}


class _Packages(dict[type, str | None]):
    """The known package that each class comes from; small, for classes may be made by the thousand."""

    def __missing__(self, kind: type) -> str | None:
        module: object = type.__getattribute__(kind, "__module__")
        root = module.partition(".")[0] if isinstance(module, str) else ""
        if len(self) >= MAX_CLASSES:
            self.clear()
            known_classes.clear()
        self[kind] = found = root if root in PROVIDERS else None
        if found is not None:
            known_classes.add(kind)
        return found


_packages = _Packages()
known_classes: set[type] = set()
"""The classes of known packages that were met so far."""


def package_of(value: object) -> str | None:
    """Return the known package that an object comes from; None for any other."""
    return _packages[type(value)]


def is_known(value: object) -> bool:
    """Tell whether this may be a response or a chunk of one."""
    return type(value) is dict or _packages[type(value)] is not None


def is_of_client(value: Any) -> bool:
    """Tell whether a stream comes from a known client; a proxy of ours does if what it stands for does."""
    return _packages[value.__class__] is not None


def fields_in(value: Any) -> Fields:
    """Return the fields of a dict or of a known object; nothing of anything else."""
    kind = type(value)
    if kind is dict:
        return value  # type: ignore[no-any-return]
    if _packages[kind] is None:
        return NOTHING
    own: Fields = object.__getattribute__(value, "__dict__")
    try:
        extra = object.__getattribute__(value, "__pydantic_extra__")
    except AttributeError:
        return own
    return {**extra, **own} if extra else own


def private_in(value: Any) -> Fields:
    """Return the private fields of a known object; nothing of anything else."""
    if type(value) is dict or package_of(value) is None:
        return NOTHING
    try:
        return object.__getattribute__(value, "__pydantic_private__") or NOTHING
    except AttributeError:
        return NOTHING


def first(fields: Fields, *names: str) -> Any:
    return next((value for name in names if (value := fields.get(name)) is not None), None)


def listed(value: Any) -> list[Any]:
    return value if type(value) is list else []


def _count(fields: Fields, *names: str) -> int:
    """Return the first of these that is a number of tokens; 0 where there is none."""
    return next((value for name in names if type(value := fields.get(name)) is int and value >= 0), 0)


def usage_of(value: Any) -> dict[str, int]:
    """Return the usage that a response, or a user, gives, under our names; nothing where it is of no known form.

    `input_tokens` holds all that went in, what came from a cache or was written to one included, and `output_tokens`
    all that was made, reasoning included, whatever the provider counts apart.
    """
    given = fields_in(value)
    if "prompt_tokens" in given or "completion_tokens" in given:
        found = _chat_usage(given)
    elif "prompt_token_count" in given or "promptTokenCount" in given:
        found = _google_usage(given)
    elif "input_tokens" in given or "output_tokens" in given:
        found = _plain_usage(given)
    else:
        return {}
    return {name: tokens for name, tokens in found.items() if tokens or name in {"input_tokens", "output_tokens"}}


def _chat_usage(given: Fields) -> dict[str, int]:
    found = _parts(given, "prompt_tokens", "completion_tokens")
    # xAI counts reasoning beside the rest of the output; its total tells.
    apart = found["input_tokens"] + found["output_tokens"] + found["reasoning_tokens"]
    if found["reasoning_tokens"] and _count(given, "total_tokens") == apart:
        found["output_tokens"] += found["reasoning_tokens"]
    # LiteLLM repeats what Anthropic says, and its `prompt_tokens` holds that already.
    return _most(found, _written(given))


def _plain_usage(given: Fields) -> dict[str, int]:
    """Read OpenAI's responses, Anthropic, LangChain, pydantic-ai, and what is under our own names already."""
    found = _parts(given, "input_tokens", "output_tokens")
    details = fields_in(given.get("details"))
    if not given.keys() & {"cached_input_tokens", "cache_creation_1h_input_tokens"}:
        # Anthropic counts what goes into a cache and comes out of one beside the rest of the input.
        found["input_tokens"] += _count(given, "cache_read_input_tokens")
        found["input_tokens"] += _count(given, "cache_creation_input_tokens")
    heard = _count(given, "input_audio_tokens") or _count(details, "audio_prompt_tokens")
    spoken = _count(given, "output_audio_tokens") or _count(details, "audio_tokens", "audio_candidates_tokens")
    told = {
        "cached_input_tokens": _count(given, "cache_read_input_tokens", "cached_input_tokens", "cache_read_tokens"),
        "reasoning_tokens": _count(given, "reasoning_tokens", "output_reasoning_tokens"),
        "audio_tokens": _count(given, "audio_tokens") or heard + spoken,
        "output_image_tokens": _count(given, "output_image_tokens"),
    }
    in_details = {
        "reasoning_tokens": _count(details, "reasoning_tokens"),
        "output_image_tokens": _count(details, "image_candidates_tokens"),
    }
    written = _written({**fields_in(given.get("cache_creation")), **given})
    return _most(found, told, in_details, written, _written(details))


def _most(*usages: dict[str, int]) -> dict[str, int]:
    """Return each count at its largest: who says one in two places says it once in full."""
    return {name: max(usage.get(name, 0) for usage in usages) for name in usages[0]}


def _parts(given: Fields, went_in: str, came_out: str) -> dict[str, int]:
    # OpenAI's two interfaces, and LangChain.
    into = fields_in(first(given, f"{went_in}_details", "input_token_details"))
    out = fields_in(first(given, f"{came_out}_details", "output_token_details"))
    return {
        "input_tokens": _count(given, went_in),
        "output_tokens": _count(given, came_out),
        "cached_input_tokens": _count(into, "cached_tokens", "cache_read"),
        **_written({**fields_in(into.get("cache_creation_token_details")), **into}),
        "reasoning_tokens": _count(out, "reasoning_tokens", "thinking_tokens", "reasoning"),
        "audio_tokens": _count(into, "audio_tokens", "audio") + _count(out, "audio_tokens", "audio"),
        "output_image_tokens": _count(out, "image_tokens"),
    }


def _written(details: Fields) -> dict[str, int]:
    """Return what was written to a cache, and how much of that for an hour, which costs more."""
    hour = _count(details, "ephemeral_1h_input_tokens", "cache_write_1h_tokens", "cache_creation_1h_input_tokens")
    written = _count(
        details, "cache_creation_input_tokens", "cache_write_tokens", "cache_creation_tokens", "cache_creation"
    )
    # LangChain leaves the whole out where it has both parts.
    whole = max(written, hour + _count(details, "ephemeral_5m_input_tokens"))
    return {"cache_creation_input_tokens": whole, "cache_creation_1h_input_tokens": hour}


def _google_usage(given: Fields) -> dict[str, int]:
    thoughts = _count(given, "thoughts_token_count", "thoughtsTokenCount")
    tools = _count(given, "tool_use_prompt_token_count", "toolUsePromptTokenCount")
    into = _modalities(given, "prompt_tokens_details", "promptTokensDetails")
    out = _modalities(given, "candidates_tokens_details", "candidatesTokensDetails")
    return {
        "input_tokens": _count(given, "prompt_token_count", "promptTokenCount") + tools,
        "output_tokens": _count(given, "candidates_token_count", "candidatesTokenCount") + thoughts,
        "cached_input_tokens": _count(given, "cached_content_token_count", "cachedContentTokenCount"),
        "reasoning_tokens": thoughts,
        "audio_tokens": into.get("AUDIO", 0) + out.get("AUDIO", 0),
        "output_image_tokens": out.get("IMAGE", 0),
    }


def _modalities(given: Fields, *names: str) -> dict[str | None, int]:
    parts = [fields_in(part) for part in listed(first(given, *names))]
    return {identifier(part.get("modality")): _count(part, "token_count", "tokenCount") for part in parts}
