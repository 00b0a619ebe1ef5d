"""The options that every command takes, before or after its name."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from tenantproxy.errors import Unauthorized

DEFAULT_SERVER = "http://127.0.0.1:9900"
OUTPUTS = ("table", "wide", "json", "yaml", "name")

_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(slots=True)
class Settings:
    """What options say; the option nearest to the end wins, then the environment."""

    server: str | None = None
    token_file: Path | None = None
    output: str = "table"

    @property
    def base_url(self) -> str:
        """The server without a slash at its end; `HOST:PORT` means http."""
        server = self.server or os.environ.get("TENANTPROXY_SERVER") or DEFAULT_SERVER
        return (server if "://" in server else f"http://{server}").rstrip("/")

    def read_token(self) -> str | None:
        """Return the token to send; a file named on the command line wins.

        Raises:
            Unauthorized: the file cannot be read.
        """
        if self.token_file is None:
            return os.environ.get("TENANTPROXY_TOKEN") or None
        try:
            return self.token_file.read_text().strip()
        except OSError as error:
            raise Unauthorized(
                f"the token file {self.token_file} cannot be read: {error.strerror}"
            ) from error


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    settings = ctx.ensure_object(Settings)
    if value is not None and param.name is not None:
        setattr(settings, param.name, value)


def _option(*names: str, **attributes: Any) -> Callable[[_Command], _Command]:
    return click.option(*names, callback=_keep, expose_value=False, is_eager=True, **attributes)


def shared_options(command: _Command) -> _Command:
    """Add --server, --token-file and -o; the command finds them in its `Settings`."""
    output = _option(
        "-o",
        "--output",
        type=click.Choice(OUTPUTS),
        help="Form of what goes to standard output.  [default: table]",
    )
    token = _option(
        "--token-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="File with the token of the admin API (or TENANTPROXY_TOKEN, the token itself).",
    )
    server = _option(
        "--server",
        metavar="URL",
        help=f"Admin API (or TENANTPROXY_SERVER).  [default: {DEFAULT_SERVER}]",
    )
    return server(token(output(command)))


pass_settings = click.make_pass_decorator(Settings, ensure=True)
