"""Tables of what was measured, for a terminal and for the page: the same words in both."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from benchmarks.peers import BASELINE, PEERS
from benchmarks.results import Family, Metric, Spread, Target, Workload


def number(value: float) -> str:
    """Write three digits, and thousands whole."""
    if math.isinf(value):
        return "never"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.3f}"


def ratio(spread: Spread) -> str:
    """Write the median of the pairs, and both ends."""
    if spread.low == spread.high:
        return f"{spread.median:.2f}"
    return f"{spread.median:.2f} ({spread.low:.2f}-{spread.high:.2f})"


def reached(workload: Workload, metric: Metric, target: Target) -> tuple[Spread, bool] | None:
    """Return what is held against the target, and whether it is reached; None if not measured."""
    spread = (
        workload.ratio(target.peer, metric.key, BASELINE)
        if target.of == "ratio"
        else workload.spread(target.peer, metric.key)
    )
    if spread is None:
        return None
    if metric.more_is_better:
        return spread, spread.median >= target.limit
    return spread, spread.median <= target.limit


def limit(metric: Metric, target: Target) -> str:
    return f"{'>=' if metric.more_is_better else '<='} {target.limit:g}"


def verdict(workload: Workload, metric: Metric, peer: str) -> str:
    """Return `ok` or `MISSED` with the target, or nothing where there is none."""
    for target in metric.targets:
        if target.peer == peer and (found := reached(workload, metric, target)) is not None:
            return f"{'ok' if found[1] else 'MISSED'}, {limit(metric, target)}"
    return ""


def targets(families: Iterable[Family]) -> str:
    """Return one table of everything that has a target."""
    lines = ["| | | measured | target | |", "|---|---|--:|--:|---|"]
    for family in families:
        for workload in family.workloads:
            for metric in workload.metrics:
                for target in metric.targets:
                    found = reached(workload, metric, target)
                    if found is None:
                        continue
                    is_ratio = target.of == "ratio"
                    cells = (
                        f"{workload.title}: {metric.title}{', of HAProxy' * is_ratio}",
                        title(target.peer),
                        ratio(found[0]) if is_ratio else number(found[0].median),
                        limit(metric, target),
                        "ok" if found[1] else "MISSED",
                    )
                    lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def rows(workload: Workload) -> tuple[list[str], list[list[str]]]:
    """Return the head and the rows of the workload's table."""
    head = [""]
    for metric in workload.metrics:
        head.append(metric.title)
        if metric.ratio:
            head.append("of HAProxy's")
    head.append("notes")
    return head, [[*_cells(workload, peer)] for peer in ordered(workload.peers())]


def ordered(peers: Iterable[str]) -> list[str]:
    """Return them in the order of the tables; what is no peer comes last."""
    order = list(PEERS)
    return sorted(peers, key=lambda one: order.index(one) if one in order else len(order))


def _cells(workload: Workload, peer: str) -> list[str]:
    cells = [title(peer)]
    for metric in workload.metrics:
        value = workload.spread(peer, metric.key)
        cells.append(number(value.median) if value else "")
        said = verdict(workload, metric, peer)
        if metric.ratio:
            paired = workload.ratio(peer, metric.key, BASELINE)
            text = ratio(paired) if paired and peer != BASELINE else ""
            cells.append(f"{text} [{said}]" if said else text)
        elif said:
            cells[-1] += f" [{said}]"
    return [*cells, "; ".join(workload.notes(peer))]


def title(peer: str) -> str:
    """Return how a table calls it; what is no peer keeps its name."""
    return PEERS[peer].title if peer in PEERS else peer


def tables(family: Family) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Give title, head and rows of each table; points of a line share one for each metric."""
    single = [workload for workload in family.workloads if workload.x is None]
    for workload in single:
        yield (workload.title, *rows(workload))
    lines: dict[tuple[Metric, ...], list[Workload]] = {}
    for workload in family.workloads:
        if workload.x is not None:
            lines.setdefault(workload.metrics, []).append(workload)
    for metrics, points in lines.items():
        peers = ordered({peer for point in points for peer in point.peers()})
        for metric in metrics:
            head = ["", *(point.title for point in points)]
            body = [
                [title(peer), *(_point(point, peer, metric.key) for point in points)]
                for peer in peers
            ]
            yield metric.title, head, body
        for point in points:
            for peer in peers:
                if notes := point.notes(peer):
                    yield f"{title(peer)}, {point.title}: {'; '.join(notes)}", [], []


def _point(workload: Workload, peer: str, key: str) -> str:
    spread = workload.spread(peer, key)
    return number(spread.median) if spread else ""


def text(family: Family) -> str:
    """Return the tables for a terminal."""
    lines = []
    for heading, head, body in tables(family):
        lines += ["", f"{heading}{' (quick: it says little)' if family.quick and head else ''}"]
        widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
        for row in (head, *body) if head else ():
            cells = [
                cell.rjust(width)
                if 0 < at < len(row) - (head[-1] == "notes")
                else cell.ljust(width)
                for at, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join([*lines, *_told_at_the_end(family)])


def markdown(family: Family) -> str:
    """Return the tables for the page."""
    lines: list[str] = []
    for heading, head, body in tables(family):
        if not head:
            lines += [f"{heading}.", ""]
            continue
        last = "---|" if head[-1] == "notes" else "--:|"
        lines += [f"**{heading}**", "", "| " + " | ".join(head) + " |"]
        lines.append("|---|" + "--:|" * (len(head) - 2) + last)
        lines += ["| " + " | ".join(row) + " |" for row in body]
        lines.append("")
    return "\n".join([*lines, *_told_at_the_end(family)]).rstrip()


def _told_at_the_end(family: Family) -> list[str]:
    said = family.machine
    # "kernel" is Linux's version here, and the relay is of the same version as ourselves.
    peers = [key for key in PEERS if key in said and key != "kernel"]
    versions = ", ".join(f"{title(key)} {said[key]}" for key in peers)
    run = (
        f"Linux {said['kernel']}, Python {said['python']}, {versions}; "
        f"up to {said['rounds']} rounds of {said['seconds']} s."
    )
    return [
        "",
        run,
        *(f"Not measured: {title(one)}: {why}." for one, why in family.skipped.items()),
    ]
