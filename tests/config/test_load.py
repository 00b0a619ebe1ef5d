"""Loading: from disk to values, large documents in a child that leaves nothing."""

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tenantproxy.config import load as module
from tenantproxy.config.document import parse_document
from tenantproxy.config.load import Loaded, load, load_async, parse_document_async, watched_paths
from tenantproxy.config.parcel import Parcel, pack, pack_problems, unpack
from tenantproxy.errors import DocumentError, NotSupportedYet, Problem
from tests.config.test_document import FULL

POLICY = "name: idle-sleep\nkind: idle\nafter: 15m\nthen: sleep\n"


def text(tenants, listeners=3, extra=""):
    lines = ["version: 1", "proxy: {port_range: 20000-39999}", "tenants:"]
    for t in range(tenants):
        lines += [
            f"  tenant-{t}:",
            f"    labels: {{number: 'n{t}'}}",
            "    upstreams:",
            "      web: {endpoints: ['10.0.0.1:80', {address: '[fd00::1]:80', weight: 2}]}",
            "    listeners:",
            *(
                f"      l{n}: {{split: {{web: 1}}, idle: {{after: 1h, then: close}}{extra}}}"
                for n in range(listeners)
            ),
        ]
    return "\n".join(lines) + "\n"


@pytest.fixture
def large(tmp_path) -> Path:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "idle.yaml").write_text(POLICY)
    path = tmp_path / "tenantproxy.yaml"
    path.write_text(text(700))
    assert path.stat().st_size > module.IN_PLACE_BYTES
    return path


def test_a_document_is_loaded_with_the_policies_next_to_it(large):
    loaded = load(large)
    assert len(loaded.document.tenants) == 700
    assert [p.name for p in loaded.policies] == ["idle-sleep"]


async def test_a_child_brings_the_same_values(large):
    assert await load_async(large) == load(large)


async def test_a_child_brings_every_key(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "IN_PLACE_BYTES", 0)
    path = tmp_path / "d.yaml"
    path.write_text(FULL.replace("[policies/, more.yaml]", "[]"))
    found = await load_async(path)
    assert found == load(path)
    assert found.document.tenants == parse_document(FULL).tenants


