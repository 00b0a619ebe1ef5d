"""What an endpoint is told of the client, byte for byte as in HAProxy's proxy-protocol.txt."""

from __future__ import annotations

import _socket
import ipaddress
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantproxy.dataplane.proxy_header import LONGEST, header, header_of

V2 = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a"
ADDRESSES = st.ip_addresses().map(str)
PORTS = st.integers(0, 65_535)


def test_version_1_is_a_line_of_text():
    assert header("v1", ("192.0.2.1", 56324), ("198.51.100.2", 443)) == (
        b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"
    )
    assert header("v1", ("2001:db8::1", 1, 0, 0), ("2001:db8::2", 2, 0, 0)) == (
        b"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n"
    )


def test_version_2_is_binary():
    assert header("v2", ("192.0.2.1", 56324), ("198.51.100.2", 443)) == (
        V2 + b"\x21\x11\x00\x0c" + bytes((192, 0, 2, 1, 198, 51, 100, 2)) + b"\xdc\x04\x01\xbb"
    )
    source, destination = "2001:db8::1", "2001:db8::2"
    assert header("v2", (source, 1, 0, 0), (destination, 2, 0, 0)) == (
        V2
        + b"\x21\x21\x00\x24"
        + socket.inet_pton(socket.AF_INET6, source)
        + socket.inet_pton(socket.AF_INET6, destination)
        + b"\x00\x01\x00\x02"
    )


def test_ipv4_written_in_ipv6_is_ipv4():
    assert header("v1", ("::ffff:192.0.2.1", 1, 0, 0), ("::ffff:192.0.2.2", 2, 0, 0)) == (
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"
    )


def test_mixed_families_are_both_written_in_ipv6():
    line = header("v1", ("192.0.2.1", 1), ("2001:db8::2", 2, 0, 0)).decode()
    _, family, source, destination, *_ = line.split()
    assert (family, destination) == ("TCP6", "2001:db8::2")
    assert socket.inet_pton(socket.AF_INET6, source) == (
        socket.inet_pton(socket.AF_INET6, "::ffff:192.0.2.1")
    )


def test_a_zone_is_left_out():
    assert header("v1", ("fe80::1%eth0", 1, 0, 3), ("fe80::2%eth0", 2, 0, 3)) == (
        b"PROXY TCP6 fe80::1 fe80::2 1 2\r\n"
    )


def test_without_addresses_those_of_the_connection_count():
    assert header("v1", None, ("192.0.2.1", 1)) == b"PROXY UNKNOWN\r\n"
    assert header("v2", ("192.0.2.1", 1), None) == V2 + b"\x20\x00\x00\x00"


@given(source=ADDRESSES, destination=ADDRESSES, ports=st.tuples(PORTS, PORTS))
def test_both_versions_say_the_same_and_fit_in_one_packet(source, destination, ports):
    names = (source, ports[0]), (destination, ports[1])
    text, binary = header("v1", *names), header("v2", *names)
    assert len(text) <= LONGEST
    assert len(binary) <= LONGEST
    _, family, said_source, said_destination, *said_ports = text.decode().split()
    length = 4 if family == "TCP4" else 16
    assert binary[13] == (0x11 if length == 4 else 0x21)
    body = binary[16:]
    assert struct.unpack(">H", binary[14:16]) == (len(body),)
    assert ipaddress.ip_address(body[:length]) == ipaddress.ip_address(said_source)
    assert ipaddress.ip_address(body[length : 2 * length]) == ipaddress.ip_address(said_destination)
    assert struct.unpack(">HH", body[2 * length :]) == ports == tuple(map(int, said_ports))
    for given_, said in ((source, said_source), (destination, said_destination)):
        plain, other = ipaddress.ip_address(given_), ipaddress.ip_address(said)
        assert plain.packed[-4:] == other.packed[-4:]


@pytest.mark.parametrize("listening_at", ["127.0.0.1", "::1", "::"])
def test_the_addresses_are_those_of_the_clients_connection(listening_at):
    family = socket.AF_INET6 if ":" in listening_at else socket.AF_INET
    with socket.socket(family) as listening:
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listening.bind((listening_at, 0))
        listening.listen()
        port = listening.getsockname()[1]
        with socket.create_connection(("127.0.0.1" if listening_at != "::1" else "::1", port)) as c:
            accepted, _ = listening.accept()
            raw = _socket.socket(fileno=accepted.detach())
            said = header_of("v1", raw).decode().split()
            raw.close()
            host = "127.0.0.1" if listening_at != "::1" else "::1"
            assert said[2:] == [host, host, str(c.getsockname()[1]), str(port)]


def test_a_client_that_has_left_has_no_address_any_more():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        accepted, _ = listening.accept()
        with accepted:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            raw = _socket.socket(fileno=accepted.detach())
            with pytest.raises(OSError):
                header_of("v2", raw)
            raw.close()
