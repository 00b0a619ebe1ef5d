"""A name server that does what no real one can be told: fail, be late, be silent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


@dataclass(frozen=True)
class Reply:
    """What happens to a question."""

    records: tuple[str, ...] = ()
    """Of the type that was asked for, in the text of a zone file."""
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR
    ttl_s: int = 0
    after_s: float = 0.0
    silent: bool = False


SERVFAIL = Reply(rcode=dns.rcode.SERVFAIL)
NXDOMAIN = Reply(rcode=dns.rcode.NXDOMAIN)
SILENCE = Reply(silent=True)


class Scripted(asyncio.DatagramProtocol):
    """Answers by `rules`: name, or name and type (`web.test AAAA`); NXDOMAIN for the rest."""

    def __init__(self) -> None:
        self.rules: dict[str, Reply] = {}
        self.asked: list[str] = []
        self._transport: asyncio.DatagramTransport | None = None
        self._late: list[asyncio.TimerHandle] = []
        self.port = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, sender: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append(f"{name} {kind}")
        reply = self.rules.get(f"{name} {kind}", self.rules.get(name, NXDOMAIN))
        if reply.silent:
            return
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        answer.set_rcode(reply.rcode)
        if reply.records:
            made = dns.rrset.from_text(
                question.name, reply.ttl_s, "IN", question.rdtype, *reply.records
            )
            answer.answer.append(made)
        loop = asyncio.get_running_loop()
        wire = answer.to_wire()
        self._late.append(loop.call_later(reply.after_s, self._transport.sendto, wire, sender))

    def close(self) -> None:
        for one in self._late:
            one.cancel()
        self._transport.close()


@contextlib.asynccontextmanager
async def scripted(**rules: Reply) -> AsyncIterator[Scripted]:
    """Run one on a free UDP port; `rules` are of names below `.test`."""
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        Scripted, local_addr=("127.0.0.1", 0)
    )
    server.port = transport.get_extra_info("sockname")[1]
    server.rules.update({f"{name}.test": reply for name, reply in rules.items()})
    try:
        yield server
    finally:
        server.close()
        await asyncio.sleep(0)
