"""Options, exit codes, and what is not imported."""

import os
import signal
import subprocess
import sys

import click
import pytest

from tenantproxy.cli import main
from tenantproxy.cli.main import COMMANDS

HEAVY = {"aiohttp", "asyncio", "pydantic", "rich", "structlog", "uvloop", "yaml"}


@pytest.mark.parametrize("arguments", [["version"], ["--help"], ["--version"], ["nonsense"], []])
def test_light_commands_import_nothing_heavy(arguments):
    code = (
        "import sys\n"
        "from tenantproxy.cli.main import root\n"
        "try:\n"
        f"    root.main({arguments!r}, prog_name='tenantproxy')\n"
        "except SystemExit:\n"
        "    pass\n"
        "print('MODULES', *sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(done.stdout.partition("MODULES ")[2].split())
    assert modules.isdisjoint(HEAVY), modules & HEAVY


def test_help_lists_every_command_and_every_command_has_help(command):
    shown = command("--help")
    assert shown.exit_code == 0
    for name, lazy in COMMANDS.items():
        assert f"  {name} " in shown.stdout
        assert lazy.help in shown.stdout
        own = command(name, "--help")
        assert own.exit_code == 0
        assert own.stdout.startswith(f"Usage: tenantproxy {name}")


def test_an_unknown_command_is_wrong_usage_and_says_what_there_is(command):
    result = command("frobnicate")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "no command 'frobnicate'" in result.stderr
    assert "describe" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["get"],
        ["get", "nothing"],
        ["get", "tenants", "-o", "xml"],
        ["sleep", "acme"],
        ["sleep", "a/b/c"],
        ["close", "acme/web", "--connections", "cut"],
        ["set", "split", "acme/web"],
        ["set", "split", "acme/web", "v1"],
        ["set", "split", "acme/web", "v1=-1"],
        ["set", "split", "acme/web", "v1=1", "v1=2"],
        ["describe", "listener"],
        ["describe", "listener", "acme"],
        ["completion", "tcsh"],
        ["run"],
        ["apply"],
    ],
)
def test_wrong_usage_exits_2_before_anything_is_asked(command, arguments):
    result = command("--server", "http://127.0.0.1:1", *arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "Usage:" in result.stderr


def test_a_bug_is_told_without_a_traceback(command, monkeypatch):
    @click.command()
    def broken():
        raise RuntimeError("surprise")

    monkeypatch.setattr("tenantproxy.cli.version.version", broken)
    result = command("version")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: internal: RuntimeError: surprise\nhint: ")
    assert "Traceback" not in result.stderr
    monkeypatch.setenv("TENANTPROXY_DEBUG", "1")
    assert "Traceback" in command("version").stderr


def test_python_m_tenantproxy_is_the_same_program():
    done = subprocess.run(
        [sys.executable, "-m", "tenantproxy", "version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("tenantproxy ")


def test_an_answer_into_a_closed_pipe_is_no_traceback():
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m tenantproxy schema | head -c 1"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "{"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("pid", "ends"), [(1, True), (4711, False)])
def test_process_1_ends_by_sigterm_before_the_daemon_has_a_handler(monkeypatch, pid, ends):
    """The kernel has no default for process 1, so there it would be dropped."""
    before = signal.getsignal(signal.SIGTERM)
    seen = []
    monkeypatch.setattr(os, "getpid", lambda: pid)
    monkeypatch.setattr(
        main.root, "main", lambda **_: seen.append(signal.getsignal(signal.SIGTERM))
    )
    try:
        main.main()
    finally:
        signal.signal(signal.SIGTERM, before)
    [handler] = seen
    assert (handler is not before) is ends
    if ends:
        with pytest.raises(SystemExit) as ended:
            handler(signal.SIGTERM, None)
        assert ended.value.code == 0
