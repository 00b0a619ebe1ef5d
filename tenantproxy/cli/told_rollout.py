"""What is told of a rollout: where it is and why, its steps, both sides, and what judges say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.text import Text

from tenantproxy.cli import human, measures
from tenantproxy.cli.output import Item, colour_of
from tenantproxy.cli.sections import Row, Section

_MARKS = {
    "done": ("[x]", "green"),
    "current": ("[>]", "yellow"),
    "stopped": ("[!]", "red"),
    "ahead": ("[ ]", ""),
}
_RESULTS = {"passed": "green", "failed": "red", "no_data": "yellow", "inconclusive": "yellow"}
_LAST = {"promoting": "current", "succeeded": "done"}


def told_rollout(item: Item, now_s: float) -> list[Section]:
    """Return the sections about a rollout, the most wanted first."""
    state = Text(item["state"], style=colour_of(item["state"]) or "")
    line = (name_of_rollout(item), f"{item['from']} -> {item['to']}", state, where(item))
    sections = [
        Section("", [line]),
        Section("", _head(item, now_s)),
        Section("Steps", _steps(item, now_s)),
    ]
    if item["commit"]:
        rows = [(line,) for line in item["commit"].splitlines()]
        title = "To commit, so that the document says what is in force"
        sections.append(Section(title, rows))
    if item["checks"]:
        looks = human.counted(item["looks"], "look")
        sections.append(Section(f"Checks ({looks} in this step)", _checks(item)))
    return [*sections, Section("Both sides since the step began", _sides(item))]


def told_rollout_shortly(item: Item, now_s: float) -> list[Section]:
    """Return what matters most, in half the lines: for a terminal that has no room for all.

    Steps are in one row, sides come before checks, of the sides only those values that are
    judged are told, and of the checks only those that did not pass.
    """
    state = Text(item["state"], style=colour_of(item["state"]) or "")
    line = (name_of_rollout(item), f"{item['from']} -> {item['to']}", state, where(item))
    told = {"Why:", "Cause:", "Next:", "Waits for:", "Weight:", "Rollback:"}
    head: list[Row] = [row for row in _head(item, now_s) if row[0] in told]
    sections = [Section("", [line]), Section("", [*head, ("Steps:", _steps_in_a_row(item))])]
    judged = {check["name"] for check in item["checks"]}
    rows = [row for row in _sides(item) if not _is_value(item, row) or row[0] in judged]
    sections.append(Section("Both sides since the step began", rows))
    if bad := [check for check in item["checks"] if check["result"] not in {None, "passed"}]:
        sections.append(Section("Checks that did not pass", _checks({**item, "checks": bad})))
    return sections


def name_of_rollout(item: Item) -> str:
    """Return `acme/web`."""
    return f"{item['tenant']}/{item['listener']}"


def where(item: Item) -> str:
    """Return `step 2 of 4: 25% for 5m`, or how far it came."""
    step, steps = item["step"], item["steps"]
    if all(one["state"] == "done" for one in steps):
        return f"all of {human.counted(len(steps), 'step')} done"
    if not step:
        return f"before step 1 of {len(steps)}"
    return f"step {step} of {len(steps)}: {plan(steps[step - 1])}"


def plan(step: Item) -> str:
    """Return what a step does: `25% for 5m`, `pause`, `experiment for 5m`."""
    match step["kind"]:
        case "pause":
            return "pause until resumed"
        case "experiment":
            return f"experiment for {step['hold']}"
    return f"{step['weight']}% for {step['hold']}"


def _head(item: Item, now_s: float) -> list[Row]:
    rows: list[Row] = [("Why:", human.text(item["reason"]))]
    if item["cause"] and item["cause"] != item["reason"]:
        rows.append(("Cause:", item["cause"]))
    rows.append(("Since:", f"{human.since(item['since'], now_s)} in this state"))
    if following := _next(item, now_s):
        rows.append(("Next:", following))
    if item["waits_for"]:
        rows.append(("Waits for:", item["waits_for"]))
    wanted, seen = item["weight"], item["weight_seen"]
    rows.append(("Weight:", f"{wanted}% wanted, {measures.percent(seen)} seen"))
    rows.append(("Port:", human.text(item["port"])))
    if preview := item["preview"]:
        rows.append(("Preview:", _preview(f"{item['tenant']}/{preview['listener']}", preview)))
    if item["rollback_until"]:
        left = human.until(item["rollback_until"], now_s)
        rows.append(("Rollback:", f"`rollout rollback {name_of_rollout(item)}` for {left} more"))
    if item["dry_run"]:
        rows.append(("Dry run:", "steps are taken, and no check ends it"))
    return rows


def _preview(name: str, preview: Item) -> str:
    told = f"{human.text(preview['port'])} ({name}, {human.text(preview['state'])})"
    if preview["state"] == "failed":
        return f"{told}: `describe listener {name}` says why"
    return told


def _next(item: Item, now_s: float) -> str:
    """Return what comes next, and when or by whom; what it waits for is told beside it."""
    name = name_of_rollout(item)
    match item["state"]:
        case "paused" if not item["waits_for"]:
            return f"`rollout resume {name}`, `promote` or `abort`"
        case "waiting" if not item["waits_for"]:
            return f"`rollout start {name}`"
        case "running" | "promoting" if item["step_until"]:
            left = human.until(item["step_until"], now_s)
            soon = "as soon as nothing holds it back"
            return soon if left == "0s" else f"in {left} at the earliest"
    return ""


def _steps(item: Item, now_s: float) -> list[Row]:
    rows: list[Row] = []
    for number, step in enumerate(item["steps"], start=1):
        on = step["state"] == "current" and item["step_since"] is not None
        gone = f"{human.since(item['step_since'], now_s)} of it gone" if on else ""
        rows.append((_mark(step["state"]), number, plan(step), gone))
    last = _LAST.get(item["state"], "ahead")
    return [*rows, (_mark(last), "", "100%, promotion", "")]


def _steps_in_a_row(item: Item) -> Text:
    """Return `[x] 5%  [>] 25%  [ ] pause  [ ] 100%`; marks and steps are not torn apart."""
    short = {"pause": "pause", "experiment": "experiment"}
    shown = [
        (step["state"], short.get(step["kind"]) or f"{step['weight']}%") for step in item["steps"]
    ]
    shown.append((_LAST.get(item["state"], "ahead"), "100%"))
    parts = [Text.assemble(_mark(state), f"\N{NO-BREAK SPACE}{what}") for state, what in shown]
    return Text("  ").join(parts)


def _is_value(item: Item, row: Row) -> bool:
    return row[0] in {**item["stable"]["values"], **item["canary"]["values"]}


def _mark(state: str) -> Text:
    mark, style = _MARKS[state]
    return Text(mark, style=style)


def _sides(item: Item) -> list[Row]:
    stable, canary = item["stable"], item["canary"]
    sides = (stable, canary)
    rows: list[Row] = [
        ("", f"{stable['upstream']} (stable)", f"{canary['upstream']} (canary)", ""),
        ("weight", *(measures.percent(one["weight"]) for one in sides), ""),
        ("seen", *(measures.percent(one["seen"]) for one in sides), ""),
        ("connections now", *(one["connections"] for one in sides), ""),
        ("opened", *(one["opened"] for one in sides), ""),
    ]
    signals = {check["name"]: check["signal"] for check in item["checks"] if check["signal"]}
    bounds = _bounds(item.get("spec") or {})
    failed = {check["name"] for check in item["checks"] if check["result"] == "failed"}
    for name in {**stable["values"], **canary["values"]}:
        signal = signals.get(name, name)
        shown = [measures.measure(one["values"].get(name), signal) for one in sides]
        theirs = Text(shown[1], style="red" if name in failed else "")
        rows.append((name, shown[0], theirs, bounds.get(name, "")))
    return rows


def _bounds(spec: Mapping[str, Item]) -> dict[str, str]:
    """Return check -> `at most 1%, 2% over stable`, for those of the proxy's own signals."""
    found = {}
    for check in (spec.get("analysis") or {}).get("checks") or ():
        if not check.get("signal"):
            continue
        most, over = check.get("max"), check.get("over_stable")
        words = [f"at most {most}"] if most is not None else []
        words += [f"at most {over} over stable"] if over is not None else []
        found[check.get("name") or check["signal"]] = ", ".join(words)
    return found


def _checks(item: Item) -> Sequence[Row]:
    return [
        (
            Text(check["result"] or "-", style=_RESULTS.get(check["result"], "")),
            check["name"],
            human.counted(check["failures"], "failure") if check["failures"] else "",
            ("dry run: " if check["dry_run"] else "") + human.text(check["reason"]),
        )
        for check in item["checks"]
    ]
