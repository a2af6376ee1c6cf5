"""aimock in a process of its own: an OpenAI-compatible server that answers from fixtures."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

AIMOCK = Path(os.environ.get("LUMINA_AIMOCK", "node_modules/@copilotkit/aimock/dist/cli.js"))


def fixture(word: str, **response: Any) -> dict[str, Any]:
    """Return the answer to a message with this word; `latency`, `chunkSize` and the like stand beside the response."""
    beside = {key: response.pop(key) for key in ("latency", "chunkSize", "truncateAfterChunks") if key in response}
    return {"match": {"userMessage": word}, "response": response, **beside}


@contextmanager
def aimock(folder: Path, *fixtures: dict[str, Any]) -> Iterator[str]:
    """Run it on a free port while the block runs; gives the base URL for a client."""
    path = folder / "fixtures.json"
    path.write_text(json.dumps({"fixtures": fixtures}))
    with running(["node", str(AIMOCK), "-p", "0", "-f", str(path)], r"listening on (http://\S+)") as url:
        yield f"{url}/v1"


@contextmanager
def running(command: list[str], ready: str, **environment: str) -> Iterator[str]:
    """Run a server while the block runs, from the line that tells its address to its end by SIGTERM.

    Gives the first group of the pattern `ready` in its output. It must end by itself when it is asked to.
    """
    process = subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    said = ""
    try:
        for line in process.stdout:
            said += line
            if match := re.search(ready, line):
                yield match[1]
                break
        else:
            raise RuntimeError(f"{command} did not start:\n{said}")
    finally:
        process.terminate()
        rest, _ = process.communicate(timeout=20)
    assert process.returncode in {0, -15}, rest
    assert "Traceback" not in rest, rest
