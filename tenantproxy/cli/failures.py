"""How a failure is told: on standard error, with the way out, and never as a traceback."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from typing import IO, Any

import click

from tenantproxy.cli.terminal import styled
from tenantproxy.errors import DocumentError, TenantProxyError

DEBUG = "TENANTPROXY_DEBUG"


class Failed(click.ClickException):
    """Wraps an error for click: `show` prints it, the exit code is 1."""

    exit_code = 1

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the error and its hint."""
        out = sys.stderr if file is None else file
        for line in lines(self.error):
            head, sep, rest = line.partition(": ")
            if head in ("error", "hint"):
                head = styled(head, out, fg="red" if head == "error" else "yellow", bold=True)
            click.echo(f"{head}{sep}{rest}", file=out)
        if os.environ.get(DEBUG):
            traceback.print_exception(self.error, file=out)


def lines(error: BaseException) -> Iterator[str]:
    """Yield what is printed for an error; a group yields what is in it."""
    match error:
        case BaseExceptionGroup():
            for inner in error.exceptions:
                yield from lines(inner)
        case DocumentError():
            yield from map(str, error.problems)
            count = len(error.problems)
            yield f"error: refused: {count} problem{'s' if count != 1 else ''}"
        case TenantProxyError():
            yield f"error: {error}"
            if error.hint:
                yield f"hint: {error.hint}"
        case OSError(filename=str() as name, strerror=str() as why):
            yield f"error: {name}: {why}"
        case OSError():
            yield f"error: {error}"
        case _:
            yield f"error: internal: {type(error).__name__}: {error}"
            yield f"hint: this is a bug of tenantproxy; {DEBUG}=1 shows where it is"
