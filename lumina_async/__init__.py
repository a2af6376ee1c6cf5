"""Record every exchange of a user and an AI assistant, without slowing the app."""

from lumina_async._calls import ToolCall
from lumina_async._chat_input import ChatInputTracker
from lumina_async._client import Lumina, LuminaClient
from lumina_async._config import LuminaConfig, Sampling
from lumina_async._decorators import llm, retrieval, tool
from lumina_async._identity import current_turn
from lumina_async._ledger import Stats
from lumina_async._messages import Message
from lumina_async._privacy import mask_pii
from lumina_async._protocols import CaptureTranscript, NullUIProvider, SystemAnalyticsProvider, UIAnalyticsProvider
from lumina_async._retrieval import RetrievalInfo, RetrievalResult
from lumina_async._session import Session
from lumina_async._turn import Turn
from lumina_async._version import __version__
from lumina_async.errors import ConfigError, LuminaError

__all__ = [
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
