"""The TCP check: connect, maybe send something, maybe wait for an answer that holds a text."""

from __future__ import annotations

from typing import Final

from tenantproxy.health.wire import Wire
from tenantproxy.model.spec import TcpCheck

MOST_BYTES: Final = 65_536
"""So much of an answer is looked at."""


async def ask(wire: Wire, rule: TcpCheck) -> tuple[bool, str]:
    """Return whether the endpoint is well, and why.

    Raises:
        OSError: the connection broke.
    """
    if rule.send:
        await wire.send(rule.send)
    if not rule.expect:
        return True, "connected"
    answer = bytearray()
    while len(answer) < MOST_BYTES:
        if not (data := await wire.receive()):
            return (
                False,
                "answer lacks the expected text" if answer else "closed before it answered",
            )
        # An answer in many pieces is not searched from its beginning again and again.
        start = max(0, len(answer) - len(rule.expect) + 1)
        answer += data[: MOST_BYTES - len(answer)]
        if answer.find(rule.expect, start) >= 0:
            return True, "answered as expected"
    return False, "answer lacks the expected text"
