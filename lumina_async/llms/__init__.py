"""Clients of models whose calls are recorded without `wrap_llm`. Import the module of yours by its full name."""

from lumina_async._inside import ASKING

ASKING.add(__name__)
