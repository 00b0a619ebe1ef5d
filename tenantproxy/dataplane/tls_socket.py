"""A connected socket that speaks TLS, with the manners of a plain one that the pump relies on.

* A read that is shorter than asked has drained the socket and what was decrypted. After a full
  one, or with an end or an error behind the bytes, `more` is True: no event will tell of that.
* A send takes what it encrypts. While ciphertext waits for room in the kernel the last byte of
  it is not acknowledged, so that the pump asks for room: the next send of that byte only writes.
* The end of input is close_notify or FIN. A FIN alone is taken as an end too, as HAProxy and nginx
  do: a connection that is cut short is told from one that ended by what the bytes mean.
* What TLS objects to, alerts of the other end included, is a reset: ConnectionResetError.
* SHUT_WR says close_notify, then FIN; what the other end still says is read (RFC 8446, 6.1).

Built on `ssl.SSLObject` between two buffers in memory: every read and write of the kernel's socket
is ours, and what OpenSSL holds is known.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from errno import EAGAIN, ECONNRESET

from tenantproxy.dataplane.flow import Socket
from tenantproxy.dataplane.masks import DONTWAIT, IN, NO_MEMORY, OUT

CHUNK_BYTES = 65_536
"""Plaintext encrypted before it is sent: four records a system call. What the kernel does not
take of it is all that waits here."""
CIPHER_BYTES = 65_536 + 4096
"""Longest read of the kernel's socket: four full records with their headers."""
LAST_WORD = memoryview(b"\0")
"""To be sent when `shutdown` found no room: it is taken when that is done."""

_scratch = bytearray(CIPHER_BYTES)
_view = memoryview(_scratch)
"""One for the process: a worker reads one socket at a time."""
_NOTHING = memoryview(b"")


class HandshakeFailed(OSError):
    """The handshake failed; its text is one clause for people, and holds no secret."""


