"""Writes what comes from code in docs/ and in the chart: `make docs`. A test sees it was run."""

from __future__ import annotations

from pathlib import Path

from tenantproxy.metrics.docs import markdown
from tenantproxy.model.lifecycle import diagram
from tools import chart

DOCS = Path(__file__).parent.parent / "docs"
BEGIN, END = "<!-- states:begin -->", "<!-- states:end -->"


def generated() -> dict[Path, str]:
    """Return what each page with generated parts, and each generated file, must be."""
    architecture = DOCS / "architecture.md"
    metrics = markdown()
    return {
        architecture: _with_diagram(architecture.read_text(encoding="utf-8")),
        DOCS / "metrics.md": metrics if metrics.endswith("\n") else f"{metrics}\n",
        **chart.generated(),
    }


def _with_diagram(page: str) -> str:
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n```mermaid\n{diagram()}\n```\n\n{END}{tail}"


def main() -> None:
    """Write every page."""
    for path, text in generated().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
