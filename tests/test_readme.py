"""The five minutes of the README, pasted into a shell line by line."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e import ports

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.timeout(180)
PORTS = ("8081", "8082", "9900", "9901", "20001", "20002", "20003", "20004", "8083")


def tour() -> str:
    page = (ROOT / "README.md").read_text()
    section = page.partition("## Five minutes")[2].partition("\n## ")[0]
    return "\n".join(re.findall(r"```sh\n(.*?)```", section, re.DOTALL))


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> str:
    """Run the tour on free ports; return everything that it printed."""
    script = tour().replace("make setup\n", "")
    script = re.sub(r"export PATH=.*\n", "", script)
    first = ports.block(len(PORTS))
    found = [str(port) for port in range(first, first + len(PORTS))]
    for usual, free in zip(PORTS, found, strict=True):
        script = script.replace(usual, free)
    script = script.replace("20000-20999", f"{found[4]}-{found[7]}")
    folder = tmp_path_factory.mktemp("tour")
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    program = bin_folder / "tenantproxy"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m tenantproxy "$@"\n')
    program.chmod(0o755)
    env = {
        **os.environ,
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "TMPDIR": str(folder),
        "TENANTPROXY_SERVER": f"http://127.0.0.1:{found[2]}",
    }
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    # Its own session, so that whatever the shell leaves behind can be ended.
    shell = subprocess.Popen(
        ["bash", "-c", script],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        out, _ = shell.communicate(timeout=150)
    finally:
        if shell.poll() is None:
            os.killpg(shell.pid, 9)
            shell.communicate()
    return out


def test_the_first_connection_wakes_the_port_and_is_served(told):
    first, second = re.findall(r"^acme/web +\d+ +(\w+) ", told, re.MULTILINE)[:2]
    assert (first, second) == ("asleep", "open")
    assert re.search(r"^hello from v[12]$", told, re.MULTILINE)


def test_connections_go_by_the_weights(told):
    counts = re.findall(r"^ +(\d+) hello from (v\d)$", told, re.MULTILINE)
    shares = [{name: int(n) for n, name in counts[i : i + 2]} for i in (0, 2)]
    assert abs(shares[0]["v1"] - 90) <= 3
    assert abs(shares[1]["v1"] - 50) <= 3


def test_an_edit_of_the_file_adds_a_tenant_and_leaves_the_split_of_the_api(told):
    row = re.search(r"^acme/web .*web-v1=50,web-v2=50.*", told, re.MULTILINE)
    assert row is not None
    wide = [line for line in told.splitlines() if line.startswith("acme/web") and " api " in line]
    assert wide, told
    assert re.search(r"^corp/web +\d+ ", told, re.MULTILINE)


def test_an_endpoint_that_nobody_listens_on_is_left_out_until_it_answers(told):
    first, second = (part.partition("Used by")[0] for part in told.split("Upstream:")[1:])
    assert re.search(r"^State: +1 unhealthy: 1 of 2 endpoints usable$", first, re.MULTILINE)
    assert re.search(r"^ +127\.0\.0\.1:\d+ +unhealthy for .* failed: refused$", first, re.MULTILINE)
    assert re.search(r"^State: +ok: 2 of 2 endpoints usable$", second, re.MULTILINE)
    assert re.search(
        r"^ +127\.0\.0\.1:\d+ +healthy for .* passed: GET / said 200$", second, re.MULTILINE
    )
    counts = re.findall(r"^ +(\d+) hello from (v\d)$", told, re.MULTILINE)[4:6]
    assert {name for _, name in counts} == {"v1", "v2"}  # each worker takes its own turns
    assert sum(int(number) for number, _ in counts) == 10


def test_a_rollout_goes_through_its_steps_and_the_new_version_has_everything(told):
    states = re.findall(r"^shop/web .*?(running|promoting|succeeded)", told, re.MULTILINE)
    assert states[-1] == "succeeded"
    assert "running" in states


def test_the_policy_puts_idle_ports_to_sleep(told):
    assert re.search(r"^ +\d+ +\d+s +slept +acme/web ", told, re.MULTILINE)


def test_the_metrics_tell_of_connections(told):
    pattern = r'^tenantproxy_listener_connections_total\{tenant="acme",listener="web",port="\d+"\} '
    found = re.search(pattern + r"(\d+)", told, re.MULTILINE)
    assert found is not None
    assert int(found[1]) == 202


def test_a_mistake_is_told_with_its_place(told):
    assert re.search(r"^broken.yaml:\d+:\d+: tenants\.corp\.listeners\.web", told, re.MULTILINE)
    assert "splt" in told


def test_nothing_in_the_tour_fails(told):
    assert "command not found" not in told
    assert "Traceback" not in told
    assert "internal" not in told
