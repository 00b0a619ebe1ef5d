"""The watch: what is new content is noticed, and nothing else is."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from tenantproxy.sources import file as module
from tenantproxy.sources.file import FileWatch

POLL_S = 0.02


@pytest.fixture(autouse=True)
def settle_quickly(monkeypatch):
    monkeypatch.setattr(module, "SETTLE_S", 0.01)


@pytest.fixture
def path(tmp_path) -> Path:
    path = tmp_path / "d.yaml"
    path.write_text("one")
    return path


def watch(*paths) -> FileWatch:
    return FileWatch(lambda: paths, poll_s=POLL_S)


async def noticed(watching, within_s=5.0):
    return await asyncio.wait_for(watching.changed(), within_s)


async def nothing(watching, for_s=POLL_S * 12):
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(watching.changed(), for_s)


def old(path):
    """Let the file look as if it was written long ago, so that its signature is trusted."""
    os.utime(path, (1_000_000_000, 1_000_000_000))


async def test_new_content_is_noticed_once(path):
    watching = watch(path)
    await nothing(watching)
    path.write_text("two")
    assert await noticed(watching) is True
    await nothing(watching)


async def test_a_change_between_two_waits_is_not_missed(path):
    watching = watch(path)
    path.write_text("two")
    assert await noticed(watching) is True
    path.write_text("three")
    assert await noticed(watching) is True


async def test_a_touch_and_the_same_content_again_are_no_change(path):
    watching = watch(path)
    path.touch()
    path.write_text("one")
    path.with_suffix(".new").write_text("one")
    path.with_suffix(".new").rename(path)
    await nothing(watching)


async def test_content_of_the_same_size_within_one_tick_of_the_clock_is_noticed(path):
    """Size and times are the same; only a fresh file is read again regardless."""
    stamp = time.time_ns()
    os.utime(path, ns=(stamp, stamp))
    watching = watch(path)
    path.write_text("two")
    os.utime(path, ns=(stamp, stamp))
    seen = watching._seen[path]
    seen.signature = module._signature(path)
    assert await noticed(watching) is True


async def test_a_file_that_rests_is_not_read_again(path, monkeypatch):
    old(path)
    watching = watch(path)
    reads = []
    real = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda self: reads.append(self) or real(self))
    await nothing(watching)
    assert reads == []
    path.write_text("two")
    assert await noticed(watching) is True
    assert path in reads


async def test_an_editor_that_replaces_the_file_is_followed(path):
    watching = watch(path)
    for text in ("two", "three"):
        new = path.with_suffix(".swp")
        new.write_text(text)
        new.rename(path)
        assert await noticed(watching) is True


async def test_a_file_that_is_away_for_a_moment_has_not_changed(path):
    watching = watch(path)
    waiting = asyncio.ensure_future(nothing(watching, POLL_S * 20))
    await asyncio.sleep(POLL_S * 2)
    aside = path.rename(path.with_suffix(".bak"))
    await asyncio.sleep(POLL_S * 1.2)
    aside.rename(path)
    await waiting


async def test_a_file_that_stays_away_has_changed_and_is_noticed_when_it_is_back(path):
    watching = watch(path)
    path.unlink()
    assert await noticed(watching) is True
    await nothing(watching)
    path.write_text("one")
    assert await noticed(watching) is True


async def test_a_file_that_never_was_is_waited_for(tmp_path):
    watching = watch(tmp_path / "later.yaml")
    await nothing(watching)
    (tmp_path / "later.yaml").write_text("x")
    assert await noticed(watching) is True


def mount(folder: Path, version: str, text: str) -> None:
    """Do what the kubelet does: a folder of the version, and a link that is swapped."""
    inside = folder / f"..{version}"
    inside.mkdir()
    (inside / "d.yaml").write_text(text)
    (folder / "..data_tmp").symlink_to(inside.name)
    (folder / "..data_tmp").rename(folder / "..data")
    if not (folder / "d.yaml").is_symlink():
        (folder / "d.yaml").symlink_to("..data/d.yaml")


@pytest.mark.parametrize("what", ["d.yaml", ""])
async def test_the_swap_of_a_mounted_config_map_is_noticed(tmp_path, what):
    mount(tmp_path, "v1", "one")
    watching = watch(tmp_path / what)
    await nothing(watching)
    mount(tmp_path, "v2", "two")
    assert await noticed(watching) is True
    mount(tmp_path, "v3", "two")
    await nothing(watching)


async def test_yaml_files_of_a_folder_come_and_go(tmp_path):
    watching = watch(tmp_path)
    (tmp_path / "a.yaml").write_text("a")
    assert await noticed(watching) is True
    (tmp_path / "b.yml").write_text("b")
    assert await noticed(watching) is True
    (tmp_path / "a.yaml").unlink()
    assert await noticed(watching) is True
    (tmp_path / "b.yml").rename(tmp_path / "c.yml")
    assert await noticed(watching) is True
    (tmp_path / "notes.txt").write_text("n")
    (tmp_path / ".hidden.yaml").write_text("h")
    (tmp_path / "dir.yaml").mkdir()
    await nothing(watching)


async def test_a_poke_ends_the_wait_and_says_whether_anything_is_new(path):
    watching = FileWatch(lambda: [path], poll_s=60)
    waiting = asyncio.ensure_future(watching.changed())
    await asyncio.sleep(0.01)
    watching.poke()
    assert await asyncio.wait_for(waiting, 5) is False
    path.write_text("two")
    watching.poke()
    assert await noticed(watching) is True
    watching.poke()
    assert await noticed(watching) is False


async def test_a_poke_reads_again_whatever_the_signature_says(path):
    old(path)
    watching = watch(path)
    path.write_text("two")
    watching._seen[path].signature = module._signature(path)
    await nothing(watching)
    watching.poke()
    assert await noticed(watching) is True


async def test_a_file_that_is_being_written_is_read_when_it_rests(path, monkeypatch):
    monkeypatch.setattr(module, "SETTLE_S", 0.05)
    watching = watch(path)
    waiting = asyncio.ensure_future(watching.changed())
    with path.open("w") as file:
        for _ in range(10):
            file.write("more ")
            file.flush()
            await asyncio.sleep(0.02)
            assert not waiting.done()
    assert await asyncio.wait_for(waiting, 5) is True
    await nothing(watching)


async def test_a_file_that_never_rests_is_not_waited_for_without_end(path, monkeypatch):
    monkeypatch.setattr(module, "SETTLE_S", 0.005)
    watching = watch(path)

    async def scribble():
        for n in range(10**6):
            path.write_text(str(n))
            await asyncio.sleep(0)

    scribbling = asyncio.ensure_future(scribble())
    try:
        assert await noticed(watching) is True
    finally:
        scribbling.cancel()


async def test_what_is_watched_may_change(tmp_path):
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("1")
    two.write_text("2")
    paths = [one]
    watching = FileWatch(lambda: paths, poll_s=POLL_S)
    paths.append(two)
    assert await noticed(watching) is True
    two.write_text("3")
    assert await noticed(watching) is True


async def test_a_folder_in_place_of_a_file_and_an_unreadable_name_do_no_harm(tmp_path):
    watching = watch(tmp_path / ("x" * 300), tmp_path / "nul\0", tmp_path / "loop")
    (tmp_path / "loop").symlink_to("loop")
    await nothing(watching)
