"""What the files of the page may hold; runs where there is no browser, too."""

import gzip
import re
from pathlib import Path

import pytest

STATIC = Path(__file__).parents[2] / "lumina_async" / "collector" / "static"
FORBIDDEN = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|createContextualFragment|setHTML|document\.write|\beval\b|new Function"
    r"|srcdoc|DOMParser|\bstyle=|<style|\bon[a-z]+=|javascript:"
)


@pytest.mark.parametrize("path", sorted(STATIC.iterdir()), ids=lambda path: path.name)
def test_no_text_can_become_markup(path: Path) -> None:
    """No file of the page uses a way by which text becomes markup or code, or what its content policy forbids."""
    assert FORBIDDEN.findall(path.read_text()) == []


def test_the_page_stays_small() -> None:
    """The page is read in one go: short modules, and no more in all, as it is sent, than a small picture."""
    texts = {path.name: path.read_text() for path in STATIC.iterdir()}
    assert sum(len(gzip.compress(text.encode())) for text in texts.values()) < 34_000
    assert max(text.count("\n") for name, text in texts.items() if name.endswith(".js")) <= 200
