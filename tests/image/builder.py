"""Carries out the steps of the Dockerfile in a folder, since no container engine runs here.

Commands run as they are written, in `enter.sh`. The base image is this
machine's /usr with the Python that runs the tests; so what is learned is what
the steps do, and nothing about the real base image.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from tests.e2e.apart import ROOT
from tests.image.dockerfile import Stage

ENTER = Path(__file__).with_name("enter.sh")
APART = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private")
OF_ETC = ("ssl", "alternatives", "ld.so.conf", "ld.so.conf.d", "pip.conf", "resolv.conf", "hosts")
"""What /usr needs of /etc, and pip to reach its index."""
INDEX_SETTINGS = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CERT", "PIP_TRUSTED_HOST")


class Container:
    """The root of one stage; `run()` and `command()` are inside it."""

    def __init__(self, folder: Path, stage: Stage) -> None:
        self.folder, self.stage = folder, stage
        self.root = folder / "root"
        self.local = folder / "local"
        """What was changed below /usr/local."""
        for path in (self.local, folder / "work", *map(self.inside, ("usr", "proc", "dev", "opt"))):
            path.mkdir(parents=True)
        for path in ("tmp", "root", "etc", stage.workdir):
            self.inside(path).mkdir(parents=True, exist_ok=True)
        for link in ("bin", "sbin", "lib", "lib64"):
            if (Path("/") / link).is_symlink():
                self.inside(link).symlink_to(os.readlink(f"/{link}"))
        for path in (Path("/etc") / name for name in OF_ETC):
            if path.exists():
                _copy(path, self.inside(str(path)))
        # As the base image does: its libpython lies in /usr/local/lib.
        self.run("ldconfig", mode="rw")

    def inside(self, path: str) -> Path:
        """Return where a path of the container lies on this machine."""
        return self.root / path.lstrip("/")

    def command(self, *command: str, mode: str = "ro", env: dict[str, str] | None = None) -> list:
        """Return what runs a command in here, as root and with the stage's settings."""
        values = [f"{name}={value}" for name, value in (self.stage.env | (env or {})).items()]
        clean = ("env", "-i", "-C", self.stage.workdir, *values)
        return [*APART, str(ENTER), str(self.folder), sys.base_prefix, mode, *clean, *command]

    def run(self, *command: str, **options: object) -> str:
        """Run a command to its end and return what it printed; it must exit with 0."""
        done = subprocess.run(
            self.command(*command, **options),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=170,
            check=False,
        )
        assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}"
        return done.stdout


def build(folder: Path, stages: dict[str, Stage]) -> Container:
    """Carry out every stage, side by side as far as they can be, and return the last."""
    made: dict[str, Future[Container]] = {}
    with ThreadPoolExecutor() as pool:
        for name, stage in stages.items():
            made[name] = pool.submit(_carry_out, folder / name, stage, dict(made))
    return made[name].result()


def context() -> list[Path]:
    """Return the files that `.dockerignore` lets through to the builder, relative."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    kept = []
    for folder, folders, files in os.walk(ROOT):
        here = Path(folder).relative_to(ROOT)
        kept += [here / name for name in files if not _is_ignored(here / name, rules)]
        # Nothing there is let through, and there are many.
        folders[:] = [name for name in folders if not name.startswith(".")]
    return kept


def network() -> dict[str, str]:
    """Return how this machine reaches the package index, for commands in a container."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in INDEX_SETTINGS or name.lower().endswith("_proxy")
    }


def _is_ignored(file: Path, rules: list[str]) -> bool:
    """Tell by the last rule that fits the file or a folder it is in, as engines do."""
    ignored = False
    for rule in rules:
        pattern = rule.removeprefix("!")
        if any(_fits(path, pattern) for path in (file, *file.parents[:-1])):
            ignored = rule == pattern
    return ignored


def _fits(path: Path, pattern: str) -> bool:
    """Match from the root of the context; `**/` stands for any folders, also none."""
    if pattern.startswith("**/"):
        return path.match(pattern.removeprefix("**/"))
    return len(path.parts) == len(Path(pattern).parts) and path.match(pattern)


def _carry_out(folder: Path, stage: Stage, earlier: dict[str, Future[Container]]) -> Container:
    container = Container(folder, stage)
    for instruction, value in stage.steps:
        if instruction == "RUN":
            container.run("/bin/sh", "-c", value, mode="rw", env=network())
        else:
            _copy_in(container, shlex.split(value), earlier)
    return container


def _copy_in(into: Container, words: list[str], earlier: dict[str, Future[Container]]) -> None:
    origin = [word.removeprefix("--from=") for word in words if word.startswith("--from=")]
    *what, to = words[len(origin) :]
    target = into.inside(str(Path(into.stage.workdir) / to))
    for path in what:
        if origin:
            _copy(earlier[origin[0]].result().inside(path), target)
            continue
        files = [file for file in context() if file.is_relative_to(path)]
        assert files, f"COPY: {path} does not reach the builder"
        for file in files:
            within = file.name if file == Path(path) else file.relative_to(path)
            _copy(ROOT / file, target / within)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copy2(source, target)
