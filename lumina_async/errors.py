"""Every error this package raises.

    Exception
    └── LuminaError
        └── ConfigError       also a ValueError: an option is missing, malformed, or contradicts an earlier `init`

Only configuration raises. What goes wrong later (the network, a mask, a provider, a value JSON cannot hold) becomes
a count in `Stats`, one log line per change of condition, and never an exception in the application.
"""


class LuminaError(Exception):
    """The root of every error of this package."""


class ConfigError(LuminaError, ValueError):
    """An option is missing, malformed, or contradicts an earlier `init`.

    Raised when a `LuminaConfig` is built and by `Lumina.init`, nowhere else. The message names the option and what to
    do; it never holds the value of a write key.
    """
