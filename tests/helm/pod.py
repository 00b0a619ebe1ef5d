"""Runs a container of a rendered pod on this machine, as a kubelet would.

Command, arguments, environment, user, groups and capabilities are those that were rendered, and
so are the mounts: in a mount namespace of its own, on an /etc that is laid over ours, with
everything else read-only. Needs root. Addresses and ports are this machine's.
"""

from __future__ import annotations

import base64
import contextlib
import os
import shlex
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.helm.chart import ROOT, Object, need

BIN = "/etc/image/bin"
"""Where the image has its programs; in here, laid over /etc."""

_READ_ONLY = """
for target in $(findmnt -rno TARGET); do
    case $target in
        /proc*|/sys*|/dev*) ;;
        *) mount -o remount,bind,ro "$target" ;;
    esac
done
if (: >/tmp/written) 2>/dev/null; then echo 'the root is not read-only' >&2; exit 99; fi
exec setpriv "$@"
"""


@cache
def _why_not() -> str:
    """Return why nothing can be mounted here; empty if it can."""
    overlay = "mount -t overlay overlay -o lowerdir=/etc:/usr /etc"
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", overlay]
    tried = subprocess.run(words, capture_output=True, text=True, check=False)
    return f"no overlay in a namespace: {tried.stderr.strip()}" if tried.returncode else ""


class Pod:
    """The pod's volumes and host names; `argv` runs one of its containers in them."""

    def __init__(
        self, spec: Object, objects: list[Object], folder: Path, **secrets: Object
    ) -> None:
        """Lay out the volumes.

        Args:
            spec: of the pod.
            objects: where its ConfigMaps and Secrets are.
            folder: for what is mounted.
            secrets: content of the user's own Secrets; `_` in a name stands for `-`.
        """
        for program in ("unshare", "setpriv", "findmnt"):
            need(program)
        if reason := _why_not():
            pytest.skip(reason)
        self.spec, self.folder = spec, folder
        self.theirs = {name.replace("_", "-"): content for name, content in secrets.items()}
        self.hosts: dict[str, str] = {}
        self._mounts: dict[str, Path] = {}
        for volume in spec.get("volumes", ()):
            self.swap(volume["name"], self._content(volume, objects))

    def swap(self, volume: str, files: dict[str, str]) -> None:
        """Replace what a volume holds in one step, by the symlinks of a kubelet."""
        place = self.folder / "volumes" / volume
        place.mkdir(parents=True, exist_ok=True)
        data = place / f"..{time.monotonic_ns()}"
        data.mkdir()
        source = next(v for v in self.spec["volumes"] if v["name"] == volume)
        mode = source.get("secret", {}).get("defaultMode", 0o644)
        for name, text in files.items():
            (data / name).write_text(text)
            (data / name).chmod(mode)
            os.chown(data / name, 0, self.spec["securityContext"]["fsGroup"])
            if not (place / name).is_symlink():
                (place / name).symlink_to(f"..data/{name}")
        beside = place / "..data_tmp"
        beside.symlink_to(data.name)
        beside.replace(place / "..data")

    def argv(self, container: Object, *command: str) -> list[str]:
        """Return the command that runs a container, or another command in its place."""
        words = command or (*container["command"], *container["args"])
        script = "\n".join(["set -e", *self._mounting(container), _READ_ONLY])
        unshare = ("unshare", "--mount", "--propagation", "private")
        return [*unshare, "sh", "-c", script, "sh", *self._rights(container), *words]

    def environment(self, container: Object) -> dict[str, str]:
        """Return the environment: what is rendered, and what an image sets."""
        said = {one["name"]: one["value"] for one in container.get("env", ())}
        return {"PATH": f"{BIN}:/usr/bin:/bin", **said}

    def run(self, container: Object, *command: str) -> str:
        """Return what a container prints to its end; it must exit with 0."""
        done = subprocess.run(
            self.argv(container, *command),
            env=self.environment(container),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            cwd="/",
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextlib.contextmanager
    def started(self, container: Object) -> Any:
        """Start a container; when the context ends it has ended, or is killed."""
        log = self.folder / "container.log"
        with log.open("ab") as out:
            process = subprocess.Popen(
                self.argv(container),
                env=self.environment(container),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd="/",
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()

    def log(self) -> str:
        return (self.folder / "container.log").read_text()

    def _content(self, volume: Object, objects: list[Object]) -> dict[str, str]:
        """Return the files of a volume."""
        kind = "ConfigMap" if "configMap" in volume else "Secret"
        source = volume.get("configMap") or volume["secret"]
        name = source.get("name") or source["secretName"]
        for made in objects:
            if (made["kind"], made["metadata"]["name"]) == (kind, name):
                data = made.get("data") or {}
                if kind == "Secret":
                    return {key: base64.b64decode(text).decode() for key, text in data.items()}
                return data
        content = self.theirs[name]
        items = source.get("items") or [{"key": key, "path": key} for key in content]
        return {item["path"]: content[item["key"]] for item in items}

    def _mounting(self, container: Object) -> list[str]:
        """Return the lines that lay the mounts of a container over this machine's files."""
        over = self.folder / "etc"
        lines = [f"mount -t overlay overlay -o lowerdir={over}:/etc /etc"]
        for mount in container.get("volumeMounts", ()):
            path = mount["mountPath"]
            inside = over / Path(path).relative_to("/etc")
            inside.mkdir(parents=True, exist_ok=True)
            lines.append(f"mount --bind {self.folder / 'volumes' / mount['name']} {path}")
        self._write_programs(over / "image" / "bin")
        hosts = Path("/etc/hosts").read_text()
        named = "".join(f"{address} {name}\n" for name, address in self.hosts.items())
        (over / "hosts").write_text(hosts + named)
        return [*self._opening(), *lines]

    def _opening(self) -> list[str]:
        """Return the lines that let others reach our Python where it lies in a closed folder."""
        lines, opened = [], []
        for number, path in enumerate({Path(sys.base_prefix), Path(sys.prefix), ROOT}):
            parents = [*reversed(path.resolve().parents)]
            closed = next((p for p in parents if not p.stat().st_mode & 0o001), None)
            if closed is not None:
                stash = self.folder / f"stash-{number}"
                stash.mkdir(exist_ok=True)
                lines.append(f"mount --bind {path} {stash}")
                opened.append((closed, path, stash))
        lines += [f"mount -t tmpfs -o mode=755 none {c}" for c in {c for c, _, _ in opened}]
        for _, path, stash in opened:
            lines += [f"mkdir -p {path}", f"mount --bind {stash} {path}"]
        return lines

    @staticmethod
    def _write_programs(folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        python = f"PYTHONPATH={shlex.quote(str(ROOT))} exec {shlex.quote(sys.executable)}"
        for name, more in {"tenantproxy": " -m tenantproxy", "python": ""}.items():
            (folder / name).write_text(f'#!/bin/sh\n{python}{more} "$@"\n')
            (folder / name).chmod(0o755)

    def _rights(self, container: Object) -> list[str]:
        """Return the arguments of setpriv for the security contexts."""
        security = self.spec["securityContext"] | container["securityContext"]
        assert security["capabilities"]["drop"] == ["ALL"]
        kept = [name.lower() for name in security["capabilities"].get("add", ())]
        return [
            f"--reuid={security['runAsUser']}",
            f"--regid={security['runAsGroup']}",
            f"--groups={security['fsGroup']}",
            "--inh-caps=-all",
            "--bounding-set=" + ",".join(["-all", *(f"+{name}" for name in kept)]),
            *([] if security["allowPrivilegeEscalation"] else ["--no-new-privs"]),
            "--",
        ]
