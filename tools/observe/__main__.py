"""`make observe`: run the scene until Ctrl-C, or ask every query once, or draw the dashboards."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from tools.observe.check import questions, unanswered
from tools.observe.scene import NoPrometheus, Scene, scene

CHECK_WITHIN_S = 90.0


@click.command()
@click.option("--check", is_flag=True, help="Ask every query, say which have no data, and end.")
@click.option("--pictures", type=click.Path(path_type=Path), help="Draw every dashboard, and end.")
def main(*, check: bool, pictures: Path | None) -> None:
    """Run a daemon where everything goes on, and a Prometheus that watches it."""
    try:
        sys.exit(asyncio.run(_observe(check=check, pictures=pictures)))
    except NoPrometheus as error:
        raise click.ClickException(str(error)) from error
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(0)


async def _observe(*, check: bool, pictures: Path | None) -> int:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - for the type checker
    # As by Ctrl-C: whoever ends us must not leave a daemon and a Prometheus behind.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with TemporaryDirectory(prefix="tenantproxy-observe-") as folder:
        async with scene(Path(folder)) as running:
            if pictures is not None:
                return await _draw(running, pictures)
            _tell(running)
            left = await unanswered(running, CHECK_WITHIN_S)
            for question, why in left.items():
                click.echo(f"{question.where}: {why}: {question.expr}", err=True)
            total = sum(1 for _ in questions())
            click.echo(f"{total - len(left)} of {total} queries of dashboards and rules have data")
            if not check:
                await asyncio.Event().wait()
            return int(bool(left))


async def _draw(running: Scene, folder: Path) -> int:
    from tools.observe.pictures import SPAN_S, draw  # noqa: PLC0415 - matplotlib is not for all

    click.echo(f"lets {SPAN_S} s go by", err=True)
    await asyncio.sleep(SPAN_S)
    for path in await draw(running, folder):
        click.echo(path)
    return 0


def _tell(running: Scene) -> None:
    click.echo(f"Prometheus:  {running.prometheus_url}/graph")
    click.echo(f"alerts:      {running.prometheus_url}/alerts")
    click.echo(f"metrics:     http://127.0.0.1:{running.metrics}/metrics")
    click.echo(f"daemon:      tenantproxy --server http://127.0.0.1:{running.admin} get listeners")
    click.echo("Grafana:     take it as data source and import grafana/dashboards/*.json")
    click.echo("Ctrl-C ends everything.\n")


if __name__ == "__main__":
    main()
