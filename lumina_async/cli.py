"""The command `lumina`. Without the extra it says how to install it; the commands themselves are in the collector."""

import sys
from importlib.util import find_spec

_NEEDED = ("click", "aiohttp_sse")


def main() -> None:
    """Run the command line of this process; ends it with a status, as commands do."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"The command line and the collector need {' and '.join(missing)}, which the SDK alone does without. "
            "Install them with:\n\n    pip install 'lumina-async[collector]'\n"
        )
        raise SystemExit(1)
    # Here and not above: the line before must work without what this imports.
    from lumina_async.collector.commands import lumina
    from lumina_async.collector.key_commands import keys
    from lumina_async.collector.server_command import collector
    from lumina_async.demo.command import demo
    from lumina_async.doctor.command import doctor

    for command in (collector, keys, demo, doctor):
        lumina.add_command(command)
    lumina(prog_name="lumina")
