"""Every error is a problem document with a stable code, and none shows our inside."""

import pytest
from structlog.testing import capture_logs

from tenantproxy import errors
from tenantproxy.admin.problems import answer, show_error
from tests.admin.conftest import hold


def subclasses(kind):
    for one in kind.__subclasses__():
        yield one
        yield from subclasses(one)


def made(kind):
    if issubclass(kind, errors.DocumentError):
        return kind((errors.Problem("wrong", "a.b", "f.yaml", 1, 2, "do so"),))
    if kind.__name__ == "MethodNotAllowed":
        return kind("no", "GET")
    if kind is errors.Unresolved:
        return kind("web.acme.svc", "NXDOMAIN")
    return kind("it is so", hint="do so")


@pytest.mark.parametrize("kind", list(subclasses(errors.TenantProxyError)), ids=lambda k: k.code)
def test_every_error_of_ours_has_a_problem_document(kind):
    response = answer(made(kind))
    assert response.status == kind.http_status
    assert response.content_type == "application/problem+json"
    shown = show_error(made(kind))
    hold(shown, "Problem")
    assert shown["type"] == f"urn:tenantproxy:problem:{kind.code}"


def test_codes_are_not_used_twice():
    codes = [kind.code for kind in subclasses(errors.TenantProxyError)]
    assert len(set(codes)) == len(codes)


def test_the_problems_of_a_document_are_all_told_with_their_place():
    shown = show_error(made(errors.DocumentError))
    assert shown["problems"] == [
        {
            "message": "wrong",
            "path": "a.b",
            "file": "f.yaml",
            "line": 1,
            "column": 2,
            "hint": "do so",
            "code": "document_invalid",
        }
    ]


async def test_an_error_that_is_not_on_purpose_is_logged_and_not_shown(api, control, monkeypatch):
    def broken():
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(control, "status", broken)
    with capture_logs() as lines:
        status, problem = await api.ask("GET", "/status")
    assert (status, problem["code"]) == (500, "internal")
    assert "hunter2" not in str(problem)
    assert "Traceback" not in str(problem)
    (line,) = [line for line in lines if line["event"] == "internal_error"]
    assert line["exc_info"]
    assert line["path"] == "/api/v1/status"


async def test_a_route_that_is_not_there_is_a_problem(api):
    status, problem = await api.ask("GET", "/nothing")
    assert (status, problem["code"]) == (404, "not_found")
    assert "openapi" in problem["hint"]


async def test_a_method_that_a_route_does_not_take_is_a_problem_that_names_those_it_does(api):
    status, problem = await api.ask("POST", "/tenants/acme")
    assert (status, problem["code"]) == (405, "method_not_allowed")
    assert api.headers["Allow"] == "DELETE, GET, HEAD, PUT"
    assert problem["hint"] == "use DELETE, GET, HEAD, PUT"
