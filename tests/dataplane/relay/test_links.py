"""Linking and forgetting are whole or not at all, and give every slot back."""

from __future__ import annotations

import errno
import mmap

import pytest

from tenantproxy.dataplane.relay import links as links_module
from tenantproxy.dataplane.relay.bpf import Elements
from tenantproxy.dataplane.relay.gates import MESSAGE_BYTES
from tenantproxy.dataplane.relay.links import Links
from tests.dataplane.relay.conftest import CREDIT, ONE, PAIRS, exactly
from tests.dataplane.relay.maps import NO_ENTRIES, entries

STEPS = ("create_map", "load_verdict", "attach_verdict")
SETS = 6
"""Elements that one link sets."""


def refuse(monkeypatch, at: int, before=lambda: None) -> None:
    """Have the kernel refuse the `at`-th element that is set, counted from 1."""
    done = 0
    real = Elements.set

    def set_(self, key, value):
        nonlocal done
        done += 1
        if done == at:
            before()
            raise OSError(errno.ENOMEM, "Cannot allocate memory", "set an element")
        real(self, key, value)

    monkeypatch.setattr(Elements, "set", set_)


def test_a_pair_takes_two_slots_until_it_is_forgotten(links, linked):
    assert links.free == PAIRS - 1
    for slots in entries(links).values():
        assert len(slots) == 2
    linked.ours.close()
    linked.theirs.close()
    links.forget(linked.link)
    assert links.free == PAIRS
    assert entries(links) == NO_ENTRIES


def test_closed_sockets_leave_the_socket_maps_by_themselves(links, linked):
    linked.ours.close()
    linked.theirs.close()
    left = entries(links)
    assert (left["peers"], left["sources"]) == (set(), set())
    links.forget(linked.link)
    assert entries(links) == NO_ENTRIES


def test_what_was_queued_before_is_passed_on_first(links, connect):
    client, ours = connect()
    server, theirs = connect()
    client.sendall(b"before, ")
    server.sendall(b"BEFORE, ")
    links.link(ours, theirs)
    client.sendall(b"after")
    server.sendall(b"AFTER")
    assert exactly(server, 13) == b"before, after"
    assert exactly(client, 13) == b"BEFORE, AFTER"


def test_what_was_queued_before_does_not_wait_for_more(links, connect):
    client, ours = connect()
    server, theirs = connect()
    client.sendall(b"before")
    links.link(ours, theirs)
    assert server.recv(100) == b"before"


def test_a_slot_is_clean_for_the_next_pair(links, connect):
    for number in range(3 * PAIRS):
        client, ours = connect()
        server, theirs = connect()
        link = links.link(ours, theirs)
        assert links.moved(link.slots[0]) == 0
        assert not links.tripped(link.slots[0])
        client.sendall(bytes(number + 1))
        assert len(server.recv(100)) == number + 1
        links.stop(link.slots[0])
        client.sendall(b"x")
        assert ours.recv(1) == b"x"
        for sock in (client, ours, server, theirs):
            sock.close()
        links.forget(link)


@pytest.mark.parametrize("at", range(1, SETS))
def test_a_refused_link_leaves_both_as_they_were(links, connect, monkeypatch, at):
    client, ours = connect()
    server, theirs = connect()
    client.sendall(b"one")
    refuse(monkeypatch, at, lambda: client.sendall(b"two"))
    with pytest.raises(OSError, match="set an element"):
        links.link(ours, theirs)
    assert links.free == PAIRS
    assert entries(links) == NO_ENTRIES
    client.sendall(b"three")
    assert exactly(ours, 11) == b"onetwothree"
    theirs.sendall(b"by hand")
    assert server.recv(100) == b"by hand"


def test_a_link_refused_at_the_last_step_is_told_to_leave(links, connect, monkeypatch):
    """What came meanwhile is on its way through the kernel: the pair cannot be taken apart."""
    client, ours = connect()
    server, theirs = connect()
    client.sendall(b"one")
    refuse(monkeypatch, SETS, lambda: client.sendall(b"two"))
    link = links.link(ours, theirs)
    assert all(links.tripped(slot) for slot in link.slots)
    client.sendall(b"three")
    assert ours.recv(100) == b"three"
    assert links.moved(link.slots[0]) == 6
    assert exactly(server, 6) == b"onetwo"
    server.sendall(b"answer")
    assert theirs.recv(100) == b"answer"
    links.forget(link)
    assert links.free == PAIRS


def test_credit_is_counted_from_what_is_free(links, linked):
    linked.client.sendall(bytes(3000))
    assert len(exactly(linked.server, 3000)) == 3000
    links.grant(linked.there, 1000)
    fits = CREDIT + 1000 - links.charged(linked.there) - MESSAGE_BYTES
    linked.client.sendall(bytes(fits))
    assert len(exactly(linked.server, fits)) == fits
    assert links.charged(linked.there) == CREDIT + 1000
    assert not links.tripped(linked.there)
    linked.client.sendall(b"!")
    assert linked.ours.recv(1) == b"!"


def test_after_a_grant_it_is_told_late_before_the_new_limit(links, linked):
    linked.client.sendall(bytes(ONE))
    assert list(links.told()) == [linked.there]
    assert links.is_soon(linked.there)
    assert links.is_low(linked.there)
    links.grant(linked.there, CREDIT)
    assert not links.is_soon(linked.there)
    assert not links.is_low(linked.there)
    linked.client.sendall(bytes(CREDIT * 3 // 4 - 2 * MESSAGE_BYTES - 2))
    assert list(links.told()) == [linked.there]
    assert links.is_soon(linked.there)
    assert not links.is_low(linked.there)
    linked.client.sendall(b"!!")
    assert list(links.told()) == [linked.there]


@pytest.mark.parametrize(
    ("step", "at"),
    [("create_map", at) for at in (3, 4, 5)] + [("load_verdict", 1), ("attach_verdict", 1)],
)
def test_if_one_step_is_refused_nothing_stays_open(kernel_relay, monkeypatch, step, at):
    """The fixture of every test counts descriptors."""
    done = 2 if step == "create_map" else 0  # gates and ring make their own
    real = getattr(links_module, step)

    def refused(*arguments, **options):
        nonlocal done
        done += 1
        if done == at:
            raise OSError(errno.EPERM, "Operation not permitted", step)
        return real(*arguments, **options)

    monkeypatch.setattr(links_module, step, refused)
    with pytest.raises(OSError, match=step):
        Links(1, (CREDIT, CREDIT))


@pytest.mark.parametrize("at", [1, 2, 3])
def test_if_memory_cannot_be_mapped_nothing_stays_open(kernel_relay, monkeypatch, at):
    """The gates are mapped first, then the two parts of the ring."""
    done = 0
    real = mmap.mmap

    def refused(*arguments, **options):
        nonlocal done
        done += 1
        if done == at:
            raise OSError(errno.EPERM, "Operation not permitted")
        return real(*arguments, **options)

    monkeypatch.setattr(mmap, "mmap", refused)
    with pytest.raises(OSError, match="not permitted"):
        Links(1, (CREDIT, CREDIT))
