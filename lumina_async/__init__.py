"""Record every exchange of a user and an AI assistant, without slowing the app."""

from lumina_async._version import __version__
from lumina_async.errors import ConfigError, LuminaError

__all__ = ["ConfigError", "LuminaError", "__version__"]
