"""What endpoints are told before the client's first byte, as real servers understand it."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import ssl
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from tenantproxy.dataplane import messages as m
from tenantproxy.dataplane.counters import Upstream
from tests.dataplane.support import (
    HOST,
    listener,
    port_of,
    receive,
    receive_all,
    reset,
    send,
    until,
    upstream,
    was_reset,
)
from tests.dataplane.tls_support import NAME, a_tls_server, make_pki

pytestmark = pytest.mark.both_movers

VERSIONS = pytest.mark.parametrize("version", ["v1", "v2"])


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return make_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def server(pki):
    with a_tls_server(pki.server_context()) as server:
        yield server


def open_port(rig, *orders, **changes) -> int:
    rig.upstreams(*orders)
    return rig.open(listener(1, {1: 1}, **changes))


def needs(program: str) -> str:
    path = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")
    if path is None:
        pytest.skip(f"{program} is not here")
    return path


@contextmanager
def running(*command: str, fds: tuple[int, ...] = (), **env: str) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=fds,
        env=os.environ | env,
    )
    try:
        yield process
    finally:
        process.terminate()  # nginx has a worker to end
        process.communicate(timeout=10)


@pytest.fixture
def haproxy(rig, pki, tmp_path):
    """Return a port where HAProxy expects a header, and TLS if asked; it answers with addresses."""
    both = tmp_path / "both.pem"
    both.write_text(Path(pki.cert).read_text() + Path(pki.key).read_text())
    with_tls, plain = rig.listening(), rig.listening()
    config = tmp_path / "haproxy.cfg"
    config.write_text(f"""
defaults
    mode http
    timeout connect 5s
    timeout client 20s
    timeout server 20s
frontend plain
    bind fd@{plain.fileno()} accept-proxy
    bind fd@{with_tls.fileno()} accept-proxy ssl crt {both}
    http-request return content-type text/plain lf-string "%[src] %[src_port] %[dst] %[dst_port]"
""")
    fds = plain.fileno(), with_tls.fileno()
    for fd in fds:
        os.set_inheritable(fd, True)
    with running(needs("haproxy"), "-db", "-f", str(config), fds=fds):
        yield {False: port_of(plain), True: port_of(with_tls)}


@pytest.fixture
def nginx(rig, pki, tmp_path):
    """Return a port where nginx expects a header and TLS; it answers with what it was told."""
    listening = rig.listening()
    config = tmp_path / "nginx.conf"
    config.write_text(f"""
daemon off; worker_processes 1; pid {tmp_path}/pid; error_log stderr;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {tmp_path}/1; proxy_temp_path {tmp_path}/2;
    fastcgi_temp_path {tmp_path}/3; uwsgi_temp_path {tmp_path}/4; scgi_temp_path {tmp_path}/5;
    server {{
        listen {HOST}:{port_of(listening)} ssl proxy_protocol;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_certificate {pki.cert}; ssl_certificate_key {pki.key};
        location / {{
            return 200 "$proxy_protocol_addr $proxy_protocol_port $ssl_server_name $ssl_protocol";
        }}
    }}
}}
""")
    fd = listening.fileno()
    command = needs("nginx"), "-e", "stderr", "-p", str(tmp_path), "-c", str(config)
    with running(*command, fds=(fd,), NGINX=f"{fd};"):
        yield port_of(listening)


async def ask(client: socket.socket) -> bytes:
    await send(client, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    head, _, body = (await receive_all(client)).partition(b"\r\n\r\n")
    client.shutdown(socket.SHUT_WR)
    assert head.startswith(b"HTTP/1.1 200")
    return body


# The header ---------------------------------------------------------------------------


@VERSIONS
@pytest.mark.parametrize("tls", [False, True])
async def test_haproxy_learns_who_the_client_is(rig, pki, haproxy, version, tls):
    order = upstream(1, haproxy[tls], send_proxy=version, tls=pki.order() if tls else None)
    port = open_port(rig, order)
    for _ in range(3):
        client = await rig.connect(port)
        assert (await ask(client)).decode().split() == [
            HOST,
            str(port_of(client)),
            HOST,
            str(port),
        ]
    await rig.quiet()
    assert rig.books.route()[:2] == (3, 3)


@VERSIONS
async def test_nginx_learns_who_the_client_is_and_which_name_was_asked_for(
    rig, pki, nginx, version
):
    port = open_port(rig, upstream(1, nginx, send_proxy=version, tls=pki.order()))
    client = await rig.connect(port)
    assert (await ask(client)).decode().split() == [
        HOST,
        str(port_of(client)),
        NAME,
        "TLSv1.3",
    ]


@VERSIONS
@pytest.mark.parametrize("tls", [False, True])
async def test_a_spare_connection_is_told_of_its_client_when_it_gets_one(
    rig, pki, haproxy, version, tls
):
    rig.upstreams(
        upstream(1, haproxy[tls], send_proxy=version, tls=pki.order() if tls else None, warm=2)
    )
    await until(lambda: rig.books.counters.upstream(1)[Upstream.SPARES] == 2)
    port = rig.open(listener(1, {1: 1}))
    for _ in range(4):
        client = await rig.connect(port)
        assert (await ask(client)).decode().split()[:2] == [HOST, str(port_of(client))]


@VERSIONS
async def test_the_header_is_in_front_and_is_not_the_clients(rig, version):
    server = rig.listening()
    port = open_port(rig, upstream(1, port_of(server), send_proxy=version))
    client = await rig.connect(port)
    await send(client, b"hello")
    end = await rig.accept(server)
    if version == "v1":
        line = f"PROXY TCP4 {HOST} {HOST} {port_of(client)} {port}\r\n".encode()
    else:
        line = (
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"
            + 2 * socket.inet_aton(HOST)
            + struct.pack(">HH", port_of(client), port)
        )
    assert await receive(end, len(line) + 5) == line + b"hello"
    assert rig.books.route() == (1, 0, 5, 0)


async def test_a_client_that_has_left_meanwhile_ends_as_gone(rig, monkeypatch):
    server = rig.listening()
    rig.upstreams(upstream(1, port_of(server), send_proxy="v1"))
    listening = rig.listening()
    client = await rig.connect(port_of(listening))
    reset(client)
    await asyncio.sleep(0.05)
    rig.open(listener(1, {1: 1}), listening)
    await until(lambda: rig.books.ends())
    assert rig.books.ends() == {"!client_gone": 1}
    assert rig.books.errors() == {}
    assert await was_reset(await rig.accept(server))


@VERSIONS
async def test_the_header_is_no_byte_of_the_client_that_would_forbid_a_try_elsewhere(rig, version):
    one, other = rig.listening(), rig.listening()
    port = open_port(rig, upstream(1, port_of(one), port_of(other), send_proxy=version))
    for _ in range(2):
        client = await rig.connect(port)
        for server in (one, other) * 2:
            try:
                sock, _ = server.accept()
            except BlockingIOError:
                await asyncio.sleep(0.05)
                continue
            await receive(rig.keep(sock), 16)
            reset(sock)
            break
        else:
            pytest.fail("nobody came")
        await asyncio.sleep(0.05)
        again = await rig.accept(other if server is one else one)
        await send(client, b"question")
        assert (await receive(again, 28 + 8 if version == "v2" else 16)).startswith(
            b"PROXY" if version == "v1" else b"\r\n\r\n\0"
        )
    assert rig.books.errors() == {"early_reset": 2}
    assert rig.books.ends() == {}


# TLS ------------------------------------------------------------------------------------


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
