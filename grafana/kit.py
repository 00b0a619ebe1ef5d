"""The few shapes that our dashboards are made of, in the words of grafana-foundation-sdk.

Every panel has a title, a sentence that says how to read it, a unit and at
least one query. Nothing here knows a metric.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.models import common as c
from grafana_foundation_sdk.models import dashboard as m
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

TAG = "tenantproxy"
SOURCE = m.DataSourceRef(type_val="prometheus", uid="${datasource}")
GREEN, ORANGE, RED, BLUE, GREY = "green", "orange", "red", "blue", "#8e8e8e"


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL query. `legend` names its series, `{{label}}` is filled in by Grafana."""

    expr: str
    legend: str = ""
    instant: bool = False
    """Only the value of now, as a line of a table."""

    def build(self, at: int) -> prometheus.Dataquery:
        made = prometheus.Dataquery().expr(self.expr).ref_id(chr(ord("A") + at))
        made = made.datasource(SOURCE).legend_format(self.legend or "__auto")
        if self.instant:
            return made.instant().format(PromQueryFormat.TABLE)
        return made.range()


Panel = TypeVar("Panel", timeseries.Panel, stat.Panel, statetimeline.Panel, table.Panel)
Steps = Sequence[tuple[float | None, str]]
"""Thresholds: from this value on, that colour; the first has None."""


def series(
    title: str,
    says: str,
    unit: str,
    *queries: Query,
    stacked: bool = False,
    span: int = 12,
    most: float | None = None,
    dashed: str | None = None,
    colours: Mapping[str, str] | None = None,
) -> timeseries.Panel:
    """Return curves over time, from 0 up. Series whose name fits `dashed` are drawn so.

    `colours`: name of a series -> its colour; others take the next of Grafana's.
    """
    panel = _framed(timeseries.Panel(), title, says, unit, queries, span).min(0).fill_opacity(10)
    panel = panel.line_width(1).show_points(c.VisibilityMode.NEVER)
    panel = panel.legend(
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(c.LegendDisplayMode.TABLE)
        .placement(c.LegendPlacement.BOTTOM)
        .calcs(["lastNotNull", "max"])
    )
    panel = panel.tooltip(
        common.VizTooltipOptions().mode(c.TooltipDisplayMode.MULTI).sort(c.SortOrder.DESCENDING)
    )
    if most is not None:
        panel = panel.max(most)
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(c.StackingMode.NORMAL))
        panel = panel.fill_opacity(40)
    if dashed is not None:
        style = {"fill": "dash", "dash": [8, 8]}
        value = [m.DynamicConfigValue("custom.lineStyle", style)]
        panel = panel.override_by_regexp(dashed, value)
    for name, colour in (colours or {}).items():
        fixed = {"mode": m.FieldColorModeId.FIXED.value, "fixedColor": colour}
        panel = panel.override_by_name(name, [m.DynamicConfigValue("color", fixed)])
    return panel


def number(
    title: str,
    says: str,
    unit: str,
    query: Query,
    *,
    steps: Steps = ((None, BLUE),),
    words: Mapping[str, tuple[str, str]] | None = None,
    span: int = 4,
    height: int = 4,
) -> stat.Panel:
    """Return one number, that of now. `words`: value -> (text, colour)."""
    now = replace(query, instant=True)
    panel = _framed(stat.Panel(), title, says, unit, (now,), span).height(height)
    panel = panel.thresholds(_steps(steps)).color_scheme(_by_steps())
    # No curve behind it, and no value of some time ago: what is gone is "no data".
    panel = panel.graph_mode(c.BigValueGraphMode.NONE).no_value("no data")
    panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    return panel.mappings([_words(words)]) if words else panel


def timeline(
    title: str, says: str, query: Query, words: Mapping[str, tuple[str, str]], *, span: int = 24
) -> statetimeline.Panel:
    """Return a band for each series, in the colour and with the word of its value."""
    panel = _framed(statetimeline.Panel(), title, says, "none", (query,), span)
    panel = panel.mappings([_words(words)]).merge_values(True)
    return panel.show_value(c.VisibilityMode.AUTO).row_height(0.85)


