"""The verdict program: what the kernel does with every message a linked socket receives.

    slot  = slots[cookie of the socket]            no slot: to user space
    gate  = gates[slot]
    empty (a FIN):                                 drop it
    gate.tripped:                                  to user space
    moved + length > credit:                       trip, tell user space; to user space
    moved += length
    moved passes low:                              tell user space
    to the socket peers[slot]

A FIN has done its work on the socket before; its empty message is dropped,
because one that has to wait behind what the socket still sends would break
that (sk_psock_backlog takes "0 bytes written" for an error, Linux 6.18).

The kernel runs it for one socket at a time under that socket's lock, so the
reading and writing of a gate need no atomic instruction. Once a gate has
tripped it stays so: what user space reads then comes after all that was moved.
"""

from __future__ import annotations

from tenantproxy.dataplane.relay.assembler import Assembler, Helper, Reg, Size
from tenantproxy.dataplane.relay.gates import CREDIT, LOW, MOVED, TRIPPED

_SKB_LEN = 0
"""`struct __sk_buff.len`."""
_DROP, _TO_USER_SPACE = 0, 1
"""SK_DROP and SK_PASS."""
_SKB, _GATE, _SLOT = Reg.R6, Reg.R7, Reg.R8
"""Registers that helpers leave alone."""
_COOKIE, _SLOT_PLACE = -8, -16
"""Places in the frame."""
_WORD = 8


def verdict(*, slots: int, gates: int, peers: int, ring: int) -> bytes:
    """Return the program over the maps with these fds."""
    asm = Assembler()
    asm.move(_SKB, Reg.R1)
    asm.call(Helper.GET_SOCKET_COOKIE)
    asm.store(Size.U64, Reg.FP, _COOKIE, Reg.R0)
    _look_up(asm, slots, _COOKIE)
    asm.load(Size.U32, _SLOT, Reg.R0)
    asm.store(Size.U32, Reg.FP, _SLOT_PLACE, _SLOT)
    _look_up(asm, gates, _SLOT_PLACE)
    asm.move(_GATE, Reg.R0)
    _count(asm, ring)

    asm.label("to the peer")
    asm.move(Reg.R1, _SKB)
    asm.load_map(Reg.R2, peers)
    asm.move(Reg.R3, _SLOT)
    asm.move(Reg.R4, 0)
    asm.call(Helper.SK_REDIRECT_MAP)
    asm.exit()

    asm.label("trip")
    asm.store(Size.U64, _GATE, TRIPPED * _WORD, 1)
    _tell(asm, ring)

    asm.label("to user space")
    asm.move(Reg.R0, _TO_USER_SPACE)
    asm.exit()

    asm.label("drop")
    asm.move(Reg.R0, _DROP)
    asm.exit()
    return asm.code()


def _count(asm: Assembler, ring: int) -> None:
    """Add the message to what moved, if the gate lets it through."""
    length, moved, then, limit = Reg.R4, Reg.R3, Reg.R5, Reg.R2
    asm.load(Size.U32, length, _SKB, _SKB_LEN)
    asm.jump_if_zero(length, "drop")
    asm.load(Size.U64, Reg.R1, _GATE, TRIPPED * _WORD)
    asm.jump_if_not_zero(Reg.R1, "to user space")
    asm.load(Size.U64, moved, _GATE, MOVED * _WORD)
    asm.move(then, moved)
    asm.add(then, length)
    asm.load(Size.U64, limit, _GATE, CREDIT * _WORD)
    asm.jump_if_greater(then, limit, "trip")
    asm.store(Size.U64, _GATE, MOVED * _WORD, then)

    asm.load(Size.U64, limit, _GATE, LOW * _WORD)
    asm.jump_if_at_least(moved, limit, "to the peer")
    asm.jump_if_less(then, limit, "to the peer")
    _tell(asm, ring)


def _look_up(asm: Assembler, map_fd: int, key: int) -> None:
    """R0 = the value of the key at that place in the frame; none: to user space."""
    asm.load_map(Reg.R1, map_fd)
    asm.move(Reg.R2, Reg.FP)
    asm.add(Reg.R2, key)
    asm.call(Helper.MAP_LOOKUP_ELEM)
    asm.jump_if_zero(Reg.R0, "to user space")


def _tell(asm: Assembler, ring: int) -> None:
    """Write the slot's number to the ring."""
    asm.load_map(Reg.R1, ring)
    asm.move(Reg.R2, Reg.FP)
    asm.add(Reg.R2, _SLOT_PLACE)
    asm.move(Reg.R3, 4)
    asm.move(Reg.R4, 0)
    asm.call(Helper.RINGBUF_OUTPUT)
