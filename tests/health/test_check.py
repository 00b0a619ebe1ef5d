"""A check speaks as the traffic does, ends in time, and says in a few words what it found."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import ssl
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import trustme

from tenantproxy.health.check import check
from tenantproxy.tls import client_context
from tests.e2e import ports, programs
from tests.health.support import (
    HOST,
    PLENTY_S,
    http,
    link_local,
    refusing,
    resetting,
    saying,
    serving,
    swallowing,
    tcp,
)

V2_LOCAL = bytes.fromhex("0d0a0d0a000d0a515549540a20000000")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def certificate(authority):
    return authority.issue_cert("web.internal", HOST, "::1")


@pytest.fixture
def server_side(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@pytest.fixture
def trusting(authority, tmp_path):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return client_context(
        ca_file=str(tmp_path / "ca.pem"), cert_file=None, key_file=None, verify=True
    )


# Plain


async def test_an_endpoint_that_accepts_is_connected():
    async with serving(saying(stay=True)) as server:
        result = await check(tcp(server.port), PLENTY_S)
    assert (result.passed, result.reason, result.unable) == (True, "connected", False)
    assert 0 < result.took_s < PLENTY_S


async def test_an_endpoint_where_nobody_listens_refuses():
    with refusing() as port:
        result = await check(tcp(port), PLENTY_S)
    assert (result.passed, result.reason, result.unable) == (False, "refused", False)


@pytest.mark.parametrize(("timeout_s", "said"), [(0.25, "250ms"), (1.0, "1s")])
async def test_an_endpoint_that_never_answers_takes_the_timeout_and_no_longer(timeout_s, said):
    with swallowing() as port:
        result = await check(tcp(port), timeout_s)
    assert (result.passed, result.reason) == (False, f"timed out after {said}")
    assert timeout_s - 0.01 < result.took_s < timeout_s + 5  # the loop counts milliseconds


@pytest.mark.parametrize("host", ["fe80::1%nosuch0", "web.internal", ""])
async def test_what_is_no_address_of_this_host_fails_at_once(host):
    result = await check(tcp(9, host=host), PLENTY_S)
    assert result.reason in ("no such address on this host", "refused")
    assert not result.passed


async def test_the_port_of_the_rule_is_checked_instead_of_the_endpoints():
    async with serving(saying(stay=True)) as server:
        with refusing() as port:
            target = tcp(port)
            ours = replace(target, rule=replace(target.rule, port=server.port))
            assert (await check(ours, PLENTY_S)).passed


async def test_a_cancelled_check_raises_and_leaves_nothing():
    with swallowing() as port:
        for target in (tcp(port), http(port)):
            task = asyncio.create_task(check(target, PLENTY_S))
            await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    async with serving(saying(stay=True)) as server:
        task = asyncio.create_task(check(tcp(server.port, expect=b"x"), PLENTY_S))
        while not server.connections:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_without_a_file_descriptor_nothing_is_said_of_the_endpoint():
    async with serving(saying(stay=True)) as server:
        free = os.open("/dev/null", os.O_RDONLY)
        os.close(free)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        try:
            result = await check(tcp(server.port), PLENTY_S)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (result.passed, result.unable) == (False, True)
    assert result.reason == "too many open files"


# The PROXY protocol


@pytest.mark.parametrize(("version", "header"), [("v1", b"PROXY UNKNOWN\r\n"), ("v2", V2_LOCAL)])
async def test_a_proxy_header_of_nobody_goes_first(version, header):
    async with serving(saying(OK, until=b"close\r\n\r\n", stay=True)) as server:
        assert (await check(http(server.port, send_proxy=version), PLENTY_S)).passed
    assert server.heard.startswith(header + b"GET / HTTP/1.1\r\n")


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_a_tcp_check_sends_the_header_too(version):
    async with serving(saying(b"welcome", until=b"hi", stay=True)) as server:
        target = tcp(server.port, b"hi", b"welcome", send_proxy=version)
        assert (await check(target, PLENTY_S)).passed
    assert server.heard == {"v1": b"PROXY UNKNOWN\r\n", "v2": V2_LOCAL}[version] + b"hi"


# TLS


async def test_tls_is_spoken_and_the_certificate_verified(server_side, trusting):
    async with serving(saying(OK, until=b"\r\n\r\n", stay=True), ssl=server_side) as server:
        named = http(server.port, tls=trusting, server_name="web.internal")
        assert (await check(named, PLENTY_S)).reason == "GET / said 200"
        assert (await check(http(server.port, tls=trusting), PLENTY_S)).passed  # by address
        other = await check(replace(named, server_name="shop.internal"), PLENTY_S)
    assert not other.passed
    assert other.reason == (
        "no TLS: certificate verify failed: "
        "Hostname mismatch, certificate is not valid for 'shop.internal'"
    )


async def test_a_certificate_for_an_address_does_not_hold_its_zone(authority, trusting):
    address, interface = link_local()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(address).configure_cert(context)
    host = f"{address}%{interface}"
    async with serving(saying(stay=True), host=host, ssl=context) as server:
        result = await check(tcp(server.port, host=host, tls=trusting), PLENTY_S)
    assert (result.passed, result.reason) == (True, "connected")


async def test_a_tcp_check_over_tls_reads_what_trickles(server_side, trusting):
    pieces = [b"%c" % c for c in b"banner +PONG"]
    async with serving(saying(*pieces, until=b"PING", stay=True), ssl=server_side) as server:
        target = tcp(server.port, b"PING", b"+PONG", tls=trusting)
        assert (await check(target, PLENTY_S)).passed
        assert (await check(tcp(server.port, tls=trusting), PLENTY_S)).reason == "connected"
        silent = await check(tcp(server.port, b"xx", b"+PONG", tls=trusting), 0.5)
    assert silent.reason == "timed out after 500ms"


async def test_tls_closed_properly_or_not_is_a_close(server_side, trusting):
    async with serving(saying(until=b"PING"), ssl=server_side) as server:
        result = await check(tcp(server.port, b"PING", b"+PONG", tls=trusting), PLENTY_S)
        assert result.reason == "closed before it answered"


async def test_the_name_for_tls_is_told_to_the_server(server_side, trusting):
    told = []
    server_side.sni_callback = lambda _tls, name, _context: told.append(name)
    async with serving(saying(stay=True), ssl=server_side) as server:
        await check(tcp(server.port, tls=trusting, server_name="web.internal"), PLENTY_S)
        await check(tcp(server.port, tls=trusting), PLENTY_S)
    assert told == ["web.internal", None]


async def test_an_unknown_authority_fails_and_whoever_does_not_verify_passes(server_side, tmp_path):
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    files = {"cert_file": None, "key_file": None}
    strict = client_context(ca_file=str(tmp_path / "other.pem"), **files, verify=True)
    lax = client_context(ca_file=None, **files, verify=False)
    async with serving(saying(stay=True), ssl=server_side) as server:
        result = await check(tcp(server.port, tls=strict), PLENTY_S)
        assert not result.passed
        assert result.reason.startswith("no TLS: certificate verify failed: ")
        target = tcp(server.port, tls=lax, server_name="whatever.internal")
        assert (await check(target, PLENTY_S)).passed


async def test_a_certificate_that_has_expired_fails(authority, trusting):
    old = authority.issue_cert(HOST, not_after=datetime.now(UTC) - timedelta(days=1))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old.configure_cert(context)
    async with serving(saying(stay=True), ssl=context) as server:
        result = await check(tcp(server.port, tls=trusting), PLENTY_S)
    assert result.reason == "no TLS: certificate verify failed: certificate has expired"


async def test_a_server_that_wants_our_certificate_gets_it(authority, server_side, tmp_path):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    client = authority.issue_cert("proxy.internal")
    client.private_key_and_cert_chain_pem.write_to_path(tmp_path / "client.pem")
    server_side.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(server_side)
    ca, mine = str(tmp_path / "ca.pem"), str(tmp_path / "client.pem")
    with_it = client_context(ca_file=ca, cert_file=mine, key_file=None, verify=True)
    without = client_context(ca_file=ca, cert_file=None, key_file=None, verify=True)
    async with serving(saying(OK, until=b"\r\n\r\n", stay=True), ssl=server_side) as server:
        assert (await check(http(server.port, tls=with_it), PLENTY_S)).passed
        result = await check(http(server.port, tls=without), PLENTY_S)
    assert not result.passed
    # With TLS 1.3 the server refuses us after our side is content; its alert may get lost.
    assert result.reason in (
        "no TLS: tlsv13 alert certificate required",
        "closed before it answered",
        "reset before it answered",
    )


async def test_a_server_without_tls_fails(trusting):
    async with serving(saying(b"220 mail ready\r\n" * 9, stay=True)) as server:
        result = await check(tcp(server.port, tls=trusting), PLENTY_S)
    assert (result.passed, result.reason) == (False, "no TLS: wrong version number")


async def test_a_handshake_that_is_never_answered_times_out(trusting):
    async with serving(saying(stay=True)) as server:
        result = await check(tcp(server.port, tls=trusting), 0.2)
    assert result.reason == "timed out after 200ms"


async def test_a_close_or_reset_in_the_handshake_fails(trusting):
    async with serving(saying(until=b"\x01\x00")) as server:
        result = await check(tcp(server.port, tls=trusting), PLENTY_S)
    assert result.reason in ("no TLS: closed before it answered", "reset before it answered")
    async with serving(resetting(b"\x01\x00")) as server:
        result = await check(tcp(server.port, tls=trusting), PLENTY_S)
    assert (result.passed, result.reason) == (False, "reset before it answered")


async def test_the_proxy_header_comes_before_tls(trusting):
    async with serving(saying(until=b"\r\n", stay=True)) as server:
        await check(tcp(server.port, tls=trusting, send_proxy="v1"), 0.3)
    assert server.heard == b"PROXY UNKNOWN\r\n"


# Real servers

NGINX = """
    daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log info;
    worker_processes 1; {user} events {{ worker_connections 256; }}
    http {{
        access_log {folder}/access.log;
        client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
        fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
        scgi_temp_path {folder}/scgi;
        ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.pem;
        server {{
            listen 127.0.0.1:{tls} ssl;
            listen 127.0.0.1:{proxied} proxy_protocol;
            listen 127.0.0.1:{both} ssl proxy_protocol;
            location / {{ return 200 "hello\\n"; }}
            location /ill {{ return 503; }}
        }}
    }}
