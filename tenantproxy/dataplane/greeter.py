"""Between connect and join: what an endpoint is told before the client's first byte.

First the header of the PROXY protocol, in the clear, then TLS: so HAProxy and
nginx expect it. A try includes both; its deadline is the connector's.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from typing import cast

from tenantproxy.dataplane.flow import Flow, Half, SealedHalf, Socket
from tenantproxy.dataplane.lending import LendingPump
from tenantproxy.dataplane.notices import Notices
from tenantproxy.dataplane.proxy_header import header_of
from tenantproxy.dataplane.tls_contexts import Seal
from tenantproxy.dataplane.tls_socket import HandshakeFailed, TlsSocket
from tenantproxy.model.spec import ProxyProtocol


class Greeter:
    """Greets for the connector; exactly one of its callbacks is called for each `greet`.

    `done(flow)`: join it. `failed(flow, reason)`: the try failed, by one of
    `counters.CONNECT_ERRORS`. `gone(flow)`: the client has left.
    """

    def __init__(
        self,
        pump: LendingPump,
        notices: Notices,
        done: Callable[[Flow], None],
        failed: Callable[[Flow, str], None],
        gone: Callable[[Flow], None],
    ) -> None:
        self._pump = pump
        self._notices = notices
        self._done = done
        self._failed = failed
        self._gone = gone

    def greet(self, flow: Flow, send_proxy: ProxyProtocol | None, seal: Seal | None) -> None:
        """Greet the endpoint of a flow whose server socket has just been connected.

        With a seal, its half is another one when this returns.
        """
        server = flow.server
        assert server is not None  # noqa: S101 - for the type checker
        if send_proxy is not None:
            try:
                said = header_of(send_proxy, flow.client.sock)
            except OSError:
                self._gone(flow)
                return
            flow.said_bytes = len(said)
            try:
                # A socket with nothing under way takes so few at once.
                whole = server.sock.send(said, socket.MSG_DONTWAIT) == len(said)
            except OSError:
                whole = False
            if not whole:
                self._failed(flow, "reset")
                return
        if seal is None:
            self._done(flow)
            return
        try:
            half = self._sealed(server, seal)
        except HandshakeFailed as error:
            self._refused(flow, error)
        else:
            self._shake(half, 0)

    def _sealed(self, plain: Half, seal: Seal) -> SealedHalf:
        """Put a half that speaks TLS in the place of a plain one."""
        flow = plain.flow
        endpoint = flow.endpoint
        sock = seal.wrap(
            plain.sock,
            seal.name_for(endpoint.server_name, str(endpoint.sockaddr[0])),
            partial(self._notices.add, "upstream_tls", flow.upstream.name),
        )
        # The pump calls nothing of a half that is sealed but what a TlsSocket has.
        half = SealedHalf(cast("Socket", sock), plain.fd, flow)
        half.mask, half.on = plain.mask, self._shake
        flow.server = half
        return half

    def _shake(self, half: Half, events: int) -> None:
        """Go on; without events it is the first time."""
        sock = cast("TlsSocket", half.sock)
        try:
            event = sock.handshake()
        except HandshakeFailed as error:
            self._refused(half.flow, error)
            return
        if not event:
            self._done(half.flow)
        elif event != half.mask or not events:
            self._pump.connecting(half, self._shake, event)

    def _refused(self, flow: Flow, error: HandshakeFailed) -> None:
        if not flow.spare:  # else the new connection that follows will tell
            host, port = flow.endpoint.sockaddr[:2]
            self._notices.add("upstream_tls", flow.upstream.name, f"{host} port {port}: {error}")
        self._failed(flow, "tls")
