"""CPU time of processes, and which of the two CPUs was full."""

import os
import time

import pytest

from benchmarks import arena, machine
from benchmarks.machine import Ticks, cpu_s, steered
from benchmarks.workloads.listeners import listening
from tests.e2e.upstreams import Server, echo

STAT = """cpu  0 0 0 0 0 0 0 0 0 0
cpu0 {user} 0 10 {idle} {waiting} 0 3 0 0 0
cpu1 50 0 50 0 0 0 0 0 0 0
"""


def test_shares_are_of_what_passed_since():
    before = Ticks.parse(STAT.format(user=100, idle=100, waiting=5), 0, 1)
    after = Ticks.parse(STAT.format(user=130, idle=104, waiting=11), 0, 1)

    assert after.shares_since(before) == (0.75, 0.0)


def test_cpu_time_grows_with_work():
    mine = [os.getpid()]
    before, until = cpu_s(mine), time.process_time() + 0.02
    while time.process_time() < until:
        pass

    assert cpu_s(mine) - before >= 0.015


def test_a_process_that_is_gone_used_nothing():
    assert cpu_s([2**22 + 1]) == 0


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ((0.80, 0.99), [arena.LOAD_WAS_THE_LIMIT]),
        ((0.95, 0.99), []),
        ((0.80, 0.90), []),
    ],
)
def test_a_run_whose_load_was_the_limit_says_so(monkeypatch, shares, said):
    monkeypatch.setattr(Ticks, "shares_since", lambda self, before: shares)

    with arena.Watch(None) as watch:
        pass

    assert watch.notes == said


@pytest.mark.parametrize(("used_s", "said"), [(0.9, []), (0.5, [arena.OTHERS_RAN])])
def test_a_run_beside_other_programs_says_so(monkeypatch, used_s, said):
    """A second in which the proxy's CPU was 95 % busy."""
    monkeypatch.setattr(Ticks, "shares_since", lambda self, before: (0.95, 0.5))
    cpu, clock = iter([0.0, used_s]), iter([0.0, 1.0])
    monkeypatch.setattr(arena, "cpu_s", lambda pids: next(cpu))
    monkeypatch.setattr(arena.time, "perf_counter", lambda: next(clock))

    class Proxy:
        def pids(self):
            return [1]

    with arena.Watch(Proxy()) as watch:
        pass

    assert watch.notes == said


async def test_ports_that_are_listened_on_are_seen():
    server = Server(echo)
    server.start()
    port = server.port
    assert port in listening()
    await server.stop()
    assert port not in listening()


SETTINGS = (machine._RFS, machine._LOOPBACK / "rps_flow_cnt", machine._LOOPBACK / "rps_cpus")
may_steer = pytest.mark.skipif(
    not all(os.access(path, os.W_OK) for path in SETTINGS), reason="only root steers packets"
)


def as_it_is() -> list[str]:
    return [path.read_text() for path in SETTINGS]


@may_steer
def test_packets_are_steered_to_both_cpus_and_then_as_before():
    before = as_it_is()

    with steered() as works:
        assert works
        flows, on_loopback, cpus = as_it_is()
        assert (int(flows), int(on_loopback)) == (machine.FLOWS, machine.FLOWS)
        assert int(cpus.replace(",", ""), 16) == 1 << machine.PROXY_CPU | 1 << machine.LOAD_CPU

    assert as_it_is() == before


@may_steer
def test_packets_are_as_before_when_a_run_fails_or_one_setting_is_refused(monkeypatch):
    before = as_it_is()

    with pytest.raises(ZeroDivisionError), steered():
        raise ZeroDivisionError
    assert as_it_is() == before

    monkeypatch.setattr(machine, "PROXY_CPU", 4000)  # no such CPU: the last of three is refused
    with steered() as works:
        assert not works
    assert as_it_is() == before