class TlsSocket:
    """Speaks TLS as a client over a connected socket that does not block, which becomes its own.

    `on_failure(reason)` is called at most once, with one clause for people, when TLS fails after
    the handshake. Nothing may be read or sent before `handshake` has returned 0.
    """

    __slots__ = (
        "_ended", "_error", "_incoming", "_on_failure", "_outgoing", "_owed",
        "_plain", "_raw", "_said", "_tls", "_unsent", "more", "spoken",
    )  # fmt: skip

    def __init__(
        self,
        raw: Socket,
        context: ssl.SSLContext,
        server_name: str,
        on_failure: Callable[[str], None],
    ) -> None:
        """Take over `raw`.

        Raises:
            ValueError: `server_name` cannot be one.
        """
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        self._raw = raw
        self._on_failure = on_failure
        self._unsent = _NOTHING
        """Ciphertext that the kernel did not take."""
        self._owed = 0
        """1: a byte of plaintext that is in `_unsent` and was not acknowledged."""
        self._plain = _NOTHING
        """Read from OpenSSL to make room for our last word."""
        self._said = False
        """Nothing more may be said, not even goodbye."""
        self._ended = False
        self._error: OSError | None = None
        self.more = False
        """A read would not have to wait, though the kernel may have nothing."""
        self.spoken = False
        """The kernel may have taken something of what was sent; TLS's own words are none."""

    # The handshake ------------------------------------------------------------

    def handshake(self) -> int:
        """Go on with the handshake; return the event to wait for, or 0 when it is done.

        Raises:
            HandshakeFailed: the other end is not who it should be, or speaks no TLS that we do.
        """
        try:
            return self._handshake()
        except HandshakeFailed:
            raise
        except (OSError, ValueError) as error:
            self._said = True
            raise HandshakeFailed(why(error)) from None

    def _handshake(self) -> int:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                if not self._flush():
                    return OUT
                try:
                    got = self._raw.recv_into(_scratch, CIPHER_BYTES, DONTWAIT)
                except BlockingIOError:
                    return IN
                if not got:
                    self._said = True
                    raise HandshakeFailed("the other end closed during the handshake") from None
                self._incoming.write(_view[:got])
            except (ssl.SSLError, ValueError):
                self._flush_if_possible()  # the alert that says so
                raise
            else:
                self.more = bool(self._incoming.pending)
                return 0 if self._flush() else OUT

    # What the pump calls --------------------------------------------------------

    def recv_into(self, buffer: bytearray, size: int, _flags: int = 0) -> int:
        """Read up to `size` bytes of plaintext; 0 is the end.

        Raises:
            BlockingIOError: nothing is there.
            OSError: the connection was reset, or TLS failed.
        """
        got = self._decrypt(memoryview(buffer)[:size], size)
        if self._outgoing.pending:  # an answer to KeyUpdate, or an alert
            self._flush_if_possible()
        if not got:
            self.more = False
            if self._error is not None:
                raise self._error
            if not self._ended:
                raise BlockingIOError(EAGAIN, "nothing is there")
            return 0
        if got == size:
            self.more = bool(self._plain or self._incoming.pending or self._tls.pending())
        else:
            self.more = self._ended or self._error is not None
        return got

    def send(self, data: memoryview | bytes, flags: int = 0) -> int:
        """Encrypt and send; return how many bytes of plaintext were taken, see above.

        Raises:
            BlockingIOError: none was taken.
            OSError: the connection was reset, or TLS failed.
        """
        if not self._flush(flags):
            raise BlockingIOError(EAGAIN, "no room")
        if data is LAST_WORD:
            self._raw.shutdown(socket.SHUT_WR)
            return len(data)
        taken, self._owed = self._owed, 0
        while taken < len(data):
            try:
                taken += self._tls.write(data[taken : taken + CHUNK_BYTES])
            except ssl.SSLError as error:
                raise self._fail(error) from None
            try:
                whole = self._flush(flags)
            except OSError as error:
                if error.errno not in NO_MEMORY:
                    raise
                whole = False
            self.spoken = True
            if not whole:
                self._owed = 1
                return taken - 1
        return taken

    def shutdown(self, how: int) -> None:
        """Say close_notify, then FIN.

        Raises:
            BlockingIOError: there is no room for that; `send` of `LAST_WORD` goes on with it.
            OSError: the connection was reset.
        """
        self._say_goodbye()
        if not self._flush():
            raise BlockingIOError(EAGAIN, "no room")
        self._raw.shutdown(how)

    def close(self) -> None:
        """Close, with close_notify if there is room for it and no RST was asked for."""
        try:
            self._say_goodbye()
            self._flush()
        except OSError:
            pass
        self._raw.close()

    def fileno(self) -> int:
        """Return the descriptor of the kernel's socket."""
        return self._raw.fileno()

    def getsockopt(self, level: int, option: int) -> int:
        """Ask the kernel's socket."""
        return self._raw.getsockopt(level, option)

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        """Tell the kernel's socket. Who sets SO_LINGER will reset: then no goodbye goes before.

        The other end would take what it has for all there was.
        """
        if (level, option) == (socket.SOL_SOCKET, socket.SO_LINGER):
            self._said = True
            self._unsent = _NOTHING
        self._raw.setsockopt(level, option, value)

    # Inside ---------------------------------------------------------------------

    def _decrypt(self, view: memoryview, size: int) -> int:
        """Fill the view, unless what is there, or what there will be, ends before."""
        got = self._read_plain(view) if self._plain else 0
        tls, incoming = self._tls, self._incoming
        drained = False
        count: int
        while got < size and not self._ended and self._error is None:
            # To be told so by OpenSSL, in an exception, was half the time of a short read.
            if not incoming.pending and not tls.pending():
                if drained and got:  # as far as the kernel knew; a FIN behind is an event
                    break
                count = self._fill()
                if not count:
                    break
                drained = count < CIPHER_BYTES
            try:
                count = tls.read(size - got, view[got:])  # type: ignore[assignment]
            except ssl.SSLWantReadError:
                pass  # a part of a record, or a ticket
            except ssl.SSLZeroReturnError:
                self._ended = True
            except ssl.SSLError as error:
                self._fail(error)
            else:
                got += count
                self._ended = not count
        return got

    def _fill(self) -> int:
        """Give OpenSSL more ciphertext; return 0 when there is none, or an end."""
        try:
            got = self._raw.recv_into(_scratch, CIPHER_BYTES, DONTWAIT)
        except BlockingIOError:
            return 0
        except OSError as error:
            self._error = error
            return 0
        if got:
            self._incoming.write(_view[:got])
        else:
            self._ended = True
        return got

    def _read_plain(self, view: memoryview) -> int:
        got = min(len(view), len(self._plain))
        view[:got] = self._plain[:got]
        self._plain = self._plain[got:]
        return got

    def _flush(self, flags: int = 0) -> bool:
        """Write ciphertext; return True when the kernel has all of it."""
        unsent = self._unsent
        if not unsent:
            if not self._outgoing.pending:
                return True
            unsent = memoryview(self._outgoing.read())
        while True:
            self._unsent = unsent
            try:
                sent = self._raw.send(unsent, flags | DONTWAIT)
            except BlockingIOError:
                return False
            if sent != len(unsent):
                self._unsent = unsent[sent:]
                return False
            self._unsent = _NOTHING
            if not self._outgoing.pending:
                return True
            unsent = memoryview(self._outgoing.read())

    def _flush_if_possible(self) -> None:
        try:
            self._flush()
        except OSError:
            pass  # the next read or send will meet it

    def _say_goodbye(self) -> None:
        if self._said:
            return
        self._said = True
        # OpenSSL's second half of a shutdown, which Python adds, reads: it would throw away
        # what the other end has said. So it gets nothing to read.
        if self._tls.pending():
            self._plain = memoryview(bytes(self._plain) + self._tls.read(self._tls.pending()))
        kept = self._incoming.read()
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            pass  # it wants to read; or TLS has failed before
        if kept:
            self._incoming.write(kept)

    def _fail(self, error: ssl.SSLError) -> OSError:
        """Remember that nothing works any more; return what to raise."""
        reason = why(error)
        self._said = True
        self._error = ConnectionResetError(ECONNRESET, reason)
        self._flush_if_possible()
        self._on_failure(reason)
        return self._error


def why(error: Exception) -> str:
    """Return one clause for people, such as `certificate verify failed: Hostname mismatch, ...`."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message.rstrip('.')}"
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).lower().replace("_", " ")
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error)
