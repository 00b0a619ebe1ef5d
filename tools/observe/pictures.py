"""Draws the committed dashboards with what Prometheus has: plain pictures, not Grafana's.

Each panel stands where its JSON says, and asks its own queries over the last
minutes. Needs matplotlib (`make peers` installs it).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from grafana import queries
from grafana.queries import Asked
from tenantproxy.clock import wall_s
from tools.observe.check import CHOICES, VALUES
from tools.observe.scene import Scene

SPAN_S = 150
_STEP_S = 1
_COLUMN_IN, _ROW_IN = 0.6, 0.32
_SERIES_SHOWN = 10
_COLOURS = {"dark": "#181b1f", "panel": "#22252b", "text": "#d8d9da", "faint": "#8e9097"}
_PALETTE = (
    "#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#37872d",
    "#fade2a", "#c15c17",
)  # fmt: skip
_NAMED = {"green": "#73bf69", "orange": "#ff9830", "red": "#f2495c", "blue": "#5794f2",
          "yellow": "#fade2a"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Series:
    """One curve: seconds before now, and values."""

    name: str
    labels: Mapping[str, str]
    times_s: tuple[float, ...]
    values: tuple[float, ...]


Found = dict[int, list[list[Series]]]
"""By number of a panel: the series of each of its queries."""


async def draw(scene: Scene, folder: Path) -> list[Path]:
    """Write one PNG for each dashboard; return the files."""
    end_s = wall_s()
    # First all questions: while a picture is drawn the scene's clients stand still.
    asked = [
        (file, board, await _found(scene, file, board, end_s))
        for file, board in queries.boards().items()
    ]
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - nobody waits any more
    return [_board(folder / f"{Path(file).stem}.png", board, got) for file, board, got in asked]


async def _found(scene: Scene, file: str, board: dict[str, Any], end_s: float) -> Found:
    values = VALUES | CHOICES[file]
    return {
        panel["id"]: [
            await _range(scene, Asked("", target["expr"]).with_values(values), target, end_s)
            for target in panel.get("targets", ())
        ]
        for panel in board["panels"]
    }


def _board(path: Path, board: dict[str, Any], found: Found) -> Path:
    panels = board["panels"]
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    with mpl.rc_context({"font.size": 7.5, "text.color": _COLOURS["text"]}):
        figure = Figure(figsize=(24 * _COLUMN_IN, height * _ROW_IN), facecolor=_COLOURS["dark"])
        for panel in panels:
            _panel(figure, panel, found[panel["id"]], height)
        figure.savefig(path, dpi=80)
    return path


async def _range(scene: Scene, expr: str, target: dict[str, Any], end_s: float) -> list[Series]:
    ask = {"query": expr, "start": end_s - SPAN_S, "end": end_s, "step": _STEP_S}
    async with scene.http.post(f"{scene.prometheus_url}/api/v1/query_range", data=ask) as answer:
        said = await answer.json()
    return [
        Series(
            _name(target.get("legendFormat", ""), one["metric"]),
            one["metric"],
            tuple(float(at) - end_s for at, _ in one["values"]),
            tuple(float(value) for _, value in one["values"]),
        )
        for one in said["data"]["result"]
    ]


def _name(legend: str, labels: Mapping[str, str]) -> str:
    if legend in {"", "__auto"}:
        return " ".join(value for key, value in labels.items() if key != "__name__") or "value"
    return re.sub(r"\{\{(\w+)\}\}", lambda m: labels.get(m[1], ""), legend)


def _panel(
    figure: Figure, panel: dict[str, Any], found: Sequence[list[Series]], height: int
) -> None:
    at = panel["gridPos"]
    left, bottom = at["x"] / 24, 1 - (at["y"] + at["h"]) / height
    width, tall = at["w"] / 24, at["h"] / height
    if panel["type"] == "row":
        figure.text(left + 0.004, bottom + tall / 2, panel["title"], size=10, va="center")
        return
    gap_x, gap_y = 0.002, 0.05 / height
    box = (left + gap_x, bottom + gap_y, width - 2 * gap_x, tall - 2 * gap_y)
    back = figure.add_axes(box, facecolor=_COLOURS["panel"])
    _bare(back)
    figure.text(left + 0.006, bottom + tall - 0.25 / height, panel["title"], va="top", size=8.5)
    margin = 0.06 if panel["type"] == "state-timeline" else 0.04
    inner = (left + margin, bottom + 1.1 / height, width - margin - 0.01, tall - 2.9 / height)
    series = [one for part in found for one in part]
    if panel["type"] == "stat":
        _stat(figure, panel, series, box)
    elif panel["type"] == "table":
        _table(figure.add_axes(box), panel, found)
    elif panel["type"] == "state-timeline":
        _timeline(figure.add_axes(inner), panel, series)
    else:
        _curves(figure.add_axes(inner), panel, series)


def _curves(axes: Axes, panel: dict[str, Any], series: list[Series]) -> None:
    unit = panel["fieldConfig"]["defaults"]["unit"]
    stacked = "stacking" in panel["fieldConfig"]["defaults"].get("custom", {})
    overrides = panel["fieldConfig"]["overrides"]
    dashed = [
        one["matcher"]["options"].strip("/")
        for one in overrides
        if one["matcher"]["id"] == "byRegexp"
    ]
    fixed = {
        one["matcher"]["options"]: one["properties"][0]["value"]["fixedColor"]
        for one in overrides
        if one["properties"][0]["id"] == "color"
    }
    series = sorted(series, key=lambda one: one.name)[:_SERIES_SHOWN]
    below: dict[float, float] = {}
    for one, next_colour in zip(series, _PALETTE, strict=False):
        colour = fixed.get(one.name, next_colour)
        colour = _NAMED.get(colour, colour)
        values = one.values
        if stacked:
            lower = [below.get(at, 0.0) for at in one.times_s]
            values = tuple(
                low + (0 if math.isnan(v) else v) for low, v in zip(lower, values, strict=True)
            )
            axes.fill_between(one.times_s, lower, values, color=colour, alpha=0.4, lw=0)
            below |= dict(zip(one.times_s, values, strict=True))
        style = "--" if any(re.search(pattern, one.name) for pattern in dashed) else "-"
        axes.plot(one.times_s, values, style, color=colour, lw=1, label=one.name)
    axes.set_xlim(-SPAN_S, 0)
    axes.set_ylim(bottom=0, top=panel["fieldConfig"]["defaults"].get("max"))
    axes.set_facecolor(_COLOURS["panel"])
    axes.tick_params(colors=_COLOURS["faint"], labelsize=6.5, length=0)
    axes.grid(color="#34373d", lw=0.5)
    axes.xaxis.set_major_formatter(lambda s, _: f"{s:.0f} s")
    axes.yaxis.set_major_formatter(lambda value, _: _human(value, unit))
    for edge in axes.spines.values():
        edge.set_visible(False)
    if series:
        axes.legend(
            loc="upper left", bbox_to_anchor=(-0.02, -0.1), ncols=4, frameon=False,
            labelcolor=_COLOURS["text"], fontsize=6.5, handlelength=1, columnspacing=1,
        )  # fmt: skip


def _stat(
    figure: Figure,
    panel: dict[str, Any],
    series: list[Series],
    box: tuple[float, float, float, float],
) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    last = series[0].values[-1] if series else 0.0
    text, colour = _human(last, defaults["unit"]), _PALETTE[5]
    for step in defaults["thresholds"]["steps"]:
        if step["value"] is None or last >= step["value"]:
            colour = _NAMED.get(step["color"], step["color"])
    for mapping in defaults.get("mappings", ()):
        word = mapping["options"].get(f"{last:g}")
        if word:
            text, colour = word["text"], _NAMED.get(word["color"], word["color"])
    x, y, width, tall = box
    figure.text(
        x + width / 2, y + tall * 0.4, text, size=18, color=colour, ha="center", va="center"
    )


def _timeline(axes: Axes, panel: dict[str, Any], series: list[Series]) -> None:
    words = panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
    series = sorted(series, key=lambda one: one.name)
    for row, one in enumerate(reversed(series)):
        for at, value in zip(one.times_s, one.values, strict=True):
            word = words.get(f"{value:g}")
            colour = _NAMED.get(word["color"], word["color"]) if word else _COLOURS["dark"]
            axes.barh(row, _STEP_S, left=at - _STEP_S, height=0.8, color=colour, lw=0)
    axes.set_yticks(range(len(series)), [one.name for one in reversed(series)])
    axes.set_xlim(-SPAN_S, 0)
    axes.set_facecolor(_COLOURS["panel"])
    axes.tick_params(colors=_COLOURS["text"], labelsize=6.5, length=0)
    for edge in axes.spines.values():
        edge.set_visible(False)
    seen = {f"{value:g}" for one in series for value in one.values}
    for at, (word, colour) in enumerate(
        (w["text"], w["color"]) for number, w in words.items() if number in seen
    ):
        axes.text(
            0.1 + at * 0.07, 1.12, f"■ {word}", transform=axes.transAxes,
            color=_NAMED.get(colour, colour), size=7,
        )  # fmt: skip


def _table(axes: Axes, panel: dict[str, Any], found: Sequence[list[Series]]) -> None:
    _bare(axes)
    axes.set_facecolor(_COLOURS["panel"])
    organized = next(one for one in panel["transformations"] if one["id"] == "organize")
    order = organized["options"]["indexByName"]
    headings = organized["options"]["renameByName"]
    names = {name: headings[name] for name in sorted(order, key=order.__getitem__)}
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for letter, series in zip("ABCDEFG", found, strict=False):
        for one in series:
            key = tuple(one.labels.get(name, "") for name in names)
            row = rows.setdefault(key, {n: one.labels.get(n, "") for n in names})
            column = f"Value #{letter}"
            if column in names:
                row[column] = _cell(panel, names[column], one.values[-1])
    lines = ([row[name] for name in names] for row in sorted(rows.values(), key=str))
    shown = [list(names.values()), *lines]
    for down, line in enumerate(shown[:9]):
        for across, text in enumerate(line):
            axes.text(
                0.01 + across / len(names), 0.8 - down * 0.1, text, size=7.5, va="center",
                color=_COLOURS["faint" if down == 0 else "text"], transform=axes.transAxes,
            )  # fmt: skip


def _cell(panel: dict[str, Any], heading: str, value: float) -> str:
    for override in panel["fieldConfig"]["overrides"]:
        if override["matcher"]["options"] != heading:
            continue
        for fact in override["properties"]:
            if fact["id"] == "unit":
                return _human(value, fact["value"])
            if fact["id"] == "mappings":
                return str(fact["value"][0]["options"][f"{value:g}"]["text"])
    return f"{value:g}"


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for edge in axes.spines.values():
        edge.set_visible(False)


def _human(value: float, unit: str) -> str:
    """Return the value with its unit, as Grafana shows it, nearly."""
    if math.isnan(value):
        return "-"
    if unit == "percentunit":
        return f"{value:.0%}"
    if unit == "s":
        return f"{value * 1000:.3g} ms" if 0 < abs(value) < 1 else f"{value:.3g} s"
    suffix = {"Bps": "B/s", "bytes": "B", "cps": "c/s"}.get(unit, "")
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.3g} {letter}{suffix}".strip()
    return f"{value:.3g} {suffix}".strip()
