"""Every refusal says which step it was; what is set is there, and what is discarded is not."""

from __future__ import annotations

import ctypes
import errno
import os

import pytest

from tenantproxy.dataplane.relay import bpf
from tenantproxy.dataplane.relay.assembler import Assembler, Reg
from tenantproxy.dataplane.relay.bpf import Elements, MapType, create_map, load_verdict
from tests.dataplane.relay.maps import keys

_PROG_LOAD = 5


def passing() -> bytes:
    asm = Assembler()
    asm.move(Reg.R0, 1)
    asm.exit()
    return asm.code()


@pytest.fixture
def table(kernel_relay):
    fd = create_map(MapType.HASH, key_bytes=8, value_bytes=4, entries=2)
    yield Elements(fd, "the table")
    os.close(fd)


class Interrupted:
    """The C library, whose bpf(2) says EAGAIN to a load so many times."""

    def __init__(self, times: int) -> None:
        self.left = times
        self.loads = 0
        self.real = bpf._libc.syscall

    def syscall(self, number, command, attr, size):
        if command == _PROG_LOAD:
            self.loads += 1
            if self.left:
                self.left -= 1
                ctypes.set_errno(errno.EAGAIN)
                return -1
        return self.real(number, command, attr, size)


def test_an_element_is_set_replaced_and_discarded(table):
    table.set(7, 1)
    table.set(7, 2)
    table.set(1 << 63, 3)
    assert keys(table) == {7, 1 << 63}
    table.discard(7)
    assert keys(table) == {1 << 63}


def test_discarding_what_is_not_there_does_nothing(table):
    table.discard(7)
    assert keys(table) == set()


def test_a_full_map_refuses_by_its_name(table):
    table.set(1, 1)
    table.set(2, 2)
    with pytest.raises(OSError, match="set an element of the table"):
        table.set(3, 3)


def test_a_map_that_cannot_be_made_is_named(kernel_relay):
    with pytest.raises(OSError, match="make the hash map") as refusal:
        create_map(MapType.HASH, key_bytes=0, value_bytes=4, entries=1)
    assert refusal.value.errno == errno.EINVAL


def test_a_program_is_loaded(kernel_relay):
    os.close(load_verdict(passing()))


def test_a_program_that_the_verifier_refuses_says_why(kernel_relay):
    asm = Assembler()
    asm.exit()  # without a result
    with pytest.raises(OSError, match="load the program") as refusal:
        load_verdict(asm.code())
    assert "R0 !read_ok" in refusal.value.strerror


def test_a_load_that_a_signal_interrupts_is_tried_again(kernel_relay, monkeypatch):
    libc = Interrupted(4)
    monkeypatch.setattr(bpf, "_libc", libc)
    os.close(load_verdict(passing()))
    assert libc.loads == 5


def test_it_is_not_tried_for_ever(kernel_relay, monkeypatch):
    libc = Interrupted(100)
    monkeypatch.setattr(bpf, "_libc", libc)
    with pytest.raises(OSError, match="load the program") as refusal:
        load_verdict(passing())
    assert refusal.value.errno == errno.EAGAIN
    assert libc.loads == 5


def test_on_a_machine_whose_number_is_not_known_the_first_step_is_refused(monkeypatch):
    monkeypatch.setattr(bpf, "_SYSCALL", -1)
    with pytest.raises(OSError, match="make the array map") as refusal:
        create_map(MapType.ARRAY, key_bytes=4, value_bytes=4, entries=1)
    assert refusal.value.errno == errno.ENOSYS
