"""`check` and `schema`: what can be said of a document without a daemon."""

from __future__ import annotations

from pathlib import Path

import click

from tenantproxy.cli.names import singular
from tenantproxy.cli.output import echo_value, structured
from tenantproxy.cli.settings import Settings, pass_settings, shared_options
from tenantproxy.config.document import refused
from tenantproxy.config.load import load
from tenantproxy.config.schema import json_schema
from tenantproxy.config.text import read_text
from tenantproxy.control.tls_files import try_files


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@shared_options
@pass_settings
def check(settings: Settings, file: Path) -> None:
    """Validate a document with the policies and the TLS files that it names.

    Every problem is told at once.
    """
    loaded = load(file)
    if problems := try_files(loaded.document, file.parent):
        raise refused(read_text(file), problems, file=str(file))
    tenants = loaded.document.tenants.values()
    counts = {
        "tenants": len(tenants),
        "listeners": sum(len(tenant.listeners) for tenant in tenants),
        "upstreams": sum(len(tenant.upstreams) for tenant in tenants),
        "policies": len(loaded.policies),
    }
    if structured(settings.output):
        echo_value({"file": str(file), "valid": True} | counts, settings.output)
    elif settings.output == "name":
        click.echo(str(file))
    else:
        told = ", ".join(
            f"{count} {singular(kind) if count == 1 else kind}" for kind, count in counts.items()
        )
        click.echo(f"{file}: valid: {told}")


@click.command()
@shared_options
@pass_settings
def schema(settings: Settings) -> None:
    """Print the JSON schema of documents, for editors and for CI."""
    echo_value(json_schema(), settings.output)
