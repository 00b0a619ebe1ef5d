"""What moves the bytes of connected flows: the pump, or the kernel relay in front of it."""

from __future__ import annotations

from typing import Protocol

from tenantproxy.dataplane.flow import Flow


class Mover(Protocol):
    """Has a flow from `join` until it ends."""

    def join(self, flow: Flow) -> None:
        """Begin to move bytes: the server is connected."""

    def release(self, flow: Flow) -> bool:
        """Let go of a flow on which no byte went either way, and close the server's socket.

        It may `join` again, with another server. False: it could not be, and nothing was done.
        """

    def end(self, flow: Flow, word: int, *, abort: bool = False) -> None:
        """End a flow: with FIN if all was passed on and not `abort`, else with RST.

        `word` is the word of the listener block that counts the reason.
        """
