"""Kinds of policy are known by name, once."""

import pytest

from tenantproxy.model.spec import PolicySpec
from tenantproxy.policy.api import Kinds
from tenantproxy.policy.kinds import KINDS
from tenantproxy.policy.kinds.idle import Idle


def test_a_document_becomes_the_policy_of_its_kind():
    made = KINDS.make(PolicySpec("p", "idle", 60.0, "sleep"))
    assert isinstance(made, Idle)
    assert made.name == "p"


def test_a_kind_is_defined_once():
    kinds = Kinds()
    kinds.add("idle", Idle.of)
    with pytest.raises(ValueError, match="defined twice"):
        kinds.add("idle", Idle.of)


def test_an_unknown_kind_is_an_error_of_ours():
    with pytest.raises(KeyError):
        Kinds().make(PolicySpec("p", "idle", 60.0, "sleep"))
