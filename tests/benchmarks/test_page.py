"""The page holds what was kept, and the plots are the same for the same numbers."""

import importlib.util
import subprocess
import sys

import pytest

from benchmarks import page
from benchmarks.results import Family, Metric, Sample, Workload

MACHINE = {"kernel": "6.1", "python": "3.11.7", "rounds": "5", "seconds": "2"}
CPU = Metric("cpu_us", "CPU us", ratio=True)


def points(name, *, x=None):
    samples = [
        Sample(peer, number, {"cpu_us": 10.0 + number + at})
        for number in range(2)
        for at, peer in enumerate(("haproxy", "tenantproxy"))
    ]
    return Workload(name, name, (CPU,), samples, x)


def test_only_what_stands_between_markers_changes():
    text = "before\n<!-- bench:requests -->\nold\n<!-- bench:end -->\nafter\n"

    kept = Family("requests", False, [points("kept")], machine=MACHINE)
    once = page.filled(text, {"requests": kept})

    assert once.startswith("before\n<!-- bench:requests -->\n\n**kept**")
    assert once.endswith("<!-- bench:end -->\nafter\n")
    assert "old" not in once
    assert page.filled(once, {"requests": kept}) == once


def test_a_part_of_which_nothing_is_kept_stays():
    text = "<!-- bench:idle -->\nold\n<!-- bench:end -->"

    assert page.filled(text, {}) == text


def test_the_page_is_up_to_date():
    text = page.PAGE.read_text()

    assert page.filled(text, page.families()) == text, "run `python -m benchmarks.page`"


@pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="matplotlib is for `make bench` alone"
)
def test_the_same_numbers_give_the_same_plots(tmp_path):
    Family("requests", False, [points(f"w{n}") for n in range(4)]).keep(tmp_path)
    Family("growth-listeners", False, [points(f"listeners-{x}", x=x) for x in (1, 10)]).keep(
        tmp_path
    )
    # In processes of their own, for matplotlib keeps its fonts open.
    draw = "import sys; from pathlib import Path; from benchmarks import page, plots;"
    draw += "plots.draw(page.families(Path(sys.argv[1])), Path(sys.argv[2]))"
    for name in ("a", "b"):
        command = [sys.executable, "-c", draw, tmp_path, tmp_path / name]
        subprocess.run(command, cwd=page.PAGE.parents[1], check=True)

    first = sorted((tmp_path / "a").iterdir())
    assert [path.name for path in first] == ["cpu.svg", "listeners.svg", "requests.svg"]
    for one in first:
        assert one.read_bytes() == (tmp_path / "b" / one.name).read_bytes()
        assert b"<text" in one.read_bytes()  # text, not its outlines
        assert b"dc:date" not in one.read_bytes()
