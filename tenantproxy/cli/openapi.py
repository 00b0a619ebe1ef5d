"""`openapi`: the description of the admin API."""

from __future__ import annotations

import click

from tenantproxy.admin.openapi import openapi as description
from tenantproxy.cli.output import echo_value
from tenantproxy.cli.settings import Settings, pass_settings, shared_options


@click.command()
@shared_options
@pass_settings
def openapi(settings: Settings) -> None:
    """Print the OpenAPI 3.1 document of the admin API."""
    echo_value(description(), settings.output)
