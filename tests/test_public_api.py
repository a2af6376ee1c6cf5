"""The shop window: what `lumina_async` exports, and that all of it is documented."""

import inspect

import pytest

import lumina_async
from lumina_async import LuminaClient, Session, Turn

NAMES = [
    "CaptureTranscript",
    "ChatInputTracker",
    "ConfigError",
    "Lumina",
    "LuminaClient",
    "LuminaConfig",
    "LuminaError",
    "Message",
    "NullUIProvider",
    "RetrievalInfo",
    "RetrievalResult",
    "Sampling",
    "Session",
    "Stats",
    "SystemAnalyticsProvider",
    "ToolCall",
    "Turn",
    "UIAnalyticsProvider",
    "__version__",
    "current_turn",
    "llm",
    "mask_pii",
    "retrieval",
    "tool",
]

# SPEC 1: every public API is a coroutine but these.
PLAIN = {"turn", "scope", "finish_nowait", "is_initialized", "is_finished", "origin", "point", "announce"}


def test_the_names_are_these_and_sorted() -> None:
    """A new public name is a decision, not an accident."""
    assert lumina_async.__all__ == NAMES
    assert all(hasattr(lumina_async, name) for name in NAMES)


def test_nothing_else_is_public() -> None:
    """What `dir` shows beside modules is what __all__ lists."""
    public = {
        name
        for name in vars(lumina_async)
        if not name.startswith("_") and not inspect.ismodule(getattr(lumina_async, name))
    }
    assert public == {name for name in NAMES if name != "__version__"}


@pytest.mark.parametrize("kind", [LuminaClient, Session, Turn])
def test_every_method_is_a_coroutine(kind: type) -> None:
    """Every call is awaited, but for the exceptions that SPEC 1 lists."""
    for name, member in inspect.getmembers(kind, inspect.isfunction):
        if not name.startswith("_") and name not in PLAIN:
            assert inspect.iscoroutinefunction(member), name


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("_")])
def test_every_public_name_is_documented(name: str) -> None:
    """Each has a docstring of its own, and so have its methods."""
    thing = getattr(lumina_async, name)
    assert thing.__doc__
    if inspect.isclass(thing):
        for method, member in inspect.getmembers(thing, inspect.isfunction):
            if not method.startswith("_"):
                assert member.__doc__, f"{name}.{method}"
