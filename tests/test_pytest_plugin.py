"""The fixtures we ship, each in a run of pytest of its own, where every warning is an error."""

import re
import sys
from pathlib import Path

import pytest

import lumina_async.pytest_plugin

pytest_plugins = ["pytester"]

README = Path(__file__).parent.parent / "README.md"

APP = """
from lumina_async import Lumina

async def answer(question, user_id=None):
    async with Lumina.scope(user_id=user_id):
        session = await Lumina.session.start(session_id="chat_42")
        async with session.turn() as turn:
            return await turn.wrap_llm(lambda: question.upper(), model="my-model")
"""

# What a test records, announces and numbers, and who is known in it, the next does not see. {mark} is for async tests.
TESTS = """
import asyncio
import json
import urllib.request

import pytest
from app import answer
from lumina_async import Lumina, LuminaClient, LuminaConfig

async def fetch(url):
    def get():
        with urllib.request.urlopen(url, timeout=10) as response:
            return json.loads(response.read())
    return await asyncio.to_thread(get)

{mark}
@pytest.mark.parametrize("number", range(3))
async def test_async(lumina, number):
    assert lumina.events == []
    assert await answer("Hello?") == "HELLO?"
    await lumina.settled()
    [turn] = lumina.turns
    assert (turn.status, turn.llm[0].model, turn.seq, turn.anonymous) == ("ok", "my-model", 1, True)
    assert len(lumina.sessions) == 1
    assert (await Lumina.stats()).captured == 2
    await answer("And now?", user_id="user_%d" % number)

{mark}
async def test_what_is_left_waiting_does_no_harm(lumina):
    asyncio.ensure_future(asyncio.sleep(600))
    await answer("Hello?")

{mark}
@pytest.mark.parametrize("number", range(2))
async def test_collector(lumina_collector, number):
    async with LuminaClient(LuminaConfig(endpoint=lumina_collector.url, write_key="gi_test")) as client:
        async with (await client.session.start()).turn():
            pass
        assert await client.flush()
    assert len((await fetch(lumina_collector.url + "/api/events?name=turn"))["items"]) == 1

{mark}
async def test_both(lumina, lumina_collector):
    await answer((await fetch(lumina_collector.url + "/healthz")) and "Hello?")
    assert len((await lumina.settled()).turns) == 1

{mark}
async def test_the_fixture_is_for_those_who_ask():
    assert not Lumina.is_initialized

@pytest.mark.parametrize("number", range(2))
def test_sync(lumina, number):
    asyncio.run(answer("Hello?"))
    asyncio.run(answer("Again?"))
    assert [turn.seq for turn in asyncio.run(lumina.settled()).turns] == [1, 2]

def test_sync_collector(lumina_collector):
    assert asyncio.run(fetch(lumina_collector.url + "/api/events"))["items"] == []
"""
PASSED = 11

FUNCTION_LOOPS = ("-o", "asyncio_default_fixture_loop_scope=function")
ANYIO = '@pytest.mark.anyio\n@pytest.mark.parametrize("anyio_backend", ["asyncio"])'


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    """Run the tests in a process of its own; any warning, also one that cannot be raised, fails them."""
    pytester.makepyfile(app=APP)
    return pytester.runpytest_subprocess("-W", "error", "-p", "no:cacheprovider", "-p", "no:timeout", *options)


@pytest.mark.parametrize(
    ("mark", "options"),
    [
        ("@pytest.mark.asyncio", ("--asyncio-mode=strict", *FUNCTION_LOOPS)),
        ("", ("--asyncio-mode=auto", *FUNCTION_LOOPS)),
        (
            '@pytest.mark.asyncio(loop_scope="session")',
            ("--asyncio-mode=strict", "-o", "asyncio_default_fixture_loop_scope=session"),
        ),
        (ANYIO, ("-p", "no:asyncio")),
        (ANYIO, ("--asyncio-mode=strict", *FUNCTION_LOOPS)),
    ],
    ids=["asyncio strict", "asyncio auto", "one loop for all", "anyio", "anyio beside asyncio"],
)
def test_the_fixtures_work_under(pytester: pytest.Pytester, mark: str, options: tuple[str, ...]) -> None:
    """Async and plain tests use both fixtures one after the other, and none sees anything of another."""
    pytester.makepyfile(TESTS.format(mark=mark))
    result = run(pytester, *options)
    result.assert_outcomes(passed=PASSED, warnings=0)
    assert "warning" not in result.stdout.str().lower()
    assert result.stderr.str() == ""


