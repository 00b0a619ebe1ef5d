"""What endpoints are told before the client's first byte, as real servers understand it."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from pathlib import Path

import pytest

from tenantproxy.dataplane.counters import Upstream
from tests.dataplane.greeter_support import needs, open_port, running
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
from tests.dataplane.tls_support import NAME, a_tls_server

pytestmark = pytest.mark.both_movers

VERSIONS = pytest.mark.parametrize("version", ["v1", "v2"])


@pytest.fixture
def server(pki):
    with a_tls_server(pki.server_context()) as server:
        yield server


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
