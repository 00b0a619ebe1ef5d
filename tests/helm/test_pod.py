"""The rendered pod runs: it serves, answers its probes, follows its document, and ends in time."""

import asyncio
import contextlib
import json
import signal
import time
from pathlib import Path

import aiohttp
import pytest
import yaml

from tests.e2e import ports, procfs
from tests.e2e.daemon import until
from tests.e2e.upstreams import echo, serving
from tests.e2e.wire import ask
from tests.helm.chart import container_of, one, pod_of
from tests.helm.pod import Pod
from tests.movers import skip_without_kernel_relay

ELSEWHERE = "127.0.0.2"
"""Reaches what listens on every address, as a kubelet does, and nothing on 127.0.0.1."""


class Run:
    """A pod of the chart on free ports of this machine, with a tenant whose upstream echoes."""

    def __init__(
        self, helm, folder: Path, upstream: int, values: dict, *, keep_accepting="0s", **secrets
    ):
        first = ports.block(12)
        self.web, self.other = first, first + 1
        self.metrics, self.admin = first + 10, first + 11
        self.tenants = {"acme": _tenant(upstream, web=self.web)}
        self.more = self.tenants | {"corp": _tenant(upstream, db=self.other)}
        self.values = {
            "ports": {
                "range": f"{first}-{first + 9}",
                "metrics": self.metrics,
                "admin": self.admin,
            },
            "config": {
                "proxy": {"shutdown": {"keep_accepting": keep_accepting, "drain": "2s"}},
                "tenants": self.tenants,
            },
        } | values
        self.helm = helm
        self.objects = helm.objects(self.values)
        self.pod = Pod(pod_of(self.objects), self.objects, folder, **secrets)
        self.container = container_of(self.objects)

    def document_with(self, tenants: dict) -> str:
        config = self.values["config"] | {"tenants": tenants}
        objects = self.helm.objects(self.values | {"config": config})
        return one(objects, "ConfigMap", "demo-tenantproxy")["data"]["tenantproxy.yaml"]

    async def status(self, path: str, port: int, host: str = ELSEWHERE, **headers: str) -> int:
        """Return the status of an answer; 0 if nobody answers."""
        async with aiohttp.ClientSession() as session:
            try:
                async with session.get(f"http://{host}:{port}{path}", headers=headers) as answer:
                    return answer.status
            except aiohttp.ClientError:
                return 0

    async def probe(self, kind: str) -> int:
        """Ask a probe as it is rendered, at the port that its name stands for."""
        asked = self.container[kind]["httpGet"]
        named = {port["name"]: port["containerPort"] for port in self.container["ports"]}
        return await self.status(asked["path"], named[asked["port"]])

    @contextlib.asynccontextmanager
    async def started(self):
        with self.pod.started(self.container) as process:

            async def ready():
                assert process.poll() is None, self.pod.log()
                return await self.probe("readinessProbe") == 200

            await until(ready, within_s=20, say=self.pod.log)
            yield process
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(process.wait, 15) == 0, self.pod.log()


def _tenant(upstream: int, **listeners: int) -> dict:
    return {
        "upstreams": {"web": {"endpoints": [f"127.0.0.1:{upstream}"]}},
        "listeners": {name: {"port": p, "split": {"web": 1}} for name, p in listeners.items()},
    }


@pytest.fixture
async def upstream():
    async with serving(echo) as server:
        yield server.port


