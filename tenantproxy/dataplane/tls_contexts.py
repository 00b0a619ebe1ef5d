"""TLS to the endpoints of an upstream: what its order says, with a context made of its files.

Made when the order comes, not when a connection does. Contexts are shared by
all upstreams whose files are the same: the authorities of a system take 30 ms
to read, and some MB.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from weakref import WeakValueDictionary

from tenantproxy.dataplane.flow import Socket
from tenantproxy.dataplane.messages import TlsOrder
from tenantproxy.dataplane.tls_socket import HandshakeFailed, TlsSocket
from tenantproxy.errors import TlsFiles
from tenantproxy.tls import client_context

Key = tuple[object, ...]


class Seal:
    """An order, with the context to follow it by; frozen in all but name."""

    __slots__ = ("_context", "_order")

    def __init__(self, order: TlsOrder, context: ssl.SSLContext | None) -> None:
        self._order = order
        self._context = context

    @property
    def order(self) -> TlsOrder:
        """The order that it was made of."""
        return self._order

    @property
    def context(self) -> ssl.SSLContext | None:
        """None: the files could not be used, and there were none before."""
        return self._context

    def name_for(self, endpoint_name: str, host: str) -> str:
        """Return the name to ask for (SNI) and to verify: an address if there is no name."""
        return self._order.server_name or endpoint_name or host.partition("%")[0]

    def wrap(self, raw: Socket, name: str, on_failure: Callable[[str], None]) -> TlsSocket:
        """Return a socket that speaks TLS over a connected one, which becomes its own.

        Raises:
            HandshakeFailed: there is no context, or the name cannot be one.
        """
        if self._context is None:
            raise HandshakeFailed("its files could not be used")
        try:
            return TlsSocket(raw, self._context, name, on_failure)
        except ValueError as error:
            raise HandshakeFailed(f"server name {name!r}: {error}") from None


class TlsContexts:
    """Makes seals for a worker."""

    def __init__(self) -> None:
        self._made: WeakValueDictionary[Key, ssl.SSLContext] = WeakValueDictionary()

    def renew(self, old: Seal | None, order: TlsOrder | None) -> tuple[Seal | None, str]:
        """Return the seal of an order, and what was wrong with its files.

        What does not load leaves the context as it was, so that a file that is replaced
        at the wrong moment breaks nothing; but a context that trusts everybody never
        stands in for one that verifies. Connections that live keep theirs.
        """
        if order is None:
            return None, ""
        if old is not None and old.context is not None and old.order == order:
            return old, ""
        try:
            return Seal(order, self._context(order)), ""
        except TlsFiles as error:
            kept = None if old is None else old.context
            if kept is not None and order.verify and kept.verify_mode is not ssl.CERT_REQUIRED:
                kept = None
            effect = "those from before stay in use" if kept else "no connection can be made"
            return Seal(order, kept), f"{error}; {effect}"

    def _context(self, order: TlsOrder) -> ssl.SSLContext:
        files = order.ca_file, order.cert_file, order.key_file
        key = (order.verify, order.version, files, tuple(_stamp(file) for file in files))
        context = self._made.get(key)
        if context is None:
            context = client_context(
                ca_file=order.ca_file,
                cert_file=order.cert_file,
                key_file=order.key_file,
                verify=order.verify,
            )
            # A write would have to wait for a read, which the pump does not know; TLS 1.3 has
            # no renegotiation at all.
            context.options |= ssl.OP_NO_RENEGOTIATION
            self._made[key] = context
        return context


def _stamp(file: str | None) -> tuple[int, int, int] | None:
    """Return what changes when the file does."""
    if file is None:
        return None
    try:
        stat = Path(file).stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size
