"""The command `lumina demo`."""

import click


@click.command()
@click.option("--once", is_flag=True, help="End by itself; the status is not 0 if an event is missing.")
def demo(once: bool) -> None:
    """Let a few people talk to a chat app and show what was stored, until Ctrl-C."""
    # Here and not above: `lumina --help` must not load a server.
    from lumina_async.demo.run import run_demo

    raise SystemExit(run_demo(once=once))
