"""Control hears how often an endpoint failed in a row, and nothing of those that are well."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tenantproxy.clock import monotonic_s
from tenantproxy.dataplane import messages as m
from tenantproxy.dataplane.endpoint import Endpoint
from tenantproxy.dataplane.outcomes import Reports
from tests.dataplane.support import (
    HOST,
    listener,
    port_of,
    receive,
    reset,
    send,
    until,
    upstream,
    was_reset,
)


def told(rig) -> list[tuple[int, int, str]]:
    """Return endpoint, number and reason of all outcomes, in order."""
    return [
        (one.endpoint, one.failures, one.reason)
        for report in rig.said(m.Outcomes)
        for one in report.outcomes
    ]


@pytest.fixture
async def reports():
    said: list[m.Outcomes] = []
    one = Reports(asyncio.get_running_loop(), said.append)
    yield one, said
    one.close()


async def test_failures_are_gathered_into_one_report(reports):
    one, said = reports
    endpoints = [Endpoint(HOST, 80, 1, id=i) for i in range(3)]
    for i, endpoint in enumerate(endpoints):
        for _ in range(i + 1):
            one.failed(endpoint, "refused", early=False)
    await until(lambda: said)
    assert len(said) == 1
    assert {(o.endpoint, o.failures, o.reason) for o in said[0].outcomes} == {
        (0, 1, "refused"),
        (1, 2, "refused"),
        (2, 3, "refused"),
    }


async def test_the_two_rows_do_not_end_each_other_and_the_longer_is_told(reports):
    one, said = reports
    endpoint = Endpoint(HOST, 80, 1, id=7)

    async def after(*deeds) -> list[int]:
        said.clear()
        for deed in deeds:
            deed()
        await asyncio.sleep(0.1)
        return [o.failures for report in said for o in report.outcomes]

    def refused():
        one.failed(endpoint, "refused", early=False)

    def early():
        one.failed(endpoint, "early_reset", early=True)

    def connected():
        one.connected(endpoint)

    assert await after(refused, refused) == [2]
    assert await after(connected, early) == [1]
    assert await after(connected, early) == [2]
    assert await after(refused) == []  # 1 and 2
    assert await after(lambda: one.answered(endpoint)) == [1]
    assert await after(connected) == [0]
    assert endpoint.trouble is None


async def test_what_was_not_told_is_not_taken_back(reports):
    one, said = reports
    endpoint = Endpoint(HOST, 80, 1, id=7)
    one.failed(endpoint, "refused", early=False)
    one.connected(endpoint)
    await asyncio.sleep(0.1)
    assert said == []
    assert endpoint.trouble is None


async def test_an_endpoint_that_left_meanwhile_is_not_told_of(reports):
    one, said = reports
    endpoint = Endpoint(HOST, 80, 1, id=7)
    one.failed(endpoint, "refused", early=False)
    endpoint.leave()
    await asyncio.sleep(0.1)
    assert said == []


async def test_many_endpoints_are_told_in_messages_that_can_be_sent(reports):
    one, said = reports
    for i in range(5000):
        one.failed(Endpoint(HOST, 80, 1, id=2**40 + i), "self_connect", early=False)
    await until(lambda: sum(len(report.outcomes) for report in said) == 5000)
    assert all(len(m.encode(report)) < m.MAX_BYTES for report in said)


async def test_refused_connects_are_told_in_a_row_and_their_end_once(rig):
    place = rig.keep(socket.socket())
    place.bind((HOST, 0))
    rig.upstreams(upstream(1, port_of(place), report=True))
    port = rig.open(listener(1, {1: 1}))
    for number in range(1, 4):
        began_s = monotonic_s()
        assert await was_reset(await rig.connect(port))
        await until(lambda number=number: told(rig)[-1:] == [(8, number, "refused")])
        assert monotonic_s() - began_s < 5
    place.listen()
    for _ in range(3):
        await rig.pair(port, place)
    await until(lambda: len(told(rig)) == 4)
    await asyncio.sleep(0.05)
    assert told(rig)[3:] == [(8, 0, "refused")]
    assert rig.engine._upstreams[1].endpoints[8].trouble is None


async def test_early_resets_are_told_though_connects_work_and_end_with_a_first_byte(rig):
    server = rig.listening()
    rig.upstreams(upstream(1, port_of(server), report=True))
    port = rig.open(listener(1, {1: 1}))
    for number in range(1, 4):
        client, end = await rig.pair(port, server)
        await rig.joined()
        reset(end)
        assert await was_reset(client)
        await until(lambda number=number: told(rig)[-1:] == [(8, number, "early_reset")])
    client, end = await rig.pair(port, server)
    await asyncio.sleep(0.05)
    assert told(rig)[-1] == (8, 3, "early_reset")  # that it can be connected says nothing
    await send(end, b"1")
    await receive(client, 1)
    await until(lambda: told(rig)[-1] == (8, 0, "early_reset"))


async def test_a_clean_end_without_a_byte_ends_the_row(rig):
    server = rig.listening()
    rig.upstreams(upstream(1, port_of(server), report=True))
    port = rig.open(listener(1, {1: 1}))
    client, end = await rig.pair(port, server)
    await rig.joined()
    reset(end)
    await until(lambda: told(rig) == [(8, 1, "early_reset")])
    client, end = await rig.pair(port, server)
    end.close()
    assert await receive(client, 1) == b""
    await until(lambda: told(rig)[-1] == (8, 0, "early_reset"))


async def test_nothing_is_told_or_kept_unless_control_wants_to_hear(rig):
    rig.upstreams(upstream(1, rig.dead_port()))
    port = rig.open(listener(1, {1: 1}))
    assert await was_reset(await rig.connect(port))
    await asyncio.sleep(0.05)
    assert told(rig) == []
    assert rig.engine._upstreams[1].endpoints[8].trouble is None
    assert rig.books.endpoint(8) == (0, 0, 1)


async def test_an_endpoint_that_comes_back_begins_anew(rig):
    dead = rig.dead_port()
    rig.upstreams(upstream(1, dead, report=True))
    port = rig.open(listener(1, {1: 1}))
    for _ in range(3):
        assert await was_reset(await rig.connect(port))
    await until(lambda: told(rig)[-1:] == [(8, 3, "refused")])
    rig.upstreams(upstream(1, report=True))
    rig.upstreams(upstream(1, dead, report=True))
    assert await was_reset(await rig.connect(port))
    await until(lambda: told(rig)[-1] == (8, 1, "refused"))
