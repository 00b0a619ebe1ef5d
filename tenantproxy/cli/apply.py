"""`diff` and `apply`: a document against what runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tenantproxy.cli.changes import show_changes
from tenantproxy.cli.client import call
from tenantproxy.cli.output import echo_value, structured, talk
from tenantproxy.cli.settings import Settings, pass_settings, shared_options
from tenantproxy.config.load import load

PATIENCE_S = 300.0
"""A document may hold ten thousand listeners."""

_file = click.option(
    "-f",
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The document.",
)


@click.command()
@_file
@shared_options
@pass_settings
def diff(settings: Settings, file: Path) -> None:
    """Show what `apply` would change; exits 0 whether it is much or nothing."""
    answer = _send(settings, file, "POST", "/api/v1/diff")
    if structured(settings.output):
        echo_value(answer, settings.output)
    else:
        show_changes(answer["changes"])


@click.command()
@_file
@click.option("--dry-run", is_flag=True, help="Check and show; change nothing.")
@shared_options
@pass_settings
def apply(settings: Settings, file: Path, *, dry_run: bool) -> None:
    """Make a document the desired state, whole or not at all.

    The daemon keeps it in memory, above the file that it runs from: it ends
    with the daemon, or when that file changes the same object. The `proxy`
    part must be as it runs.
    """
    path = "/api/v1/document"
    answer = _send(settings, file, "PUT", path, {"dry_run": "true"} if dry_run else {})
    if structured(settings.output):
        echo_value(answer, settings.output)
        return
    show_changes(answer["changes"])
    if dry_run:
        talk("dry run: nothing was changed")
    elif answer["changes"]:
        talk(f"applied: generation {answer['generation']}")


def _send(
    settings: Settings,
    file: Path,
    method: str,
    path: str,
    params: dict[str, str | int] | None = None,
) -> Any:
    """Check the document here, where its problems have a file name, and send its text."""
    load(file)
    text = file.read_text(encoding="utf-8")
    return call(
        settings,
        lambda client: client.send(method, path, yaml=text, params=params, patience_s=PATIENCE_S),
    )
