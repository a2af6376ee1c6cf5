"""The pages under docs/ are true: their code runs, their links lead somewhere, their names exist."""

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import lumina_async
from lumina_async import LuminaConfig
from lumina_async.testing import Recording, memory_config

ROOT = Path(__file__).parent.parent
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [*DOCS, ROOT / "README.md"]
BLOCKS = [
    pytest.param(block, id=f"{page.stem} {number}")
    for page in DOCS
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL), start=1)
]


async def assistant(text: str) -> str:
    return f"You said: {text}"


@pytest.fixture
def lumina_config(block: str) -> LuminaConfig | None:
    return None if "Lumina.init(" in block else memory_config()


@pytest.mark.parametrize("block", BLOCKS)
async def test_the_code_runs(block: str, lumina: Recording) -> None:
    """As it stands, with the names that the package exports; a block that begins a turn, and is no app, records one."""
    names: dict[str, Any] = {**vars(lumina_async), "assistant": assistant, "text": "Hello?"}
    done = eval(compile(block, "block", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)  # noqa: S307
    if inspect.isawaitable(done):
        await done
    await lumina.settled()
    assert len(lumina.turns) == (0 if "app = " in block else block.count(".turn()"))
    assert all(turn.status == "ok" for turn in lumina.turns)


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_links_lead_somewhere(page: Path) -> None:
    """To a file of the project, and to a heading where one is named."""
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not link.startswith("http"):
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def test_every_public_name_is_told_of() -> None:
    """In the README or on one of the pages."""
    told = "".join(page.read_text() for page in PAGES)
    for name in {*lumina_async.__all__} - {"__version__"}:
        assert re.search(rf"\b{name}\b", told), name


def test_the_names_in_the_table_for_newcomers_exist() -> None:
    """What the table of names gives as ours is an attribute of the client, a session or a turn."""
    rows = re.findall(r"^\|(.*?)\|(.*)\|$", (ROOT / "docs" / "coming-from-typescript.md").read_text(), re.MULTILINE)
    owners = {"Lumina": lumina_async.Lumina, "session": lumina_async.Session, "turn": lumina_async.Turn}
    ours = [found for _, here in rows for found in re.findall(r"(?<![.\w])(Lumina|session|turn)\.([a-z_]+)", here)]
    assert len(ours) > 20
    for owner, name in ours:
        assert name in dir(owners[owner]) or name in inspect.get_annotations(owners[owner]), f"{owner}.{name}"


def test_the_readme_is_short() -> None:
    """What is long is on a page of its own."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 230
