"""`demo`: every line that it prints works as printed."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tenantproxy.cli.demo import Ports, document, free_ports, program, suggestions
from tenantproxy.config.document import parse_document
from tests.cli.conftest import ROOT

pytestmark = pytest.mark.timeout(120)


class Demo:
    """`tenantproxy demo` in a process of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.out, self.err = folder / "out", folder / "err"
        self.folder = folder / "tmp"
        self.folder.mkdir()
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tenantproxy", "demo", *arguments],
                cwd=ROOT,
                env={**os.environ, "TMPDIR": str(self.folder)},
                stdout=out,
                stderr=err,
            )

    def lines(self) -> list[str]:
        """Wait for what it prints when it is ready."""
        deadline = time.monotonic() + 20
        while not self.out.read_text().endswith("get events\n"):
            assert self.process.poll() is None, self.err.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return self.out.read_text().splitlines()

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        try:
            return self.process.wait(10)
        finally:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def demo(tmp_path):
    made = Demo(tmp_path)
    yield made
    if made.process.poll() is None:
        made.end()


def shell(line: str) -> str:
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, (line, done.stdout, done.stderr)
    return done.stdout


def test_every_line_works_as_printed_and_ctrl_c_leaves_nothing(demo):
    lines = demo.lines()
    assert lines[0].startswith("curl http://127.0.0.1:")
    assert lines[0].endswith("/")
    answers = {line: shell(line) for line in lines if not line.startswith("#")}
    assert answers[lines[0]].startswith(("v1 hello", "v2 hello"))
    loop = next(line for line in lines if line.startswith("for "))
    # The last run of the loop, after the split was turned round.
    counts = {name: int(n) for n, name in map(str.split, answers[loop].splitlines())}
    assert abs(counts["v2"] - 90) <= 3
    described = next(text for line, text in answers.items() if " describe " in line)
    assert "first connection" in described
    listeners = next(text for line, text in answers.items() if " get listeners demo/nap" in line)
    assert "asleep" in listeners
    assert demo.end() == 0
    assert list(demo.folder.iterdir()) == []
    assert "Traceback" not in demo.err.read_text()


def test_it_ends_by_itself_when_told_so(tmp_path):
    demo = Demo(tmp_path, "--for", "0.2")
    try:
        assert demo.process.wait(20) == 0
    finally:
        demo.process.kill()
        demo.process.wait()
    assert demo.out.read_text().startswith("curl ")
    assert list(demo.folder.iterdir()) == []


def test_numbers_that_are_taken_are_passed_over():
    first = free_ports()
    taken = [socket.create_server(("127.0.0.1", port)) for port in (first.admin, first.web)]
    try:
        second = free_ports()
    finally:
        for one in taken:
            one.close()
    numbers = (second.admin, second.metrics, second.web, second.nap)
    assert len(set(numbers)) == 4
    assert {first.admin, first.web}.isdisjoint(numbers)


@pytest.mark.parametrize("ports", [Ports(9900, 9901, 20_000, 20_001), Ports(1, 2, 40_000, 50_000)])
def test_the_document_is_valid(ports):
    tenant = parse_document(document(ports, 5_001, 5_002)).tenants["demo"]
    assert {one.port for one in tenant.listeners.values()} == {ports.web, ports.nap}


def test_the_server_is_named_only_where_it_is_not_the_usual_one():
    usual = list(suggestions(Ports(9900, 9901, 1, 2), "tenantproxy"))
    other = list(suggestions(Ports(9990, 9901, 1, 2), "tenantproxy"))
    assert usual[0] == other[0] == "curl http://127.0.0.1:1/"
    assert "tenantproxy get events" in usual
    assert "tenantproxy --server http://127.0.0.1:9990 get events" in other


def test_the_program_is_named_so_that_any_shell_finds_it(monkeypatch, tmp_path):
    folder = tmp_path / "a b"
    folder.mkdir()
    script = folder / "tenantproxy"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(script)])
    assert program() == f"'{script}'"
    monkeypatch.setenv("PATH", str(folder))
    assert program() == "tenantproxy"
    monkeypatch.setattr(sys, "argv", ["-m"])
    assert program().endswith(" -m tenantproxy")
