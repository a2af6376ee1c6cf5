"""Sets up and runs everything: `nox -s demo`, `nox -s tests`, `nox -s lint typing examples faults receivers bench`."""

import sys
from pathlib import Path

import nox

nox.options.sessions = ["tests", "lint", "typing", "examples"]
nox.options.reuse_venv = "yes"

PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PROJECT)
PACKAGE = ".[collector]"
# What concerns event loops: delivery, the life of a client, what runs beside the app, and the collector's server.
LOOPS = [
    *(f"tests/test_{name}.py" for name in ("client", "flusher", "hooks", "stream", "testing", "transport", "turn")),
    *(f"tests/faults/test_{name}.py" for name in ("cancellation", "connections", "loops", "reentry", "shutdown")),
    *(f"tests/collector/test_{name}.py" for name in ("ingest", "live", "serve", "store")),
    *(f"tests/adapters/test_{name}.py" for name in ("llm_layers", "stream_endings")),
]


def _group(*names: str) -> tuple[str, ...]:
    return nox.project.dependency_groups(PROJECT, *names)


@nox.session
def demo(session: nox.Session) -> None:
    """Play a few users through a chat app and show what was stored; serves until Ctrl-C, or with `-- --once` ends."""
    session.install("--quiet", PACKAGE)
    session.run("lumina", "demo", *session.posargs)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the suite on each Python of this machine that the package supports."""
    session.install("--quiet", "-e", PACKAGE, *_group("test"))
    session.run("pytest", *session.posargs)


@nox.session
def tests_uvloop(session: nox.Session) -> None:
    """Run what concerns event loops once more, on uvloop; `-- tests` runs all there is."""
    session.install("--quiet", "-e", PACKAGE, *_group("test"))
    session.run("pytest", *(session.posargs or LOOPS), env={"LUMINA_TEST_LOOP": "uvloop"})


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    session.install("--quiet", *_group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def typing(session: nox.Session) -> None:
    """Check the types of the package and of its public signatures as users write them."""
    session.install("--quiet", "-e", PACKAGE, *_group("typing"))
    session.run("mypy")
    session.run("pyright", "--pythonpath", str(Path(session.bin) / "python"))


@nox.session
def examples(session: nox.Session) -> None:
    """Run every example against a real collector and, where Node is, real provider clients."""
    session.install("--quiet", "-e", PACKAGE, *_group("test"))
    session.run("pytest", "tests/test_examples.py", *session.posargs)


@nox.session
def faults(session: nox.Session) -> None:
    """Run the fault tests in their full form: thousands of seeds, hundreds of kills; takes a while."""
    session.install("--quiet", "-e", PACKAGE, *_group("test"))
    session.run(
        "pytest",
        "tests/faults",
        "tests/collector",
        "tests/adapters",
        "--timeout",
        "1800",
        *session.posargs,
        env={"LUMINA_FAULTS": "full"},
    )


@nox.session
def receivers(session: nox.Session) -> None:
    """Send spans to a real receiver, Phoenix, and read them back; it is large and gets an environment of its own."""
    session.install("--quiet", "-e", PACKAGE, *_group("test"), "opentelemetry-exporter-otlp-proto-http")
    home = Path(session.virtualenv.location) / "phoenix"
    if not (home / "bin" / "phoenix").exists():
        session.run("python", "-m", "venv", str(home))
        session.run(str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "arize-phoenix", external=True)
    phoenix = str(home / "bin" / "phoenix")
    session.run("pytest", "tests/adapters/test_receivers.py", *session.posargs, env={"LUMINA_PHOENIX": phoenix})


@nox.session
def bench(session: nox.Session) -> None:
    """Measure: every file of benchmarks/ answers one question."""
    session.install("--quiet", PACKAGE, *_group("bench"))
    for question in sorted(Path("benchmarks").glob("bench_*.py")):
        session.run("python", str(question), *session.posargs)


if __name__ == "__main__":
    sys.exit("run it with nox: python -m pip install nox && nox -s tests")
