"""Why a handshake failed is said, in words that help."""

from __future__ import annotations

import socket
import ssl

import pytest

from tenantproxy.dataplane.tls_socket import HandshakeFailed, TlsSocket
from tests.dataplane.tls_support import (
    NAME,
    in_thread,
    shake,
    tcp_pair,
    wait,
)

MIB = 1 << 20
VERSIONS = pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
BUFFER = bytearray(MIB)


def refused(pki, ours_context: ssl.SSLContext, theirs_context=None, name: str = NAME) -> str:
    """Return why the handshake fails."""
    raw, theirs = tcp_pair()
    ours = TlsSocket(raw, ours_context, name, pytest.fail)

    def serve():
        with pytest.raises((ssl.SSLError, OSError)):
            (theirs_context or pki.server_context()).wrap_socket(theirs, server_side=True)

    try:
        with in_thread(serve), pytest.raises(HandshakeFailed) as caught:
            try:
                shake(ours)
            finally:
                ours.close()
        return str(caught.value)
    finally:
        theirs.close()


def test_a_wrong_name_is_said(pki):
    assert refused(pki, pki.client_context(), name="other.test") == (
        "certificate verify failed: Hostname mismatch, certificate is not valid for 'other.test'"
    )
    assert "certificate verify failed: IP address mismatch" in refused(
        pki, pki.client_context(), name="127.0.0.2"
    )


def test_an_unknown_authority_is_said(pki):
    context = ssl.create_default_context(cafile=pki.stranger_ca)
    assert "certificate verify failed: unable to get local issuer" in refused(pki, context)


def test_an_expired_certificate_is_said(pki):
    context = pki.server_context()
    context.load_cert_chain(pki.expired_cert, pki.expired_key)
    assert refused(pki, pki.client_context(), context) == (
        "certificate verify failed: certificate has expired"
    )


def test_a_protocol_that_is_too_old_is_said(pki):
    ours = pki.client_context()
    ours.minimum_version = ssl.TLSVersion.TLSv1_3
    assert "alert protocol version" in refused(pki, ours, pki.server_context(version="TLSv1_2"))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "wrong version number"),
        (b"", "the other end closed during the handshake"),
    ],
)
def test_a_server_without_tls_is_said(pki, answer, said):
    raw, theirs = tcp_pair()
    ours = TlsSocket(raw, pki.client_context(), NAME, pytest.fail)
    theirs.sendall(answer)
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(HandshakeFailed, match=said):
        shake(ours)
    ours.close()
    theirs.close()


def test_in_tls_1_2_a_certificate_that_is_demanded_fails_the_handshake(pki):
    theirs = pki.server_context(demand=True, version="TLSv1_2")
    assert "alert" in refused(pki, pki.client_context(), theirs)


def test_in_tls_1_3_it_is_a_reset_with_a_reason(pki):
    """The server says so behind its side of the handshake (RFC 8446, 4.4.2.4)."""
    raw, theirs = tcp_pair()
    failures: list[str] = []
    ours = TlsSocket(raw, pki.client_context(), NAME, failures.append)

    def serve():
        with pytest.raises(ssl.SSLError):
            pki.server_context(demand=True).wrap_socket(theirs, server_side=True)

    with in_thread(serve):
        shake(ours)
    wait(ours)
    with pytest.raises(ConnectionResetError):
        ours.recv_into(bytearray(100), 100, 0)
    assert failures == ["tlsv13 alert certificate required"]
    ours.close()
    theirs.close()


def test_a_name_that_cannot_be_one_is_refused_at_once(pki):
    raw, theirs = tcp_pair()
    with pytest.raises(ValueError):
        TlsSocket(raw, pki.client_context(), "", pytest.fail)
    raw.close()
    theirs.close()