def rows(
    title: str,
    says: str,
    *queries: Query,
    names: Mapping[str, str],
    units: Mapping[str, str],
    links: Mapping[str, str] | None = None,
    words: Mapping[str, Mapping[str, tuple[str, str]]] | None = None,
    span: int = 24,
    height: int = 8,
) -> table.Panel:
    """Return a table joined by labels.

    `names` gives labels and values (`Value #A` of the first query) their headings, in order.
    `units` and `links` are by heading; a link may hold `${__data.fields.HEADING}`.
    """
    panel = _framed(table.Panel(), title, says, "none", queries, span).height(height)
    panel = panel.with_transformation(m.DataTransformerConfig("merge", options={}))
    order = {name: at for at, name in enumerate(names)}
    panel = panel.with_transformation(
        m.DataTransformerConfig(
            "organize",
            options={
                "excludeByName": {"Time": True, "Value": True},
                "indexByName": order,
                "renameByName": dict(names),
            },
        )
    )
    for heading, unit in units.items():
        panel = panel.override_by_name(heading, [m.DynamicConfigValue("unit", unit)])
    for heading, url in (links or {}).items():
        link = {"title": "Open", "url": url}
        panel = panel.override_by_name(heading, [m.DynamicConfigValue("links", [link])])
    for heading, mapping in (words or {}).items():
        shown = [_words(mapping).to_json()]
        panel = panel.override_by_name(heading, [m.DynamicConfigValue("mappings", shown)])
    return panel


def board(
    uid: str,
    title: str,
    says: str,
    *,
    links: Mapping[str, str],
    variables: Sequence[Any] = (),
    refresh: str = "30s",
) -> dashboard.Dashboard:
    """Return an empty dashboard with the variable for the data source and links to others.

    `links`: title -> address, which takes the chosen time along.
    """
    made = dashboard.Dashboard(title).uid(uid).description(says).tags([TAG]).readonly()
    made = made.time("now-1h", "now").timezone("browser").refresh(refresh)
    made = made.tooltip(m.DashboardCursorSync.CROSSHAIR)
    for name, url in links.items():
        link = dashboard.DashboardLink(name).type(m.DashboardLinkType.LINK).url(url)
        made = made.link(link.icon("dashboard").keep_time(True))
    source = dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
    for variable in (source, *variables):
        made = made.with_variable(variable)
    return made


def choice(name: str, label: str, query: str, *, many: bool = False) -> dashboard.QueryVariable:
    """Return a variable filled by `label_values(...)`; `many` adds All, which it begins with."""
    made = dashboard.QueryVariable(name).label(label).datasource(SOURCE).query(query)
    made = made.refresh(m.VariableRefresh.ON_TIME_RANGE_CHANGED)
    made = made.sort(m.VariableSort.ALPHABETICAL_ASC)
    if many:
        made = made.multi(True).include_all(True).all_value(".*")
        made = made.current(m.VariableOption(text="All", value="$__all", selected=True))
    return made


def marks(name: str, expr: str, colour: str) -> dashboard.AnnotationQuery:
    """Return annotations: a line where the query has a value."""
    made = dashboard.AnnotationQuery().name(name).datasource(SOURCE).expr(expr)
    return made.enable(True).icon_color(colour)


def _framed(
    panel: Panel, title: str, says: str, unit: str, queries: Sequence[Query], span: int
) -> Panel:
    panel = panel.title(title).description(says).unit(unit).datasource(SOURCE)
    panel = panel.span(span).height(8)
    for at, query in enumerate(queries):
        panel = panel.with_target(query.build(at))
    return panel


def _steps(steps: Steps) -> dashboard.ThresholdsConfig:
    made = [m.Threshold(value, colour) for value, colour in steps]
    return dashboard.ThresholdsConfig().mode(m.ThresholdsMode.ABSOLUTE).steps(made)


def _by_steps() -> dashboard.FieldColor:
    return dashboard.FieldColor().mode(m.FieldColorModeId.THRESHOLDS)


def _words(words: Mapping[str, tuple[str, str]]) -> m.ValueMap:
    return m.ValueMap(
        options={
            value: m.ValueMappingResult(text=text, color=colour, index=at)
            for at, (value, (text, colour)) in enumerate(words.items())
        }
    )