def test_the_example_of_the_readme_passes(pytester: pytest.Pytester) -> None:
    """What is pasted from the README runs as it is."""
    [example] = re.findall(r"```python\n([^`]*\(lumina: Recording\).*?)```", README.read_text(), re.DOTALL)
    pytester.makepyfile(example)
    run(pytester, "--asyncio-mode=auto", *FUNCTION_LOOPS).assert_outcomes(passed=1)


def test_the_app_may_give_the_options(pytester: pytest.Pytester) -> None:
    """`lumina_config` is overridden with the app's options, or with None where the app awaits `Lumina.init` itself."""
    pytester.makepyfile(
        """
        import asyncio
        import pytest
        from app import answer
        from lumina_async import Lumina
        from lumina_async.testing import memory_config

        class TestOptions:
            @pytest.fixture
            def lumina_config(self):
                return memory_config(release="1.2.3")

            def test_are_those_of_the_fixture(self, lumina):
                asyncio.run(answer("Hello?"))
                assert asyncio.run(lumina.settled()).turns[0].raw["release"] == "1.2.3"

        class TestApp:
            @pytest.fixture
            def lumina_config(self):
                return None

            def test_inits_and_shuts_down(self, lumina):
                async def main():
                    await Lumina.init(endpoint="https://ingest.example.com", write_key="gi_real", release="7")
                    await answer("Hello?")
                    await Lumina.shutdown()
                asyncio.run(main())
                assert lumina.turns[0].raw["release"] == "7"
        """
    )
    run(pytester, "-p", "no:asyncio").assert_outcomes(passed=2)


def test_pytest_starts_without_what_the_fixtures_need(pytester: pytest.Pytester) -> None:
    """Who does not use the fixtures pays for no web client, no collector, no kit, and no client is initialised."""
    heavy = ["aiohttp", "sqlite3", "posthog", "lumina_async.testing", "lumina_async.collector"]
    pytester.makepyfile(
        f"""
        import sys

        def test_start():
            assert "lumina_async.pytest_plugin" in sys.modules
            assert [name for name in {heavy!r} if name in sys.modules] == []
            assert not sys.modules["lumina_async"].Lumina.is_initialized
        """
    )
    run(pytester, *FUNCTION_LOOPS).assert_outcomes(passed=1)


def test_without_the_extra_the_fixture_says_how_to_install_it(pytester: pytest.Pytester) -> None:
    """An error that names the package that is missing and the line that installs it."""
    pytester.makeconftest("import sys\nsys.modules['aiohttp_sse'] = None")
    pytester.makepyfile("def test_it(lumina_collector): pass")
    result = run(pytester, *FUNCTION_LOOPS)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*needs aiohttp_sse*pip install 'lumina-async?collector?'*"])


def test_the_plugin_is_there_once_and_by_its_entry_point(pytestconfig: pytest.Config) -> None:
    """Our own run loads it as everybody's does: by the metadata of the package, and by nothing else."""
    manager = pytestconfig.pluginmanager
    module = lumina_async.pytest_plugin
    assert [name for name, plugin in manager.list_name_plugin() if plugin is module] == ["lumina_async"]
    assert module is sys.modules["lumina_async.pytest_plugin"]
    assert [dist.metadata["Name"] for plugin, dist in manager.list_plugin_distinfo() if plugin is module] == [
        "lumina-async"
    ]