def told(pid: int, key: str) -> list[str]:
    """Return the words of a line of /proc/PID/status."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return line.split()[1:]
    raise LookupError(key)


async def test_the_pod_serves_and_answers_its_probes_and_the_api_is_its_own(
    helm, tmp_path, upstream
):
    run = Run(helm, tmp_path, upstream, {})
    async with run.started() as process:
        assert await ask(run.web, b"hello") == b"hello"
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert await run.probe(kind) == 200
        assert await run.status("/metrics", run.metrics) == 200
        assert await run.status("/readyz", run.admin) == 0
        assert await run.status("/readyz", run.admin, "127.0.0.1") == 200
        shown = run.pod.run(run.container, "tenantproxy", "get", "listeners", "-o", "name")
        assert shown.split() == ["listener/acme/web"]
        for pid in (process.pid, *procfs.descendants(process.pid)):
            assert set(told(pid, "Uid")) == {"65532"}
            assert told(pid, "CapEff") == ["0000000000000000"]
            assert told(pid, "NoNewPrivs") == ["1"]
    assert "Traceback" not in run.pod.log()
    assert "Read-only file system" not in run.pod.log()


async def test_a_change_of_tenants_is_followed_and_restarts_nothing(helm, tmp_path, upstream):
    run = Run(helm, tmp_path, upstream, {})
    async with run.started() as process:
        before = procfs.descendants(process.pid)
        run.pod.swap("document", {"tenantproxy.yaml": run.document_with(run.more)})

        async def served():
            with contextlib.suppress(OSError):
                return await ask(run.other, b"new") == b"new"

        await until(served, within_s=10, say=run.pod.log)
        assert procfs.descendants(process.pid) == before
        run.pod.swap("policies", {"idle.yaml": "name: other\nkind: idle\nafter: 1h\nthen: close\n"})

        def followed():
            words = ("tenantproxy", "get", "policies", "-o", "name")
            return run.pod.run(run.container, *words).split() == ["policy/other"]

        await until(followed, within_s=10, every_s=0.3, say=run.pod.log)


async def test_on_sigterm_it_is_not_ready_accepts_on_and_ends_within_the_grace_period(
    helm, tmp_path, upstream
):
    run = Run(helm, tmp_path, upstream, {}, keep_accepting="3s")
    grace_s = pod_of(run.objects)["terminationGracePeriodSeconds"]
    assert grace_s == 15
    async with run.started() as process:
        reader, writer = await asyncio.open_connection("127.0.0.1", run.web)
        process.send_signal(signal.SIGTERM)
        began_s = time.monotonic()

        async def withdrawn():
            return await run.probe("readinessProbe") == 503

        await until(withdrawn, within_s=2)
        assert await run.probe("livenessProbe") == 200
        assert await ask(run.web, b"late") == b"late"
        assert await asyncio.to_thread(process.wait, grace_s) == 0, run.pod.log()
        assert time.monotonic() - began_s < grace_s
        writer.close()
        del reader


async def test_with_a_token_the_api_is_for_others_too(helm, tmp_path, upstream):
    admin = {"expose": True, "token": {"existingSecret": "my-token", "key": "admin"}}
    run = Run(helm, tmp_path, upstream, {"admin": admin}, my_token={"admin": "s3cret\n"})
    async with run.started():
        status = "/api/v1/status"
        assert await run.status(status, run.admin) == 401
        assert await run.status(status, run.admin, Authorization="Bearer s3cret") == 200
        words = ("--token-file", "/etc/tenantproxy/token/admin", "get", "listeners", "-o", "name")
        assert run.pod.run(run.container, "tenantproxy", *words).split() == ["listener/acme/web"]


async def test_a_document_in_a_secret_is_read_by_the_group_of_the_pod(helm, tmp_path, upstream):
    run = Run(helm, tmp_path, upstream, {"configStorageType": "Secret"})
    async with run.started():
        assert await ask(run.web, b"hello") == b"hello"


async def test_the_pod_of_helm_test_is_content(helm, tmp_path, upstream):
    run = Run(helm, tmp_path / "proxy", upstream, {})
    spec = one(run.objects, "Pod")["spec"]
    tester = Pod(spec, run.objects, tmp_path / "test")
    tester.hosts["demo-tenantproxy-metrics"] = ELSEWHERE
    async with run.started():
        said = await asyncio.to_thread(tester.run, spec["containers"][0])
    assert said == "/readyz answers\n/metrics answers\n"


async def test_the_pod_of_helm_test_fails_where_nobody_answers(helm, tmp_path):
    run = Run(helm, tmp_path / "proxy", 1, {})
    spec = one(run.objects, "Pod")["spec"]
    tester = Pod(spec, run.objects, tmp_path / "test")
    tester.hosts["demo-tenantproxy-metrics"] = ELSEWHERE
    with pytest.raises(AssertionError, match="Connection refused"):
        tester.run(spec["containers"][0])


async def test_the_kernel_relay_has_its_two_capabilities_and_works(helm, tmp_path, upstream):
    skip_without_kernel_relay()
    run = Run(helm, tmp_path, upstream, {"kernelRelay": {"enabled": True, "mode": "kernel"}})
    async with run.started() as process:
        for pid in (process.pid, *procfs.descendants(process.pid)):
            assert int(told(pid, "CapEff")[0], 16) == 1 << 39 | 1 << 12  # CAP_BPF, CAP_NET_ADMIN
        words = ("tenantproxy", "describe", "daemon", "-o", "json")
        shown = json.loads(run.pod.run(run.container, *words))
        assert {worker["relay"]["mode"] for worker in shown["workers"]} == {"kernel"}, shown
        assert await ask(run.web, b"hello") == b"hello"


def test_another_user_than_0_would_not_get_the_capabilities(helm, tmp_path):
    """Why the chart takes user 0: nothing gives added capabilities to others at execve."""
    objects = helm.objects({"kernelRelay": {"enabled": True}})
    spec = pod_of(objects)
    spec["securityContext"]["runAsUser"] = 65532
    said = Pod(spec, objects, tmp_path).run(container_of(objects), "cat", "/proc/self/status")
    assert "CapEff:\t0000000000000000" in said
    assert "CapBnd:\t0000008000001000" in said


def test_volumes_are_laid_out_as_a_kubelet_does(helm, tmp_path):
    objects = helm.objects()
    pod = Pod(pod_of(objects), objects, tmp_path)
    path = "/etc/tenantproxy/config"
    shown = pod.run(container_of(objects), "ls", "-la", path)
    assert "tenantproxy.yaml -> ..data/tenantproxy.yaml" in shown
    text = pod.run(container_of(objects), "cat", f"{path}/tenantproxy.yaml")
    assert yaml.safe_load(text)["version"] == 1
