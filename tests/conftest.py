"""What the whole suite relies on: a missing component is a skip on a developer's machine and a failure in CI."""

import asyncio
import os
import shutil

import pytest
from e2e.aimock import AIMOCK
from e2e.browsing import POSTHOG_JS

COMPONENTS = {
    "browser": (lambda: shutil.which("chromium") is not None, "Chromium is missing: apt-get install chromium"),
    "node": (
        lambda: shutil.which("node") is not None and AIMOCK.exists(),
        "Node or aimock is missing: npm install --no-save @copilotkit/aimock",
    ),
    "posthog_js": (POSTHOG_JS.exists, "posthog-js is missing: npm install --no-save posthog-js@1.434.18"),
}


def pytest_configure() -> None:
    """With LUMINA_TEST_LOOP=uvloop run everything on uvloop: tests, `asyncio.run` in them, and loops in threads."""
    if os.environ.get("LUMINA_TEST_LOOP") == "uvloop":
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a component that this machine lacks; in CI let it run, and fail."""
    for name, (is_there, why) in COMPONENTS.items():
        if not os.environ.get("CI") and not is_there():
            for item in items:
                if item.get_closest_marker(name):
                    item.add_marker(pytest.mark.skip(reason=why))
