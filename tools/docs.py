"""Writes what comes from code in docs/ and in the chart: `make docs`. A test sees it was run."""

from __future__ import annotations

from pathlib import Path

from tenantproxy.metrics.docs import markdown
from tenantproxy.model import lifecycle, rollout_phases
from tools import chart

DOCS = Path(__file__).parent.parent / "docs"
DIAGRAMS = {"states": lifecycle.diagram, "rollout": rollout_phases.diagram}
"""Name of the markers around each diagram in the page on architecture, and what draws it."""


def generated() -> dict[Path, str]:
    """Return what each page with generated parts, and each generated file, must be."""
    architecture = DOCS / "architecture.md"
    metrics = markdown()
    return {
        architecture: _with_diagrams(architecture.read_text(encoding="utf-8")),
        DOCS / "metrics.md": metrics if metrics.endswith("\n") else f"{metrics}\n",
        **chart.generated(),
    }


def _with_diagrams(page: str) -> str:
    for name, draw in DIAGRAMS.items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        head, _, rest = page.partition(begin)
        _, _, tail = rest.partition(end)
        page = f"{head}{begin}\n\n```mermaid\n{draw()}\n```\n\n{end}{tail}"
    return page


def main() -> None:
    """Write every page."""
    for path, text in generated().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