async def test_a_small_document_needs_no_child(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_from_child", None)
    path = tmp_path / "d.yaml"
    path.write_text("version: 1\n")
    assert await load_async(path) == load(path)


async def test_a_child_brings_the_same_problems(large):
    large.write_text(text(700, extra=", drian: 5s"))
    with pytest.raises(DocumentError) as here:
        load(large)
    with pytest.raises(DocumentError) as there:
        await load_async(large)
    assert there.value.problems == here.value.problems
    assert len(there.value.problems) == 2100
    assert there.value.problems[0].file == str(large)


async def test_a_child_keeps_the_kind_of_the_error(large):
    large.write_text(text(700, extra=", tls: {}"))
    with pytest.raises(NotSupportedYet):
        await load_async(large)


async def test_a_large_text_is_parsed_in_a_child_too():
    expected = load_text = text(700)
    assert (await parse_document_async(load_text)).tenants.keys() == {
        f"tenant-{t}" for t in range(700)
    }
    with pytest.raises(DocumentError) as caught:
        await parse_document_async(expected + "x: 1\n", file="body")
    (problem,) = caught.value.problems
    assert problem.file == "body"
    with pytest.raises(DocumentError) as caught:
        await parse_document_async(expected + "\ud800")
    assert "U+D800" in str(caught.value)


async def test_a_small_text_is_parsed_in_place(monkeypatch):
    monkeypatch.setattr(module, "_from_child", None)
    assert (await parse_document_async("version: 1\n")).tenants == {}


@pytest.fixture
def started(monkeypatch):
    """The children that were started."""
    children = []
    real = subprocess.Popen

    def start(*args, **kwargs):
        children.append(real(*args, **kwargs))
        return children[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    return children


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("steps", [1, 2, 3, 20])
async def test_a_load_cancelled_while_its_child_starts_leaves_none(large, started, steps, twice):
    """The fixture of every test sees a process or a descriptor left behind."""
    loading = asyncio.ensure_future(load_async(large))
    for _ in range(steps):
        await asyncio.sleep(0)
    loading.cancel()
    if twice:
        await asyncio.sleep(0)
        loading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loading
    assert [child.returncode for child in started] == [-signal.SIGKILL]


async def test_a_load_cancelled_while_its_child_works_ends_it(large, started):
    large.write_text(text(7000))
    loading = asyncio.ensure_future(load_async(large))
    await asyncio.sleep(0.3)
    loading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loading
    assert [child.returncode for child in started] == [-signal.SIGKILL]


def test_a_child_ends_with_its_parent(large, tmp_path):
    """Killed without a word, the parent leaves no reader of a large document behind."""
    large.write_text(text(20_000))
    program = (
        "import asyncio, pathlib, sys\n"
        "from tenantproxy.config.load import load_async\n"
        "asyncio.run(load_async(pathlib.Path(sys.argv[1])))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(large)])
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    child = ""
    while not child:
        assert parent.poll() is None
        time.sleep(0.01)
        child = children.read_text().strip()
    while b"load_child" not in Path(f"/proc/{child}/cmdline").read_bytes():
        time.sleep(0.01)
    time.sleep(0.3)
    parent.kill()
    parent.wait()
    until = time.monotonic() + 5  # by itself it would read for twice as long
    while Path(f"/proc/{child}").exists() and "Z" not in _state(child):
        assert time.monotonic() < until
        time.sleep(0.01)


def _state(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


async def test_a_child_that_dies_is_a_problem_and_no_traceback(large, monkeypatch):
    monkeypatch.setattr(module.sys, "executable", "/bin/false")
    with pytest.raises(DocumentError) as caught:
        await load_async(large)
    (problem,) = caught.value.problems
    assert "ended with code 1" in problem.message
    assert problem.file == str(large)
    with pytest.raises(DocumentError):
        await parse_document_async(text(700))


@pytest.mark.parametrize("read", [load, lambda path: asyncio.run(load_async(path))])
def test_what_cannot_be_read_is_a_problem(tmp_path, read):
    with pytest.raises(DocumentError, match="there is no such file"):
        read(tmp_path / "missing.yaml")
    with pytest.raises(DocumentError, match="this is a folder"):
        read(tmp_path)
    (tmp_path / "d.yaml").write_bytes(b"version: \xff\n")
    with pytest.raises(DocumentError, match=r"d.yaml:1:10: .*not UTF-8"):
        read(tmp_path / "d.yaml")


def test_what_is_watched_is_the_document_and_its_policies(tmp_path):
    path = tmp_path / "d.yaml"
    assert watched_paths(path, None) == [path, tmp_path / "policies"]
    path.write_text("version: 1\nproxy: {policies: []}\n")
    assert watched_paths(path, load(path).document) == [path]


def test_a_parcel_arrives_as_it_was_sent(large):
    loaded = load(large)
    parcel = Parcel()
    frames = list(pack(loaded.document, loaded.policies))
    assert len(frames) > 3
    for frame in frames:
        assert not parcel.whole
        assert int.from_bytes(frame[:4]) == len(frame) - 4
        unpack(frame[4:], parcel)
    assert parcel.whole
    assert parcel.proxy == loaded.document.proxy
    assert parcel.tenants == loaded.document.tenants
    assert Loaded(loaded.document, tuple(parcel.policies)) == loaded


def test_a_parcel_leaves_nothing_of_a_document_with_every_key_behind():
    document = parse_document(FULL)
    parcel = Parcel()
    for frame in pack(document, ()):
        unpack(frame[4:], parcel)
    assert (parcel.proxy, parcel.tenants) == (document.proxy, document.tenants)


def test_a_parcel_of_problems_arrives_in_their_order():
    sent = [Problem(f"p{n}", line=n, hint="h", code="c") for n in range(2500)]
    parcel = Parcel()
    for frame in pack_problems(sent):
        unpack(frame[4:], parcel)
    assert parcel.problems == sent
    assert parcel.whole
