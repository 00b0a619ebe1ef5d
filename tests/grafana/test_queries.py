"""Queries are taken apart by the grammar of PromQL."""

import pytest

from grafana import queries
from grafana.queries import Asked


@pytest.mark.parametrize(
    ("expr", "sides"),
    [
        ("a > 1", ["a"]),
        ("(a == 0)", ["a"]),
        ("a > 1 and on (x) b < 2", ["a", "b"]),
        ("a < 2 or rate(b[5m]) > 0", ["a", "rate(b[5m])"]),
        ("a unless b", ["a", "b"]),
        ("absent(a)", ["a"]),
        ("a > 2 * b", ["a", "2 * b"]),
        ("a / b", ["a / b"]),
        ("sum(a > 1)", ["sum(a > 1)"]),
    ],
)
def test_what_an_alert_compares_is_found(expr, sides):
    assert [" ".join(side.split()) for side in queries.without_comparisons(expr)] == sides


def test_metrics_are_found_wherever_they_stand():
    expr = 'topk(3, sum by (x) (rate(a{b="c"}[5m])) / on (y) group_left () (d or e offset 1h))'
    assert queries.metrics(expr) == {"a", "d", "e"}


def test_labels_are_those_of_matchers_groups_and_joins():
    expr = 'sum by (x) (rate(a{b="c"}[5m])) / on (y) group_left () d'
    assert queries.labels(expr) == {"b", "x", "y"}


def test_variables_are_replaced_the_longer_name_first():
    asked = Asked("here", 'a{t="$tenant", s="${tenant}"}[$__rate_interval] $tenants')
    values = {"tenant": "acme", "tenants": "all", "__rate_interval": "1m"}
    assert asked.with_values(values) == 'a{t="acme", s="acme"}[1m] all'


def test_every_dashboard_has_queries_and_every_rule_too():
    assert {one.where.partition(":")[0] for one in queries.of_boards()} == set(queries.boards())
    assert len(list(queries.of_rules())) == len(queries.rules())
