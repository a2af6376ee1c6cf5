"""How long does `import lumina_async` take, beyond what it is built on?

Run with `python benchmarks/bench_import.py [--quick]`. Prints milliseconds of CPU time, which an idle machine takes by
the clock as well: medians over processes of their own that take turns. The bytecode is cached, as it is from the second
start on.
"""

import os
import subprocess
import sys
from tempfile import TemporaryDirectory

from measure import is_quick, median

ROUNDS = 3 if is_quick() else 41
GROUND = "asyncio, attrs, orjson, anyio"
STATEMENTS = (f"import {GROUND}", f"import {GROUND}, lumina_async", f"import {GROUND}, aiohttp")


def milliseconds(statement: str, cache: str) -> float:
    """Return what a statement takes in a process of its own, not counting the start of Python."""
    # Some machines are told to cache no bytecode, and then what is measured is the compiler.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = cache
    code = f"from time import process_time as now; began = now()\n{statement}\nprint((now() - began) * 1000)"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    """Print the imports and what comes on top."""
    with TemporaryDirectory() as cache:
        rounds = [[milliseconds(statement, cache) for statement in STATEMENTS] for _ in range(ROUNDS + 1)]
    # The first round fills the cache.
    del rounds[0]
    ground, ours, http = (median(column) for column in zip(*rounds, strict=True))
    print(f"{GROUND}: {ground:.1f} ms")
    print(f"lumina_async beyond: {ours - ground:.1f} ms")
    print(f"aiohttp beyond, which is loaded when a client starts: {http - ground:.1f} ms")


if __name__ == "__main__":
    main()
