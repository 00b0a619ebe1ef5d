"""`make observe`: run the scene until Ctrl-C, or with --check ask every query once and end."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from tools.observe.check import questions, unanswered
from tools.observe.scene import NoPrometheus, Scene, scene

CHECK_WITHIN_S = 90.0


async def main(*, check: bool) -> int:
    """Return the exit code."""
    with TemporaryDirectory(prefix="tenantproxy-observe-") as folder:
        try:
            async with scene(Path(folder)) as running:
                _tell(running)
                left = await unanswered(running, CHECK_WITHIN_S)
                for question, why in left.items():
                    click.echo(f"{question.where}: {why}: {question.expr}", err=True)
                total = sum(1 for _ in questions())
                click.echo(
                    f"{total - len(left)} of {total} queries of dashboards and rules have data"
                )
                if not check:
                    await asyncio.Event().wait()
                return bool(left)
        except NoPrometheus as error:
            click.echo(f"error: {error}", err=True)
            return 1


def _tell(running: Scene) -> None:
    click.echo(f"Prometheus:  {running.prometheus_url}/graph")
    click.echo(f"alerts:      {running.prometheus_url}/alerts")
    click.echo(f"metrics:     http://127.0.0.1:{running.metrics}/metrics")
    click.echo(f"daemon:      tenantproxy --server http://127.0.0.1:{running.admin} get listeners")
    click.echo("Grafana:     take it as data source and import grafana/dashboards/*.json")
    click.echo("Ctrl-C ends everything.\n")


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main(check="--check" in sys.argv[1:])))
    except KeyboardInterrupt:
        sys.exit(0)
