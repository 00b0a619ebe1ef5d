"""Writes the dashboards as JSON, and copies for the chart: `make docs`. A test sees to it."""

from __future__ import annotations

from pathlib import Path

from grafana_foundation_sdk.builders import dashboard as builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.canary import canary
from grafana.fleet import fleet
from grafana.idle import idle
from grafana.tenant import tenant

FOLDER = Path(__file__).parent
CHART = FOLDER.parent / "helm" / "tenantproxy" / "files"
"""A chart cannot reach outside its folder: it gets copies."""
BOARDS = {"fleet": fleet, "tenant": tenant, "canary": canary, "idle-and-wake": idle}
RULES = Path("rules", "tenantproxy.yaml")


def generated() -> dict[Path, str]:
    """Return what each file must hold."""
    encoder = JSONEncoder(sort_keys=True, indent=2)
    texts = {
        Path("dashboards", f"{name}.json"): f"{encoder.encode(_numbered(make()))}\n"
        for name, make in BOARDS.items()
    }
    ours = {FOLDER / name: text for name, text in texts.items()}
    rules = {RULES: (FOLDER / RULES).read_text(encoding="utf-8")}
    return ours | {CHART / name: text for name, text in (texts | rules).items()}


def _numbered(made: builder.Dashboard) -> Dashboard:
    """Give each panel a number of its own: links to a panel and pictures of it go by that."""
    board = made.build()
    for at, panel in enumerate(board.panels or (), start=1):
        panel.id_val = at
    for variable in board.templating.list_val or ():
        # Of interval variables only; Grafana's schema refuses them in others.
        variable.auto = variable.auto_min = variable.auto_count = None
    return board


def main() -> None:
    """Write every file."""
    for path, text in generated().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
