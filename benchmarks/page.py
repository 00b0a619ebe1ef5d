"""Writes tables and plots of `docs/performance.md`: `python -m benchmarks.page`.

Between the markers `<!-- bench:NAME -->` and `<!-- bench:end -->` stands what
was measured (`targets`: everything that has a target); what is written around
them is by hand and stays.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

from benchmarks import report
from benchmarks.results import RESULTS, Family
from benchmarks.workloads.registry import FAMILIES

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
PLOTS = PAGE.parent / "performance"
_PART = re.compile(r"(<!-- bench:(?!end)([a-z-]+) -->\n).*?(<!-- bench:end -->)", re.DOTALL)


def families(folder: Path = RESULTS) -> dict[str, Family]:
    """Return what was kept of full runs."""
    return {
        name: Family.from_json(path.read_text())
        for name in FAMILIES
        if (path := folder / f"{name}.json").exists()
    }


def filled(page: str, found: dict[str, Family]) -> str:
    """Return the page with what was measured between its markers; other parts stay as they are."""

    def part(match: re.Match[str]) -> str:
        if match[2] == "targets":
            return f"{match[1]}\n{report.targets(found.values())}\n\n{match[3]}"
        if match[2] not in found:
            return match[0]
        return f"{match[1]}\n{report.markdown(found[match[2]])}\n\n{match[3]}"

    return _PART.sub(part, page)


def write() -> None:
    """Write the page, and the plots where matplotlib is installed."""
    found = families()
    PAGE.write_text(filled(PAGE.read_text(), found))
    if importlib.util.find_spec("matplotlib") is None:
        sys.stderr.write("note: matplotlib is not installed, so the plots stay as they are\n")
        return
    from benchmarks.plots import draw  # noqa: PLC0415 - only where it is installed

    draw(found, PLOTS)


if __name__ == "__main__":
    write()
