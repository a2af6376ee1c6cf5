"""Other products that the turns are told of, and the protocols that a provider of your own follows.

Each product is a module of its own, imported by its full name, which imports the product only when it is used.
"""

from lumina_async._protocols import (
    NullUIProvider,
    SpanContext,
    SystemAnalyticsProvider,
    TurnContext,
    UIAnalyticsProvider,
)

__all__ = ["NullUIProvider", "SpanContext", "SystemAnalyticsProvider", "TurnContext", "UIAnalyticsProvider"]
