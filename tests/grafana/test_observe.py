"""A real Prometheus watches a daemon with everything going on: every query has data."""

import asyncio
import importlib.util
import shutil
import subprocess
import sys

import pytest

from tenantproxy.metrics.names import METRICS
from tools.observe import check
from tools.observe.check import Question, unanswered
from tools.observe.scene import scene

pytestmark = [
    pytest.mark.skipif(
        not (shutil.which("prometheus") and shutil.which("promtool")),
        reason="prometheus (Debian: prometheus) is missing",
    ),
    pytest.mark.timeout(180),
]


async def test_every_query_of_every_panel_and_rule_has_data(tmp_path, monkeypatch):
    async with scene(tmp_path) as running:
        left = await unanswered(running, within_s=90)
        assert left == {}

        async with running.http.get(f"http://127.0.0.1:{running.metrics}/metrics") as answer:
            text = await answer.text()
        done = subprocess.run(
            ["promtool", "check", "metrics"],
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        told = {line.split("{")[0].split(" ")[0] for line in text.splitlines() if line[0] != "#"}
        assert told == {name for metric in METRICS for name in metric.sample_names}

        wrong = [
            Question("a metric that is not there", "tenantproxy_no_such_thing"),
            Question("a label that is not there", 'tenantproxy_workers{tenant="shop"}'),
            Question("not PromQL", "sum("),
        ]
        monkeypatch.setattr(check, "questions", lambda: iter(wrong))
        assert set(await unanswered(running, within_s=2)) == set(wrong)


@pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="matplotlib is for `make peers` alone"
)
async def test_every_dashboard_can_be_drawn(tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    code = (
        "import asyncio, pathlib, sys\n"
        "from tools.observe.pictures import draw\n"
        "from tools.observe.scene import scene\n"
        "async def main(data, out):\n"
        "    async with scene(data) as running:\n"
        "        await asyncio.sleep(5)\n"
        "        await draw(running, out)\n"
        "asyncio.run(main(*map(pathlib.Path, sys.argv[1:])))\n"
    )
    # In a process of its own, for matplotlib keeps its fonts open.
    await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code, data, out], check=True, timeout=120
    )
    assert {path.stem for path in out.iterdir()} == {"fleet", "tenant", "canary", "idle-and-wake"}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in out.iterdir())
