"""Problems: which model reads what, and in which order they come."""

from tenantproxy.config.check_models import CheckDoc, WebhookDoc
from tenantproxy.config.explain import dotted, error_of, model_at, refusal
from tenantproxy.config.health_models import HealthDoc, HttpCheckDoc
from tenantproxy.config.models import (
    DocumentDoc,
    IdleDoc,
    ListenerDoc,
    TenantDoc,
)
from tenantproxy.config.proxy_models import AdminDoc
from tenantproxy.config.rollout_models import RolloutDoc, StepDoc
from tenantproxy.config.upstream_models import EndpointDoc, UpstreamDoc
from tenantproxy.errors import DocumentError, NotSupportedYet, Problem


def test_every_mapping_knows_the_model_that_reads_it():
    tenant = ("tenants", "acme")
    for path, model in {
        (): DocumentDoc,
        ("proxy", "admin"): AdminDoc,
        tenant: TenantDoc,
        (*tenant, "upstreams", "web"): UpstreamDoc,
        (*tenant, "upstreams", "web", "endpoints", 0): EndpointDoc,
        (*tenant, "upstreams", "web", "health"): HealthDoc,
        (*tenant, "upstreams", "web", "health", "http"): HttpCheckDoc,
        (*tenant, "listeners", "web"): ListenerDoc,
        (*tenant, "listeners", "web", "idle"): IdleDoc,
        (*tenant, "listeners", "web", "rollout"): RolloutDoc,
        (*tenant, "listeners", "web", "rollout", "from"): None,
        (*tenant, "listeners", "web", "rollout", "steps", 0): StepDoc,
        (*tenant, "listeners", "web", "rollout", "analysis", "checks", 1): CheckDoc,
        (*tenant, "listeners", "web", "rollout", "analysis", "checks", 1, "webhook"): WebhookDoc,
        (*tenant, "labels"): None,
        (*tenant, "labels", "x", "y"): None,
        (*tenant, "nope"): None,
        ("version", "x"): None,
    }.items():
        assert model_at(DocumentDoc, path) is model, path


def test_problems_come_by_position_and_one_for_each_place():
    second = Problem("b", line=2, column=1)
    first = Problem("a", line=1, column=5, file="own.yaml")
    again = Problem("c", line=2, column=1)
    error = refusal([second, first, again], file="t.yaml")
    assert [(p.message, p.file) for p in error.problems] == [("a", "own.yaml"), ("b", "t.yaml")]


def test_problems_without_a_place_are_all_kept():
    problems = [Problem("a", "x"), Problem("b", "x"), Problem("a", "x")]
    assert [p.message for p in refusal(problems).problems] == ["a", "b"]


def test_the_class_says_whether_a_later_version_would_do():
    later = Problem("a", code="not_supported_yet")
    assert type(error_of([later])) is NotSupportedYet
    assert type(error_of([later, Problem("b")])) is DocumentError


def test_paths_are_dotted():
    assert dotted(("a", 0, "b")) == "a.0.b"
    assert dotted(()) == ""
