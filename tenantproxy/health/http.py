"""The HTTP check: one GET over HTTP/1.1, and only the code of the answer matters."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import Final

import h11

from tenantproxy import __version__
from tenantproxy.health.wire import Wire
from tenantproxy.model.spec import HttpCheck

MOST_BYTES: Final = 65_536
"""Longest head of an answer, what comes before it (codes 1xx) included; so much of the rest is
read too."""
_LONGEST_PATH: Final = 60

_ZONE = re.compile(r"%[^\]]*")


async def ask(
    wire: Wire, rule: HttpCheck, name: str, deadline: asyncio.Timeout
) -> tuple[bool, str]:
    """Return whether the endpoint is well, and why.

    Redirects are not followed. `name` is for the Host header if the rule has none; a zone of an
    address stays here (RFC 6874, section 1). `deadline` is the one that runs: once the code is
    known it is off, and what is left of it, and of the answer, changes the verdict no more.

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
            await _hear_out(wire, machine, deadline)
            return _verdict(rule, event.status_code)
        if event is h11.NEED_DATA:
            if read >= MOST_BYTES:
                return False, _TOO_LONG
            if not (data := await wire.receive()):
                return False, "closed before it answered"
            read += len(data)
            machine.receive_data(data)


async def _hear_out(wire: Wire, machine: h11.Connection, deadline: asyncio.Timeout) -> None:
    """Read the body: a server that still writes it would fail of our reset, and log that."""
    until_s, left = deadline.when(), MOST_BYTES
    deadline.reschedule(None)
    with contextlib.suppress(OSError, h11.RemoteProtocolError):
        async with asyncio.timeout_at(until_s):
            while left > 0:
                event = machine.next_event()
                if event is h11.NEED_DATA:
                    data = await wire.receive()
                    left -= len(data)
                    machine.receive_data(data)
                elif not isinstance(event, h11.Data):
                    return


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