"""


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_nginx_passes_with_tls_and_proxy_protocol_as_it_is_set_up(
    tmp_path, certificate, trusting, version
):
    first = ports.block(3)
    listens = {"tls": first, "proxied": first + 1, "both": first + 2}
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    user = "user root;" if os.geteuid() == 0 else ""
    (tmp_path / "nginx.conf").write_text(NGINX.format(folder=tmp_path, user=user, **listens))
    command = [programs.need("nginx"), "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]
    command += ["-e", str(tmp_path / "error.log")]
    async with programs._server(command, first, tmp_path / "nginx.log"):
        tls = {"tls": trusting, "server_name": "web.internal"}
        for target in (
            http(listens["tls"], **tls),
            http(listens["proxied"], send_proxy=version),
            http(listens["both"], send_proxy=version, **tls),
        ):
            assert (await check(target, PLENTY_S)).reason == "GET / said 200"
        ill = http(listens["both"], "/ill", send_proxy=version, **tls)
        assert (await check(ill, PLENTY_S)).reason == "GET /ill said 503"
        assert not (await check(http(listens["proxied"]), PLENTY_S)).passed
        assert not (await check(http(listens["tls"]), PLENTY_S)).passed


@contextlib.contextmanager
def haproxy(folder):
    """Run a HAProxy that wants the header; its socket is ours, so nobody else gets the port."""
    with socket.create_server((HOST, 0)) as listener:
        (folder / "haproxy.cfg").write_text(
            f"defaults\n    mode http\n    timeout client 9s\n    timeout server 9s\n"
            f"    timeout connect 9s\nfrontend web\n    bind fd@{listener.fileno()} accept-proxy\n"
            f"    http-request return status 204\n"
        )
        command = [programs.need("haproxy"), "-db", "-f", str(folder / "haproxy.cfg")]
        with (folder / "haproxy.log").open("wb") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=log, pass_fds=[listener.fileno()]
            )
        try:
            yield listener.getsockname()[1]
        finally:
            process.kill()
            process.wait()


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_haproxy_accepts_the_header(tmp_path, version):
    with haproxy(tmp_path) as port:
        result = await check(http(port, send_proxy=version), PLENTY_S)
        log = (tmp_path / "haproxy.log").read_text()
        assert result.reason == "GET / said 204", log
        assert not (await check(http(port), PLENTY_S)).passed


@pytest.mark.parametrize("name", ["a..b", f"{'a' * 70}.b", "\\255" * 20, ".a"])
async def test_a_name_that_no_server_can_have_fails_the_check(server_side, trusting, name):
    async with serving(saying(stay=True), ssl=server_side) as server:
        result = await check(tcp(server.port, tls=trusting, server_name=name), PLENTY_S)
    assert (result.passed, result.reason) == (False, "no TLS: the name is not that of a host")
