"""`make image` calls the engine that is there, and says so when there is none."""

import shutil
import subprocess

import pytest

import tenantproxy
from tests.e2e.apart import ROOT

TOOLS = ("bash", "dirname", "sed", "tr", "git")


@pytest.fixture
def path(tmp_path):
    """A PATH with what the script needs and no engine."""
    for tool in TOOLS:
        (tmp_path / tool).symlink_to(shutil.which(tool))
    return tmp_path


def with_engine(path, name):
    """Put an engine there that prints its words, one a line."""
    (path / name).write_text('#!/bin/bash\nprintf "%s\n" "${0##*/}" "$@"\n')
    (path / name).chmod(0o755)


def make(path, **env):
    return subprocess.run(
        [ROOT / "tools/image.sh", "--platform=linux/arm64"],
        env={"PATH": str(path), **env},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


@pytest.mark.parametrize("engine", ["docker", "podman", "buildah"])
def test_the_engine_is_told_version_and_commit(path, engine):
    with_engine(path, engine)
    words = make(path).stdout.splitlines()
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=ROOT, text=True).strip()
    assert words[:2] == [engine, "build"]
    assert words[words.index("--tag") + 1] == f"tenantproxy:{tenantproxy.__version__}"
    assert f"VERSION={tenantproxy.__version__}" in words
    assert {f"REVISION={head}", f"REVISION={head}-dirty"} & set(words)
    assert words[-2:] == ["--platform=linux/arm64", "."]
    assert not [word for word in words if word.startswith("PYTHON_IMAGE=")]


def test_the_base_and_the_name_can_be_given(path):
    with_engine(path, "docker")
    words = make(path, PYTHON_IMAGE="python@sha256:00", IMAGE="ours:1").stdout.splitlines()
    assert "PYTHON_IMAGE=python@sha256:00" in words
    assert words[words.index("--tag") + 1] == "ours:1"


def test_without_an_engine_it_says_what_to_install(path):
    done = make(path)
    assert done.returncode == 1
    assert "docker, podman or buildah" in done.stderr
    assert not done.stdout
