"""Errors as a person reads them."""

from tenantproxy.cli.failures import lines
from tenantproxy.errors import DocumentError, PortTaken, Problem


def test_an_error_is_one_line_and_its_hint_another():
    assert list(lines(PortTaken("port 1 is taken", hint="take another"))) == [
        "error: port 1 is taken",
        "hint: take another",
    ]
    assert list(lines(PortTaken("port 1 is taken"))) == ["error: port 1 is taken"]


def test_every_problem_of_a_document_is_a_line_with_its_place():
    problems = (
        Problem("is no port", "tenants.a", "f.yaml", 3, 7, "write a number"),
        Problem("is unknown", "tenants.b", "f.yaml", 4, 1),
    )
    assert list(lines(DocumentError(problems))) == [
        "f.yaml:3:7: tenants.a: is no port (write a number)",
        "f.yaml:4:1: tenants.b: is unknown",
        "error: refused: 2 problems",
    ]


def test_a_group_of_errors_tells_them_all():
    group = ExceptionGroup("several", [PortTaken("one"), ExceptionGroup("", [PortTaken("two")])])
    assert list(lines(group)) == ["error: one", "error: two"]


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    try:
        (tmp_path / "none").read_text()
    except OSError as error:
        assert list(lines(error)) == [f"error: {tmp_path / 'none'}: No such file or directory"]
