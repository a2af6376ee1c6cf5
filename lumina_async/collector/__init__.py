"""The collector: receives events over HTTP, keeps them in one file, and shows them (SPEC section 10)."""

from lumina_async.collector.serve import Collector

__all__ = ["Collector"]
