"""Whatever a kernel refuses or only pretends to do, the verdict says no, and which step it was."""

from __future__ import annotations

import errno
import inspect
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tenantproxy.dataplane.relay import bpf, probe
from tenantproxy.dataplane.relay.links import Links

ROOT = Path(__file__).parents[3]
ASK = (
    "from tenantproxy.dataplane.relay.probe import probe\n"
    "verdict = probe()\n"
    "print(verdict.works, verdict.reason)\n"
)


@pytest.fixture(autouse=True)
def no_patience(monkeypatch):
    monkeypatch.setattr(probe, "_WAIT_S", 0.05)


def with_capabilities(*names: str) -> str:
    """Ask in a process that can have these capabilities and no others."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("setpriv is not installed")
    keep = ",".join(["-all", *(f"+{name}" for name in names)])
    done = subprocess.run(
        [setpriv, f"--bounding-set={keep}", "--inh-caps=-all", sys.executable, "-c", ASK],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# Capabilities --------------------------------------------------------------------------


def test_where_it_works_the_verdict_names_the_kernel(kernel_relay):
    verdict = probe.probe()
    assert verdict.works
    assert verdict.reason.startswith("Linux ")


def test_without_capabilities_the_reason_names_the_step(kernel_relay):
    said = with_capabilities()
    assert said.startswith("False Operation not permitted (")
    assert said.endswith(")")


@pytest.mark.parametrize("name", ["bpf", "net_admin"])
def test_one_of_the_two_capabilities_is_not_enough(kernel_relay, name):
    assert with_capabilities(name).startswith("False Operation not permitted (")


def test_the_two_capabilities_are_enough(kernel_relay):
    assert with_capabilities("bpf", "net_admin").startswith("True ")


# A kernel that refuses ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "wrong", "step"),
    [
        ("gates.create_map", {"entries": 0}, "make the array map"),
        ("gates.map_shared", {"offset": 1 << 40}, "map the memory of a map"),
        ("ring.create_map", {"entries": 0}, "make the ringbuf map"),
        ("ring.map_shared", {"offset": 1 << 40}, "map the memory of a map"),
        ("links.create_map", {"entries": 0}, "make the hash map"),
        ("links.load_verdict", {"code": b""}, "load the program"),
        ("links.attach_verdict", {"map_fd": 0}, "attach the program"),
    ],
)
def test_a_refused_step_is_named(kernel_relay, monkeypatch, name, wrong, step):
    """The kernel refuses what is wrong with it; the same way it would refuse what it cannot do."""
    real = getattr(bpf, name.partition(".")[2])

    def asked_wrongly(*arguments, **options):
        given = inspect.signature(real).bind(*arguments, **options).arguments
        return real(**given | wrong)

    monkeypatch.setattr(f"tenantproxy.dataplane.relay.{name}", asked_wrongly)
    verdict = probe.probe()
    assert not verdict.works
    assert verdict.reason.endswith(f"({step})")


def test_a_socket_that_is_refused_is_named(kernel_relay, monkeypatch):
    def set_(_self, _key, _value):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported", "set an element of peers")

    monkeypatch.setattr(bpf.Elements, "set", set_)
    verdict = probe.probe()
    assert verdict == probe.Verdict(False, "Operation not supported (set an element of peers)")


def test_without_a_loopback_interface_it_says_so(kernel_relay, monkeypatch):
    def refused(*_, **__):
        raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")

    monkeypatch.setattr(socket, "create_server", refused)
    assert probe.probe() == probe.Verdict(False, "Cannot assign requested address")


# A kernel that lies ---------------------------------------------------------------------


class PassesNothing(Links):
    def link(self, a, b):
        link = super().link(a, b)
        for slot in link.slots:
            self._sources.discard(slot)
        return link


class PassesSomethingElse(Links):
    def link(self, a, b):
        b.send(b"!")
        return super().link(a, b)


class PassesOneWay(Links):
    def link(self, a, b):
        link = super().link(a, b)
        self._sources.discard(link.slots[1])
        return link


class CountsNothing(Links):
    def moved(self, _slot):
        return 0


class NeverStops(Links):
    def stop(self, slot):
        pass


class SaysNothing(Links):
    def told(self):
        return iter(())


class NeverTrips(Links):
    def tripped(self, _slot):
        return False


@pytest.mark.parametrize(
    ("links", "reason"),
    [
        (PassesNothing, "a linked socket did not get what was sent"),
        (PassesOneWay, "a linked socket did not get what was sent"),
        (PassesSomethingElse, "a linked socket got something else than was sent"),
        (CountsNothing, "bytes that moved are not counted"),
        (NeverStops, "a linked socket got something else than was sent"),
        (SaysNothing, "a link does not trip when its credit is used up"),
        (NeverTrips, "a link does not trip when its credit is used up"),
    ],
)
def test_a_step_that_is_not_done_is_noticed(kernel_relay, monkeypatch, links, reason):
    monkeypatch.setattr(probe, "Links", links)
    assert probe.probe() == probe.Verdict(False, reason)


@pytest.mark.parametrize("name", ["acknowledged", "received"])
def test_a_tcp_info_that_counts_otherwise_is_noticed(kernel_relay, monkeypatch, name):
    real = getattr(probe.TcpInfo, name)
    monkeypatch.setattr(probe.TcpInfo, name, property(lambda self: 2 * real.fget(self) + 1))
    verdict = probe.probe()
    assert verdict == probe.Verdict(False, "TCP_INFO does not count bytes as expected")


def test_on_an_unknown_machine_it_does_not_work(monkeypatch):
    monkeypatch.setattr(bpf, "_SYSCALL", -1)
    verdict = probe.probe()
    assert verdict == probe.Verdict(False, "Function not implemented (make the array map)")
