"""The tree of errors: complete, documented, with stable codes."""

import re

import pytest

from tenantproxy import errors
from tenantproxy.errors import DocumentError, Problem, TenantProxyError


def tree(root=TenantProxyError):
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


def test_the_outline_at_the_top_names_every_error():
    outlined = re.findall(r"\* (\w+)", errors.__doc__)
    ours = {error.__name__ for error in tree() if error.__module__ == errors.__name__}
    assert set(outlined) == ours


@pytest.mark.parametrize("error", list(tree()), ids=lambda error: error.__name__)
def test_every_error_has_a_code_a_status_and_a_blame(error):
    assert re.fullmatch(r"[a-z_]+", error.code)
    assert 400 <= error.http_status < 600
    assert error.blame in ("user", "environment", "us")


def test_a_problem_reads_as_place_path_message_and_hint():
    problem = Problem("bad", path="a.b", file="f.yaml", line=3, column=5, hint="do this")
    assert str(problem) == "f.yaml:3:5: a.b: bad (do this)"
    assert str(Problem("bad")) == "bad"


def test_a_document_error_carries_every_problem():
    error = DocumentError((Problem("one"), Problem("two")))
    assert str(error) == "one; two"
