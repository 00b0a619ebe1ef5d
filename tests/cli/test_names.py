"""Kinds by any of their names, and TENANT/NAME."""

import click
import pytest

from tenantproxy.cli.names import ALIASES, complete_kind, in_tenant, kind_of


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ("li", "listeners"),
        ("Listener", "listeners"),
        ("tn", "tenants"),
        ("up", "upstreams"),
        ("ro", "rollouts"),
        ("rollout", "rollouts"),
    ],
)
def test_short_and_singular_names_do(given, kind):
    assert kind_of(given) == kind


def test_no_name_means_two_kinds():
    names = [name for kind, others in ALIASES.items() for name in (kind, *others)]
    assert len(names) == len(set(names))


def test_a_name_in_a_tenant_has_two_parts():
    assert in_tenant("acme/web") == ("acme", "web")
    for wrong in ("acme", "acme/", "/web", "a/b/c", ""):
        with pytest.raises(click.BadParameter):
            in_tenant(wrong)


def test_shells_are_offered_kinds():
    assert complete_kind(None, None, "l") == ["listeners"]
