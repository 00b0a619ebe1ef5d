"""Plots of what was measured, as SVG for `docs/performance/`.

Made to be kept in the repository: the same numbers give the same bytes, text
stays text, and the colours are readable on white and on black.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.peers import BASELINE
from benchmarks.report import ordered, title
from benchmarks.results import Family, Metric, Workload

INK = "#808080"
"""Grey of the middle: the page's own background may be white or black."""
COLOURS = {
    "haproxy": "#8c8c8c",
    "tenantproxy": "#d9480f",
    "kernel": "#2b8a3e",
    "nginx": "#1c7ed6",
    "envoy": "#ae3ec9",
    "traefik": "#c29200",
}


@contextmanager
def _figure(path: Path, *, columns: int = 1, height: float = 3.2) -> Iterator[Any]:
    """Give the axes to draw on; write the file at the end."""
    import matplotlib as mpl  # noqa: PLC0415 - only who draws needs it

    mpl.use("svg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    settings = {
        "svg.fonttype": "none",
        "svg.hashsalt": "tenantproxy",
        "font.family": "sans-serif",
        "font.size": 9,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.color": INK,
        "ytick.color": INK,
        "legend.frameon": False,
    }
    with mpl.rc_context(settings):
        figure, axes = plt.subplots(
            1, columns, figsize=(4.6 * columns + 0.4, height), squeeze=False
        )
        try:
            yield axes[0]
            figure.tight_layout()
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})
        finally:
            plt.close(figure)


def bars(workloads: Sequence[Workload], key: str, name: str, path: Path) -> None:
    """Draw the ratio to the baseline of each peer, grouped by workload, with its spread."""
    peers = [one for one in _peers(workloads) if one != BASELINE]
    with _figure(path, columns=2 if len(workloads) > 2 else 1) as axes:
        for number, half in enumerate(_halves(workloads, len(axes))):
            ax, width = axes[number], 0.8 / max(len(peers), 1)
            for at, peer in enumerate(peers):
                for group, workload in enumerate(half):
                    found = workload.ratio(peer, key, BASELINE)
                    if found is None:
                        continue
                    ax.bar(
                        group + (at - (len(peers) - 1) / 2) * width,
                        found.median,
                        width * 0.9,
                        color=COLOURS.get(peer, INK),
                        label=title(peer) if group == 0 and number == 0 else None,
                        yerr=[[found.median - found.low], [found.high - found.median]],
                        ecolor=INK,
                        error_kw={"elinewidth": 0.8},
                    )
            ax.axhline(1, color=COLOURS[BASELINE], linewidth=0.8, linestyle="--")
            ax.set_xticks(range(len(half)), [_short(w.title) for w in half])
            ax.set_ylim(bottom=0)
        axes[0].set_ylabel(f"{name}, HAProxy = 1")
        axes[0].legend(fontsize=8)


def lines(workloads: Sequence[Workload], metrics: Sequence[Metric], along: str, path: Path) -> None:
    """Draw each metric over what grows, a line for each peer."""
    with _figure(path, columns=len(metrics)) as axes:
        for number, (ax, metric) in enumerate(zip(axes, metrics, strict=True)):
            for peer in _peers(workloads):
                points = [
                    (workload.x, spread.median)
                    for workload in workloads
                    if (spread := workload.spread(peer, metric.key)) is not None
                ]
                if points:
                    ax.plot(
                        *zip(*points, strict=True),
                        marker="o",
                        markersize=3,
                        color=COLOURS.get(peer, INK),
                        label=title(peer) if number == 0 else None,
                    )
            ax.set_xscale("log")
            ax.minorticks_off()
            ax.set_ylim(bottom=0)
            ax.set_xlabel(along)
            ax.set_title(metric.title, fontsize=9, color=INK)
        axes[0].legend(fontsize=8)


def _peers(workloads: Sequence[Workload]) -> list[str]:
    found = {peer for workload in workloads for peer in workload.peers()}
    return [peer for peer in ordered(found) if peer in COLOURS]


def _halves(workloads: Sequence[Workload], count: int) -> list[Sequence[Workload]]:
    size = -(-len(workloads) // count)
    return [workloads[at : at + size] for at in range(0, len(workloads), size)]


def _short(text: str) -> str:
    head, _, tail = text.replace(" kept connections", "").partition(" from ")
    head, tail = (head, f"from {tail}") if tail else head.partition(", ")[::2]
    return f"{head}\n{tail}" if tail else head


def draw(families: dict[str, Family], folder: Path) -> list[Path]:
    """Write every plot for which there are numbers; return the files."""
    drawn: list[Path] = []

    def one(name: str, family: str, how: Callable[[list[Workload], Path], None]) -> None:
        if family in families:
            how(families[family].workloads, folder / name)
            drawn.append(folder / name)

    def grown(along: str, *keys: str) -> Callable[[list[Workload], Path], None]:
        def how(chosen: list[Workload], path: Path) -> None:
            lines(chosen, [m for m in chosen[0].metrics if m.key in keys], along, path)

        return how

    one("cpu.svg", "requests", lambda w, path: bars(w, "cpu_us", "CPU of a request", path))
    one(
        "requests.svg", "requests", lambda w, path: bars(w, "per_second", "requests a second", path)
    )
    one("bulk.svg", "bulk", lambda w, path: bars(w, "gigabits", "bytes a second", path))
    one("idle.svg", "idle", lambda w, path: bars(w, "kib", "RSS of a connection", path))
    one(
        "listeners.svg",
        "growth-listeners",
        grown("listeners", "cpu_us", "new_cpu_us", "rss_mib"),
    )
    one("connections.svg", "growth-connections", grown("connections", "per_second", "cpu_us"))
    return drawn
