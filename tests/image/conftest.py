"""The image, made once by hand for the tests that look at it or run it."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.apart import ROOT
from tests.image.builder import Container, build, network
from tests.image.dockerfile import stages

USR_SBIN = "/usr/sbin:/sbin"


@pytest.fixture(scope="session")
def image() -> Iterator[Container]:
    """The last stage of the Dockerfile, carried out."""
    _need(os.geteuid() == 0, "only root may mount what stands for the base image")
    for tool in ("unshare", "setpriv", "chroot", "ldconfig"):
        _need(shutil.which(tool, path=f"{os.environ['PATH']}:{USR_SBIN}"), f"no {tool} here")
    if sys.base_prefix == "/usr":  # in CI too: it is no missing tool
        pytest.skip("this Python is Debian's, which has no folder of its own")
    # Not pytest's folder: it keeps those of three runs, and this one is large.
    with tempfile.TemporaryDirectory(prefix="tenantproxy-image-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # mkdtemp's 0700 would stop the image's user
        _need_mounts_and_index(folder / "probe")
        yield build(folder, stages())


def _need(met: object, reason: str) -> None:
    """Skip, or fail where nothing may be skipped unseen."""
    if not met:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)


def _need_mounts_and_index(folder: Path) -> None:
    """Try both once with something small: pip itself would try each package for a long time."""
    try:
        probe = Container(folder, stages()["build"])
    except AssertionError as error:
        _need(False, f"nothing can stand for the base image: {_last_line(error)}")
        return
    small = re.search(r"^pluggy==\S+", (ROOT / "requirements-build.txt").read_text(), re.MULTILINE)
    download = ("download", "--retries=0", "--timeout=10", "--no-deps", "--dest=/tmp", small[0])
    try:
        probe.run("python", "-m", "pip", *download, mode="rw", env=network())
    except AssertionError as error:
        _need(False, f"the package index cannot be reached: {_last_line(error)}")


def _last_line(error: AssertionError) -> str:
    return str(error).strip().splitlines()[-1]
