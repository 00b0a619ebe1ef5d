"""Programs in a network namespace of their own, whose loopback drops what comes too fast."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.apart import ROOT
from tests.e2e.programs import need

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a network namespace")
_SCRIPT = """
set -e
ip link set lo up
tc qdisc add dev lo root tbf rate 400mbit burst 100kb limit 100kb
"$0" "$1"
tc -s qdisc show dev lo
"""


def said_behind_a_small_queue(program: str, folder: Path) -> str:
    """Run the program, see that segments were dropped, and return its one line of output."""
    need("ip")
    need("tc")
    file = folder / "program.py"
    file.write_text(program)
    done = subprocess.run(
        [need("unshare"), "--net", "sh", "-c", _SCRIPT, sys.executable, file],
        env={"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    line, told = done.stdout.split("\n", 1)
    assert re.search(r"dropped [1-9]", told), told
    return line
