"""`completion`: scripts for shells."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_VARIABLE = "_TENANTPROXY_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash: eval "$(tenantproxy completion bash)"
    zsh:  eval "$(tenantproxy completion zsh)"
    fish: tenantproxy completion fish | source
    """  # noqa: D301 - \b is how click is told to keep the lines
    script = get_completion_class(shell)
    if script is None:
        raise click.UsageError(f"no completion for {shell}")
    click.echo(script(ctx.find_root().command, {}, "tenantproxy", _VARIABLE).source())
