"""The page of metrics names them all."""

from tenantproxy.metrics.docs import markdown
from tenantproxy.metrics.names import METRICS


def test_every_metric_has_a_row_with_type_and_labels():
    rows = [line for line in markdown().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == [metric.name for metric in METRICS]
    for row, metric in zip(rows, METRICS, strict=True):
        assert f"| {metric.kind} |" in row
        assert all(f"`{label}`" in row for label in metric.labels)
