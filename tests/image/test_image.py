"""The steps of the Dockerfile, carried out: what they leave, and that it runs."""

import contextlib
import importlib.metadata
import os
import signal
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

import tenantproxy
from tests.e2e import procfs
from tests.e2e.apart import serving_apart
from tests.e2e.daemon import document, tenant, until
from tests.e2e.upstreams import echo, name_and_close, serving
from tests.e2e.wire import dial, dialled
from tests.image.contained import Contained
from tests.image.test_lock import Lock
from tests.movers import skip_without_kernel_relay

pytestmark = pytest.mark.timeout(240)  # the first one to run makes the image

INSTALLERS = ("pip", "setuptools", "wheel", "ensurepip", "hatchling", "uv")
COMPILERS = {"cc", "gcc", "g++", "clang", "ld", "as", "make", "cargo", "rustc", "go"}


def site_packages(image) -> Path:
    (found,) = image.inside("/opt/tenantproxy/lib").glob("python3.*/site-packages")
    return found


def status(pid: int) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}


@contextlib.asynccontextmanager
async def contained(image, folder):
    """Run the image with one tenant, whose upstream says "up"."""
    async with serving_apart(name_and_close, "up") as up:
        doc = document({"acme": tenant({"up": up.port}, web={"split": {"up": 1}})})
        async with Contained(image, doc, folder / "daemon.log") as daemon:
            yield daemon


async def answer(daemon) -> bytes:
    wire = await dial(await daemon.port("acme/web"))
    try:
        return await wire.rest()
    finally:
        wire.close()


def test_what_is_installed_is_what_the_lock_names(image):
    found = importlib.metadata.distributions(path=[str(site_packages(image))])
    installed = {canonicalize_name(one.name): one.version for one in found}
    assert installed.pop("tenantproxy") == tenantproxy.__version__
    locked = Lock("requirements.txt", []).versions()
    assert installed == {name: str(version) for name, version in locked.items()}


@pytest.mark.parametrize("python", ["/opt/tenantproxy/bin/python", "/usr/local/bin/python"])
def test_nothing_in_the_result_can_install(image, python):
    look = "import sys, importlib.util as u; print(*filter(u.find_spec, sys.argv[1:]))"
    # The Python of this machine may have more than the base image, but these go from both.
    wanted = INSTALLERS if python.startswith("/opt") else INSTALLERS[:4]
    assert image.run(python, "-c", look, *wanted).split() == []


def test_the_result_adds_no_compiler_to_the_base(image):
    places = [*image.inside("/opt").iterdir(), image.local]
    added = [path for top in places for path in top.rglob("*")]
    assert places[0].name == "tenantproxy"
    assert len(added) > 1000
    assert not [path for path in added if path.name in COMPILERS]
    assert not [path for path in added if path.suffix in (".whl", ".c", ".o", ".a")]
    assert not image.inside("/build").exists()


def test_no_process_of_the_image_has_to_compile(image):
    """A worker would do it at each start: a read-only root keeps no bytecode."""
    look = (
        "import sys, os, tenantproxy.cli.main, tenantproxy.daemon.run;"
        "import tenantproxy.dataplane.worker;"
        "specs = [m.__spec__ for m in sys.modules.values() if getattr(m, '__spec__', None)];"
        "print(*[s.origin for s in specs if s.cached and not os.path.exists(s.cached)])"
    )
    assert image.run("python", "-c", look).split() == []


def test_the_bytecode_does_not_depend_on_the_times_of_files(image):
    """PEP 552: flags of 1 stand for a hash that is not compared at import."""
    compiled = list(site_packages(image).rglob("*.pyc"))
    assert len(compiled) > 500
    assert {path.read_bytes()[4:8] for path in compiled} == {b"\x01\0\0\0"}


async def test_it_serves_as_process_1_on_a_read_only_root_with_no_rights(image, tmp_path):
    async with contained(image, tmp_path) as daemon:
        assert await answer(daemon) == b"up"
        async with daemon.session.get(f"{daemon.admin_url}/livez") as livez:
            assert livez.status == 200
        assert await daemon.metrics()

        facts = status(daemon.pid)
        assert facts["NSpid"][-1] == "1"
        assert set(facts["Uid"] + facts["Gid"]) == set(image.stage.user.split(":"))
        assert facts["Groups"] == []
        assert int(facts["CapEff"][0], 16) == int(facts["CapBnd"][0], 16) == 0
        assert facts["NoNewPrivs"] == ["1"]
        root = Path(f"/proc/{daemon.pid}/root")
        for place in ("", "tmp", "dev", "usr/local", "opt/tenantproxy", "etc/tenantproxy"):
            with pytest.raises(OSError, match="Read-only file system"):
                (root / place / "written").touch()
        assert procfs.command(daemon.pid)[2:-1] == image.stage.command()[1:]
        assert (root / image.stage.workdir[1:]).samefile(f"/proc/{daemon.pid}/cwd")


async def test_the_signal_of_the_image_ends_it_with_0(image, tmp_path):
    async with contained(image, tmp_path) as daemon:
        os.kill(daemon.pid, signal.Signals[image.stage.settings["STOPSIGNAL"]])
        assert await daemon.wait_end() == 0
        assert daemon.log_events()[-1]["event"] == "stopped"


async def test_a_worker_that_was_killed_is_replaced_and_leaves_no_zombie(image, tmp_path):
    """Nobody stands above process 1 to reap for it."""
    async with contained(image, tmp_path) as daemon:
        for victim in daemon.workers():
            os.kill(victim, signal.SIGKILL)
            await until(lambda old=victim: len(set(daemon.workers()) - {old}) == 2)
            assert set(procfs.descendants(daemon.pid)) == set(daemon.workers())
        assert await answer(daemon) == b"up"


async def test_as_root_with_two_capabilities_and_no_other_the_kernel_relay_works(image, tmp_path):
    skip_without_kernel_relay()
    rights = {"user": "0:0", "capabilities": ("bpf", "net_admin")}
    async with serving(echo) as up:
        doc = document({"acme": tenant({"up": up.port}, web={"split": {"up": 1}})}, relay="kernel")
        async with Contained(image, doc, tmp_path / "daemon.log", **rights) as daemon:
            assert int(status(daemon.pid)["CapEff"][0], 16).bit_count() == 2
            async with dialled(await daemon.port("acme/web")) as wire:
                for _ in range(20):
                    await wire.send(b"x" * 500)
                    assert await wire.exactly(500) == b"x" * 500
                in_kernel = 'tenantproxy_relay_connections{mode="kernel"}'
                await until(lambda: _sample(daemon, in_kernel))


async def _sample(daemon, name) -> float:
    return (await daemon.metrics())[name]
