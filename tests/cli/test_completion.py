"""Completion scripts are what their shells take."""

import os
import shutil
import subprocess
import sys

import pytest


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_names_the_program(command, shell):
    result = command("completion", shell)
    assert result.exit_code == 0
    assert "tenantproxy" in result.stdout
    if shutil.which(shell):
        flag = "--no-execute" if shell == "fish" else "-n"
        subprocess.run([shell, flag], input=result.stdout, text=True, check=True)


def test_the_program_answers_what_the_script_asks():
    env = {
        **os.environ,
        "_TENANTPROXY_COMPLETE": "bash_complete",
        "COMP_WORDS": "tenantproxy get li",
        "COMP_CWORD": "2",
    }
    done = subprocess.run(
        [sys.executable, "-m", "tenantproxy"], env=env, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["plain,listeners"]
