"""TLS to endpoints: what fails a try, what is told of it, and where it is tried again."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl

import msgspec
import pytest

from tenantproxy.dataplane import messages as m
from tenantproxy.dataplane.counters import Upstream
from tests.dataplane.greeter_support import needs, open_port, running
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
from tests.dataplane.tls_support import NAME, a_tls_server

pytestmark = pytest.mark.both_movers

VERSIONS = pytest.mark.parametrize("version", ["v1", "v2"])


@pytest.fixture
def server(pki):
    with a_tls_server(pki.server_context()) as server:
        yield server


async def test_a_name_that_is_not_in_the_certificate_fails_the_try_and_is_told(rig, pki, server):
    accepting = asyncio.ensure_future(server.accept())
    order = upstream(1, server.port, tls=pki.order(server_name="other.test"))
    client = await rig.connect(open_port(rig, order))
    assert await was_reset(client)
    with pytest.raises((ssl.SSLError, OSError)):
        await accepting
    assert rig.books.errors() == {"tls": 1}
    assert rig.books.ends() == {"!connect_failed": 1}
    [notice] = rig.notices("upstream_tls")
    assert notice.subject == "tenant/upstream-1"
    assert notice.detail == (
        f"{HOST} port {server.port}: certificate verify failed: Hostname mismatch, certificate is "
        "not valid for 'other.test'"
    )


async def test_a_failed_handshake_is_followed_by_a_try_elsewhere(rig, pki, server):
    with a_tls_server(pki.server_context()) as bad:
        bad.context.load_cert_chain(pki.stranger_cert, pki.stranger_key)
        order = upstream(1, bad.port, server.port, tls=pki.order())
        port = open_port(rig, order)
        refusing = asyncio.ensure_future(bad.accept())
        for _ in range(2):  # round robin: one of them begins with the bad one
            client = await rig.connect(port)
            end = await server.accept()
            await send(client, b"question")
            assert await asyncio.to_thread(end.recv, 100) == b"question"
        with pytest.raises((ssl.SSLError, OSError)):
            await refusing
    assert rig.books.errors() == {"tls": 1}
    assert rig.books.ends() == {}
    assert "unable to get local issuer certificate" in rig.notices("upstream_tls")[0].detail


@pytest.mark.parametrize("speaks_first", [False, True])
async def test_a_server_without_tls_fails_the_try(rig, pki, speaks_first):
    server = rig.listening()
    port = open_port(rig, upstream(1, port_of(server), tls=pki.order()))
    client = await rig.connect(port)
    end = await rig.accept(server)
    if not speaks_first:
        await receive(end, 100)
    await send(end, b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert await was_reset(client)
    assert rig.books.errors() == {"tls": 1}
    assert "wrong version number" in rig.notices("upstream_tls")[0].detail


@pytest.mark.parametrize("warm", [0, 1])
async def test_a_server_that_never_shakes_hands_costs_the_deadline_of_the_try(
    rig, pki, server, warm
):
    silent = rig.listening()
    order = upstream(
        1, port_of(silent), server.port, tls=pki.order(), connect_timeout_s=0.3, warm=warm
    )
    rig.upstreams(order)
    await until(lambda: rig.books.counters.upstream(1)[Upstream.SPARES] == 2 * warm)
    port = rig.open(listener(1, {1: 1}))
    for _ in range(2):
        await rig.connect(port)
        await server.accept()
    assert rig.books.errors() == {"timeout": 1}
    assert rig.books.route()[:2] == (2, 0)


async def test_a_handshake_under_way_is_given_up_when_its_listener_ends(rig, pki):
    silent = rig.listening()
    port = open_port(rig, upstream(1, port_of(silent), tls=pki.order()))
    await rig.connect(port)
    end = await rig.accept(silent)
    assert await receive(end, 3)
    rig.order(m.StopListeners((1,), sweep=False))
    rig.order(m.EndConnections((1,), "kill", 0.0, forget=False))
    assert await was_reset(end)
    assert rig.books.ends() == {"!shutdown": 1}


async def test_our_certificate_is_shown_if_it_is_demanded(rig, pki):
    with a_tls_server(pki.server_context(demand=True)) as server:
        tls = pki.order(cert_file=pki.client_cert, key_file=pki.client_key)
        port = open_port(rig, upstream(1, server.port, tls=tls))
        client = await rig.connect(port)
        end = await server.accept()
        assert end.getpeercert()["subjectAltName"] == (("DNS", "client.test"),)
        await asyncio.to_thread(end.sendall, b"welcome")
        assert await receive(client, 7) == b"welcome"


async def test_without_the_certificate_that_is_demanded_the_client_is_reset_and_it_is_told(
    rig, pki
):
    with a_tls_server(pki.server_context(demand=True)) as server:
        port = open_port(rig, upstream(1, server.port, tls=pki.order()))
        accepting = asyncio.ensure_future(server.accept())
        client = await rig.connect(port)
        assert await was_reset(client)
        with pytest.raises(ssl.SSLError):
            await accepting
        assert rig.notices("upstream_tls")[0].detail == "tlsv13 alert certificate required"


async def test_without_verification_anybody_is_trusted(rig, pki, server):
    server.context.load_cert_chain(pki.expired_cert, pki.expired_key)
    order = upstream(1, server.port, tls=pki.order(ca_file=None, verify=False, server_name="x"))
    client = await rig.connect(open_port(rig, order))
    end = await server.accept()
    await send(client, b"question")
    assert await asyncio.to_thread(end.recv, 100) == b"question"


async def test_an_endpoint_without_a_name_is_verified_by_its_address(rig, pki, server):
    port = open_port(rig, upstream(1, server.port, tls=pki.order(server_name="")))
    await rig.connect(port)
    await server.accept()
    assert rig.books.errors() == {}


async def test_an_endpoint_is_asked_for_by_the_name_it_is_known_under(rig, pki, server):
    asked = []
    server.context.sni_callback = lambda _sock, name, _context: asked.append(name)
    order = upstream(1, server.port, tls=pki.order(server_name=""))
    [endpoint] = order.endpoints
    named = msgspec.structs.replace(endpoint, server_name=NAME)
    port = open_port(rig, msgspec.structs.replace(order, endpoints=(named,)))
    await rig.connect(port)
    await server.accept()
    assert asked == [NAME]


async def test_changed_files_are_for_new_connections_only(rig, pki, server, tmp_path):
    ca = str(tmp_path / "ca.pem")
    shutil.copy(pki.ca, ca)
    order = upstream(1, server.port, tls=pki.order(ca_file=ca))
    port = open_port(rig, order)
    client = await rig.connect(port)
    end = await server.accept()

    shutil.copy(pki.key, ca)  # no certificate
    rig.upstreams(upstream(1, server.port, tls=pki.order(ca_file=ca, version=2)))
    [notice] = rig.notices("upstream_tls")
    assert notice.detail.endswith("those from before stay in use")
    await rig.connect(port)
    await server.accept()

    shutil.copy(pki.stranger_ca, ca)
    rig.upstreams(upstream(1, server.port, tls=pki.order(ca_file=ca, version=3)))
    refusing = asyncio.ensure_future(server.accept())
    assert await was_reset(await rig.connect(port))
    with pytest.raises((ssl.SSLError, OSError)):
        await refusing

    await send(client, b"still here")
    assert await asyncio.to_thread(end.recv, 100) == b"still here"


async def test_files_that_were_never_good_fail_tries_and_are_told(rig, pki, server):
    order = upstream(1, server.port, tls=pki.order(ca_file=pki.ca + ".nowhere"))
    assert await was_reset(await rig.connect(open_port(rig, order)))
    assert rig.books.errors() == {"tls": 1}
    details = [notice.detail for notice in rig.notices("upstream_tls")]
    assert details[0].endswith("No such file or directory; no connection can be made")


async def test_new_keys_in_the_middle_are_taken_and_answered(rig, pki):
    """OpenSSL's test server sends KeyUpdate and asks for one: `K`."""
    with running(
        *(needs("openssl"), "s_server", "-accept", f"{HOST}:0", "-tls1_3"),
        *("-cert", pki.cert, "-key", pki.key),
    ) as process:
        assert process.stdin
        assert process.stdout

        def read_until(word: bytes) -> bytes:
            while word not in (line := process.stdout.readline()):
                assert line, word
            return line

        line = await asyncio.to_thread(read_until, b"ACCEPT ")
        address = line.split()[1].decode()
        server_port = int(address.rpartition(":")[2])
        port = open_port(rig, upstream(1, server_port, tls=pki.order()))
        client = await rig.connect(port)
        await send(client, b"begin\n")
        await asyncio.to_thread(read_until, b"begin")
        for number in range(3):
            process.stdin.write(b"K\n")
            process.stdin.flush()
            await asyncio.sleep(0.1)
            text = b"answer %d\n" % number
            process.stdin.write(text)
            process.stdin.flush()
            assert await receive(client, len(text)) == text
            await send(client, b"question %d\n" % number)
            await asyncio.to_thread(read_until, b"question %d" % number)
        assert rig.notices("upstream_tls") == []


