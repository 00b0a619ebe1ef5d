"""Files as text, and files that are none."""

import os

import pytest

from tenantproxy.config import text
from tenantproxy.config.text import read_text
from tenantproxy.errors import DocumentError


def refused(path):
    with pytest.raises(DocumentError) as caught:
        read_text(path)
    (problem,) = caught.value.problems
    assert problem.hint
    assert problem.file == str(path)
    return problem


def test_text_comes_without_a_byte_order_mark(tmp_path):
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbfversion: 1\n")
    assert read_text(tmp_path / "a") == "version: 1\n"


def test_a_missing_file_and_a_folder_are_problems(tmp_path):
    assert "no such file" in refused(tmp_path / "a").message
    assert "this is a folder" in refused(tmp_path).message
    assert "cannot be read" in refused(tmp_path / ("x" * 300)).message
    assert "cannot be read" in refused(tmp_path / "nul\0").message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_a_problem(tmp_path):
    (tmp_path / "a").write_text("x")
    (tmp_path / "a").chmod(0)
    assert "may not be read" in refused(tmp_path / "a").message


def test_bytes_that_are_not_utf_8_are_named_with_their_place(tmp_path):
    (tmp_path / "a").write_bytes("version: 1\nü: ".encode() + b"\xff\n")
    problem = refused(tmp_path / "a")
    assert (problem.line, problem.column) == (2, 4)
    assert "0xff is not UTF-8" in problem.message


def test_a_file_too_large_to_be_a_document_is_not_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "MAX_BYTES", 10)
    (tmp_path / "a").write_text("x" * 10)
    assert read_text(tmp_path / "a") == "x" * 10
    (tmp_path / "a").write_text("x" * 11)
    assert "larger than" in refused(tmp_path / "a").message
