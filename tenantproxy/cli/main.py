"""The `tenantproxy` command: its options, the table of its commands, its exit codes.

0: done. 1: refused or failed. 2: used wrongly.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Any

import click

from tenantproxy import __version__
from tenantproxy.cli.failures import Failed
from tenantproxy.cli.lazy import Lazy, LazyGroup
from tenantproxy.cli.settings import shared_options

_HERE = "tenantproxy.cli"
COMMANDS = {
    "run": Lazy(f"{_HERE}.run", "run", "Run the daemon in the foreground."),
    "demo": Lazy(f"{_HERE}.demo", "demo", "Run the daemon with upstreams of its own, to try it."),
    "check": Lazy(f"{_HERE}.check", "check", "Validate a document."),
    "diff": Lazy(f"{_HERE}.apply", "diff", "Show what a document would change."),
    "apply": Lazy(f"{_HERE}.apply", "apply", "Make a document the desired state."),
    "get": Lazy(f"{_HERE}.get", "get", "List tenants, listeners, upstreams, events, ..."),
    "describe": Lazy(f"{_HERE}.describe", "describe", "Tell everything about one object."),
    "open": Lazy(f"{_HERE}.ports", "open_port", "Open a port."),
    "sleep": Lazy(f"{_HERE}.ports", "sleep_port", "Put a port to sleep."),
    "close": Lazy(f"{_HERE}.ports", "close_port", "Close a port."),
    "set": Lazy(f"{_HERE}.split", "set_group", "Change one thing: `set split`."),
    "rollout": Lazy(f"{_HERE}.rollout", "rollout_group", "Command and watch canary rollouts."),
    "schema": Lazy(f"{_HERE}.check", "schema", "Print the JSON schema of documents."),
    "openapi": Lazy(f"{_HERE}.openapi", "openapi", "Print the OpenAPI document of the admin API."),
    "completion": Lazy(f"{_HERE}.completion", "completion", "Print a completion script."),
    "version": Lazy(f"{_HERE}.version", "version", "Print the version."),
}


class Root(LazyGroup):
    """The group of all commands; the one place where errors end."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; whatever goes wrong becomes a message and exit code 1."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise
        except Exception as error:
            raise Failed(error) from error


@click.command(
    cls=Root,
    table=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@shared_options
@click.version_option(__version__, prog_name="tenantproxy", message="%(prog)s %(version)s")
def root() -> None:
    """Open TCP ports on demand and split their traffic between weighted upstreams."""


def main() -> None:
    """Run the command of this process's arguments and end the process."""
    if os.getpid() == 1:
        # In a container: the kernel drops a signal that process 1 has no handler for, and whoever
        # stops it would wait until it is killed. The daemon sets its own a second later.
        signal.signal(signal.SIGTERM, _end)
    root.main(prog_name="tenantproxy")


def _end(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)
