"""How long does `import lumina_async` take, beyond what it is built on?

Run with `python benchmarks/bench_import.py [--quick]`. Prints milliseconds, medians over processes of their own that
take turns, bytecode cached.
"""

import subprocess
import sys

from measure import is_quick, median

ROUNDS = 3 if is_quick() else 41
GROUND = "asyncio, attrs, orjson, anyio"
STATEMENTS = (f"import {GROUND}", f"import {GROUND}, lumina_async", f"import {GROUND}, aiohttp")


def milliseconds(statement: str) -> float:
    """Return what a statement takes in a process of its own, not counting the start of Python."""
    code = f"from time import perf_counter as now; began = now()\n{statement}\nprint((now() - began) * 1000)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    """Print the imports and what comes on top."""
    for statement in STATEMENTS:
        milliseconds(statement)
    rounds = [[milliseconds(statement) for statement in STATEMENTS] for _ in range(ROUNDS)]
    ground, ours, http = (median(column) for column in zip(*rounds, strict=True))
    print(f"{GROUND}: {ground:.1f} ms")
    print(f"lumina_async beyond: {ours - ground:.1f} ms")
    print(f"aiohttp beyond, which is loaded when a client starts: {http - ground:.1f} ms")


if __name__ == "__main__":
    main()