# Trying elsewhere -------------------------------------------------------------------------


async def test_who_refuses_us_behind_the_handshake_is_passed_over_while_nothing_was_said(rig, pki):
    """In TLS 1.3 a server demands a certificate when we think that all is well."""
    with (
        a_tls_server(pki.server_context(demand=True)) as demands,
        a_tls_server(pki.server_context()) as server,
    ):
        port = open_port(rig, upstream(1, demands.port, server.port, tls=pki.order()))
        refusing = asyncio.ensure_future(demands.accept())
        for _ in range(2):
            client = await rig.connect(port)
            end = await server.accept()
            await send(client, b"question")
            assert await asyncio.to_thread(end.recv, 100) == b"question"
        with pytest.raises(ssl.SSLError):
            await refusing
    assert rig.books.errors() == {"early_reset": 1}
    assert rig.books.ends() == {}


@pytest.mark.parametrize("speaks", [False, True])
async def test_a_reset_before_any_byte_is_tried_elsewhere_and_not_behind_one(rig, pki, speaks):
    with a_tls_server(pki.server_context()) as one, a_tls_server(pki.server_context()) as other:
        port = open_port(rig, upstream(1, one.port, other.port, tls=pki.order()))
        client = await rig.connect(port)
        accepting = {asyncio.ensure_future(server.accept()): server for server in (one, other)}
        [first], [second] = await asyncio.wait(accepting, return_when=asyncio.FIRST_COMPLETED)
        end = first.result()
        await asyncio.sleep(0.05)  # tickets are not its word
        if speaks:
            await send(client, b"question")
            assert await asyncio.to_thread(end.recv, 100) == b"question"
        reset(end)
        if speaks:
            assert await was_reset(client)
            accepting[second].listening.settimeout(0)
            socket.create_connection(accepting[second].listening.getsockname()).close()
            with pytest.raises(OSError):
                await second
            assert rig.books.ends() == {"upstream_reset": 1}
        else:
            again = await second
            await send(client, b"question")
            assert await asyncio.to_thread(again.recv, 100) == b"question"
            assert rig.books.ends() == {}
    assert rig.books.errors() == {"early_reset": 1}
