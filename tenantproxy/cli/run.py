"""`run`: the daemon in the foreground."""

from __future__ import annotations

from pathlib import Path

import click

from tenantproxy.daemon.run import run as run_daemon


@click.command()
@click.option(
    "-c",
    "--config",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The document.",
)
@click.pass_context
def run(ctx: click.Context, file: Path) -> None:
    """Run the daemon in the foreground until a signal ends it.

    SIGHUP reads the document again (a change of the file is noticed without
    it). SIGTERM and Ctrl-C end it in order; a second one ends it at once.
    """
    ctx.exit(run_daemon(file))
