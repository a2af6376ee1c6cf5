"""What the wheel promises: floors, extras, types, and a command that says what is missing."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import attrs
import pytest

import lumina_async

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_core_needs_five_packages_at_safe_floors() -> None:
    """The floors of aiohttp and orjson are those of published advisories (FAULTS S5)."""
    assert {re.split(r"[>=<]", need)[0] for need in PROJECT["dependencies"]} == {
        "aiohttp",
        "anyio",
        "attrs",
        "orjson",
        "posthog",
    }
    assert "aiohttp>=3.14.4" in PROJECT["dependencies"]
    assert "orjson>=3.11.6" in PROJECT["dependencies"]


def test_the_version_is_one() -> None:
    """The module and the metadata of the installed package agree."""
    assert lumina_async.__version__ == version("lumina-async")


def test_the_types_are_shipped() -> None:
    """py.typed makes type checkers read our annotations."""
    assert (ROOT / "lumina_async" / "py.typed").exists()


def test_no_code_is_executed_from_data() -> None:
    """No pickle, eval, exec or yaml anywhere in the package (FAULTS S5)."""
    forbidden = re.compile(r"^\s*(import|from) (pickle|marshal|shelve|yaml)\b|\b(eval|exec)\(", re.MULTILINE)
    for path in (ROOT / "lumina_async").rglob("*.py"):
        assert not forbidden.search(path.read_text()), path


def test_the_readme_shows_the_quick_start_that_is_tested() -> None:
    """What is pasted from the README is examples/quickstart.py, in fewer than 20 lines."""
    code = (ROOT / "examples" / "quickstart.py").read_text().split('"""\n', 1)[1].strip()
    assert f"```python\n{code}\n```" in (ROOT / "README.md").read_text()
    assert len(code.splitlines()) < 20


def test_the_readme_lists_every_option() -> None:
    """No option without a line that tells of it."""
    readme = (ROOT / "README.md").read_text()
    for option in attrs.fields(lumina_async.LuminaConfig):
        assert f"`{option.name}`" in readme, option.name


@pytest.mark.parametrize(
    ("module", "needs", "extra"),
    [
        ("providers.opentelemetry", "opentelemetry", "otel"),
        ("providers.sentry", "sentry_sdk", "sentry"),
        ("frameworks.fastapi", "fastapi", "fastapi"),
    ],
)
def test_a_missing_extra_is_named(module: str, needs: str, extra: str) -> None:
    """The error has the line that installs it."""
    code = f"import sys; sys.modules[{needs!r}] = None; import lumina_async.{module}"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert f"pip install 'lumina-async[{extra}]'" in done.stderr.splitlines()[-1]
