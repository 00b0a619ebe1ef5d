"""Real Helm on the chart: values in, objects or a refusal out. No cluster and no network."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "tenantproxy"
CI_FILES = sorted((CHART / "ci").glob("*-values.yaml"))
RELEASE, NAMESPACE = "demo", "edge"

Object = dict[str, Any]


def need(program: str, *folders: Path) -> str:
    """Return the program's path; without it skip, or fail where all programs must be there."""
    path = shutil.which(program, path=os.pathsep.join([*map(str, folders), os.environ["PATH"]]))
    if path is None:
        end = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        end(f"{program} is not installed")
    return path


class Refused(Exception):
    """Helm said no."""


class Strict(yaml.CSafeLoader):
    """Refuses a key that is written twice: Helm keeps the last one in silence."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        assert not twice, f"written twice: {twice}, line {node.start_mark.line + 1}"
        return super().construct_mapping(node, deep)


@dataclass(frozen=True)
class Helm:
    """The program, with homes of its own, so that nothing of the user's is read or written."""

    program: str
    home: Path

    def run(self, *arguments: str | Path, stdin: str = "") -> str:
        """Return what it prints.

        Raises:
            Refused: it ended with another code than 0; with what it said.
        """
        done = subprocess.run(
            [self.program, *map(str, arguments)],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.home),
                "HELM_CACHE_HOME": str(self.home / "cache"),
                "HELM_CONFIG_HOME": str(self.home / "config"),
                "HELM_DATA_HOME": str(self.home / "data"),
                "KUBECONFIG": os.devnull,
            },
        )
        if done.returncode:
            raise Refused(done.stderr)
        return done.stdout

    def text(
        self,
        values: Object | None = None,
        *,
        files: tuple[Path, ...] = (),
        chart: Path = CHART,
        release: str = RELEASE,
        more: tuple[str, ...] = (),
    ) -> str:
        """Return the manifests as text; `values` win over `files`."""
        named = [word for file in files for word in ("-f", file)]
        stdin = json.dumps(values or {})  # YAML, too
        words = ("template", release, chart, "-n", NAMESPACE, *named, "-f", "-", *more)
        return self.run(*words, stdin=stdin)

    def objects(self, values: Object | None = None, **options: Any) -> list[Object]:
        """Return the rendered objects."""
        return parse(self.text(values, **options))

    def refusal(self, values: Object, **options: Any) -> str:
        """Return what Helm says against these values; it must say something."""
        with pytest.raises(Refused) as refused:
            self.text(values, **options)
        return str(refused.value)


def parse(text: str) -> list[Object]:
    return [one for one in yaml.load_all(text, Loader=Strict) if one is not None]


def find_helm(home: Path) -> Helm:
    return Helm(need("helm", Path(sys.executable).parent), home)


def one(objects: list[Object], kind: str, name: str | None = None) -> Object:
    """Return the only object of that kind, and name if one is given."""
    found = [o for o in objects if o["kind"] == kind and name in (None, o["metadata"]["name"])]
    assert len(found) == 1, (kind, name, [o["metadata"]["name"] for o in found])
    return found[0]


def kinds(objects: list[Object]) -> set[str]:
    return {o["kind"] for o in objects}


def workload(objects: list[Object]) -> Object:
    """Return the Deployment or the DaemonSet."""
    (found,) = [o for o in objects if o["kind"] in ("Deployment", "DaemonSet")]
    return found


def pod_of(objects: list[Object]) -> Object:
    """Return the spec of the proxy's pod."""
    return workload(objects)["spec"]["template"]["spec"]


def container_of(objects: list[Object]) -> Object:
    """Return the proxy's container."""
    (found,) = [c for c in pod_of(objects)["containers"] if c["name"] == "tenantproxy"]
    return found


def tenant_services(objects: list[Object]) -> dict[str, Object]:
    """Return the tenants' Services by name."""
    return {
        o["metadata"]["name"]: o
        for o in objects
        if o["kind"] == "Service" and "tenantproxy/tenant" in o["metadata"]["labels"]
    }


def tenants(**ports: int | None) -> Object:
    """Return `config.tenants` with one tenant, `acme`, and its listeners; `_` stands for `-`."""
    return {"acme": tenant({name.replace("_", "-"): port for name, port in ports.items()})}


def tenant(ports: dict[str, int | None]) -> Object:
    """Return a tenant with listeners on these ports; None leaves the port out."""
    return {
        "upstreams": {"web": {"endpoints": ["10.0.0.1:8080"]}},
        "listeners": {
            name: {"split": {"web": 1}} | ({} if port is None else {"port": port})
            for name, port in ports.items()
        },
    }


def sentences(refusal: str) -> list[str]:
    """Return the lines of a refusal that say what is wrong."""
    lines = [line.removeprefix("- ") for line in refusal.splitlines()]
    return [
        line for line in lines if line and not re.match(r"Error: |tenantproxy:|Use --debug", line)
    ]
