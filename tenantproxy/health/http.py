"""The HTTP check: one GET over HTTP/1.1, and only the code of the answer matters."""

from __future__ import annotations

import re
from typing import Final

import h11

from tenantproxy import __version__
from tenantproxy.health.wire import Wire
from tenantproxy.model.spec import HttpCheck

MOST_BYTES: Final = 65_536
"""Longest head of an answer, what comes before it (codes 1xx) included."""
_LONGEST_PATH: Final = 60

_ZONE = re.compile(r"%[^\]]*")


async def ask(wire: Wire, rule: HttpCheck, name: str) -> tuple[bool, str]:
    """Return whether the endpoint is well, and why.

    Redirects are not followed, and the body is not read. `name` is for the Host header if the
    rule has none; a zone of an address stays here (RFC 6874, section 1).

    Raises:
        OSError: the connection broke.
    """
    machine = h11.Connection(h11.CLIENT, max_incomplete_event_size=MOST_BYTES)
    try:
        await wire.send(_request(machine, rule, name))
    except h11.LocalProtocolError:
        return False, "the path or the host of the check cannot be sent"
    read = 0
    while True:
        try:
            event = machine.next_event()
        except h11.RemoteProtocolError:
            return False, _TOO_LONG if read >= MOST_BYTES else "answer is not HTTP"
        if isinstance(event, h11.Response):
            return _verdict(rule, event.status_code)
        if event is h11.NEED_DATA:
            if read >= MOST_BYTES:
                return False, _TOO_LONG
            if not (data := await wire.receive()):
                return False, "closed before it answered"
            read += len(data)
            machine.receive_data(data)


_TOO_LONG: Final = "head of the answer is longer than 64 KiB"


def _request(machine: h11.Connection, rule: HttpCheck, name: str) -> bytes:
    headers = [
        ("Host", _ZONE.sub("", name) if rule.host is None else rule.host),
        ("User-Agent", f"tenantproxy/{__version__}"),
        ("Connection", "close"),
    ]
    head = machine.send(h11.Request(method="GET", target=rule.path, headers=headers))
    return (head or b"") + (machine.send(h11.EndOfMessage()) or b"")


def _verdict(rule: HttpCheck, code: int) -> tuple[bool, str]:
    path = rule.path.partition("?")[0]  # a query may hold what not everybody should read
    if len(path) > _LONGEST_PATH:
        path = f"{path[: _LONGEST_PATH - 3]}..."
    return any(low <= code <= high for low, high in rule.expect), f"GET {path} said {code}"
