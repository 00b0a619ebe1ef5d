"""`version`: of this program; imports nothing else."""

from __future__ import annotations

import json
import platform

import click

from tenantproxy import __version__
from tenantproxy.cli.settings import Settings, pass_settings, shared_options


@click.command()
@shared_options
@pass_settings
def version(settings: Settings) -> None:
    """Print the version of this program."""
    python = platform.python_version()
    match settings.output:
        case "json":
            click.echo(json.dumps({"version": __version__, "python": python}))
        case "yaml":
            click.echo(f"version: {__version__}\npython: {python}")
        case "wide":
            click.echo(f"tenantproxy {__version__} (Python {python})")
        case _:
            click.echo(f"tenantproxy {__version__}")
