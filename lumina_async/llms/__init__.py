"""Clients of models whose calls are recorded without `wrap_llm`. Import the module of yours by its full name."""
