"""The verdict program: what the kernel does with every message a linked socket receives.

    slot  = slots[cookie of the socket]            no slot: to user space
    gate  = gates[slot]
    empty (a FIN), or the gate is broken:          drop it
    begins before `next`:                          cut off what has been seen
    begins after `next`:                           break, tell user space; drop it
    gate.tripped:                                  to user space
    charged + length + MESSAGE_BYTES > credit:     trip, tell user space; to user space
    moved += length; charged += length + MESSAGE_BYTES
    charged passes low, or `soon` before it:       tell user space; of `soon` without waking it
    to the socket peers[slot]

A FIN has done its work on the socket before; its empty message is dropped,
because one that has to wait behind what the socket still sends would break
that (sk_psock_backlog takes "0 bytes written" for an error, Linux 6.18).

A segment that was sent again together with new bytes comes whole: for a read
the kernel skips what it has given out before, for a verdict (tcp_read_skb) it
does not. Its place in the stream is in the message's control block, which is
TCP's own here (struct tcp_skb_cb: sequence number of its beginning, and of
what follows it, a FIN counted).

The kernel runs it for one socket at a time under that socket's lock, so the
reading and writing of a gate need no atomic instruction. Once a gate has
tripped it stays so: what user space reads then comes after all that was moved.
"""

from __future__ import annotations

from tenantproxy.dataplane.relay.assembler import Assembler, Helper, Reg, Size
from tenantproxy.dataplane.relay.gates import (
    BROKEN,
    CHARGED,
    CREDIT,
    LOW,
    MESSAGE_BYTES,
    MOVED,
    NEXT,
    SOON,
    TRIPPED,
)

_SKB_LEN = 0
"""`struct __sk_buff.len`."""
_SKB_BEGIN, _SKB_END = 48, 52
"""`struct __sk_buff.cb[0]` and `cb[1]`."""
_ROOM = 4095
"""Most that one call cuts off."""
_STEPS = 17
"""So many times that are cut off at most: a segment has 64 KiB at most."""
_DROP, _TO_USER_SPACE = 0, 1
"""SK_DROP and SK_PASS."""
_SKB, _GATE, _SLOT, _SEEN = Reg.R6, Reg.R7, Reg.R8, Reg.R9
"""Registers that helpers leave alone."""
_COOKIE, _SLOT_PLACE = -8, -16
"""Places in the frame."""
_WORD = 8
_NO_WAKEUP, _WAKEUP = 1, 2
"""BPF_RB_NO_WAKEUP, BPF_RB_FORCE_WAKEUP. The default, 0, wakes nobody who is behind."""


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
    _put_in_order(asm)
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

    asm.label("break")
    asm.store(Size.U64, _GATE, TRIPPED * _WORD, BROKEN)
    _tell(asm, ring)

    asm.label("drop")
    asm.move(Reg.R0, _DROP)
    asm.exit()
    return asm.code()


def _put_in_order(asm: Assembler) -> None:
    """Cut off what was seen before, so that the message begins at the gate's `next`."""
    length, begin, end, state = Reg.R4, Reg.R2, Reg.R5, Reg.R1
    asm.load(Size.U32, length, _SKB, _SKB_LEN)
    asm.jump_if_zero(length, "drop")
    asm.load(Size.U64, state, _GATE, TRIPPED * _WORD)
    asm.jump_if_greater(state, 1, "drop")

    asm.load(Size.U32, begin, _SKB, _SKB_BEGIN)
    asm.load(Size.U32, end, _SKB, _SKB_END)
    asm.subtract32(end, begin)
    asm.subtract32(end, length)
    asm.jump_if_greater(end, 1, "break")  # 1 is a FIN, anything else is not TCP's block

    asm.load(Size.U64, _SEEN, _GATE, NEXT * _WORD)
    asm.subtract32(_SEEN, begin)
    asm.jump_if_greater(_SEEN, _STEPS * _ROOM, "break")  # < 0: bytes are missing

    asm.add32(begin, length)
    asm.store(Size.U64, _GATE, NEXT * _WORD, begin)

    _cut_seen(asm)


def _cut_seen(asm: Assembler) -> None:
    """Cut `_SEEN` bytes off, in steps: a loop needs CAP_PERFMON to be understood (6.18)."""
    for step in range(_STEPS):
        asm.jump_if_zero(_SEEN, "in order")
        asm.move(Reg.R2, _SEEN)
        asm.jump_if_greater(_SEEN, _ROOM, f"a part {step}")
        asm.move(_SEEN, 0)
        asm.jump(f"cut {step}")
        asm.label(f"a part {step}")
        asm.move(Reg.R2, _ROOM)
        asm.add(_SEEN, -_ROOM)
        asm.label(f"cut {step}")
        asm.negate(Reg.R2)
        asm.move(Reg.R1, _SKB)
        asm.move(Reg.R3, 0)
        asm.move(Reg.R4, 0)
        asm.call(Helper.SKB_ADJUST_ROOM)
        asm.jump_if_not_zero(Reg.R0, "break")
    asm.label("in order")


def _count(asm: Assembler, ring: int) -> None:
    """Add the message to what moved, if the gate lets it through."""
    length, charged, then, limit = Reg.R4, Reg.R3, Reg.R5, Reg.R2
    asm.load(Size.U32, length, _SKB, _SKB_LEN)
    asm.jump_if_zero(length, "drop")  # all of it had been seen
    asm.load(Size.U64, Reg.R1, _GATE, TRIPPED * _WORD)
    asm.jump_if_not_zero(Reg.R1, "to user space")
    asm.load(Size.U64, charged, _GATE, CHARGED * _WORD)
    asm.move(then, charged)
    asm.add(then, length)
    asm.add(then, MESSAGE_BYTES)
    asm.load(Size.U64, limit, _GATE, CREDIT * _WORD)
    asm.jump_if_greater(then, limit, "trip")
    # First `moved`: who reads `charged` and then `moved` finds in it all that was charged.
    asm.load(Size.U64, Reg.R1, _GATE, MOVED * _WORD)
    asm.add(Reg.R1, length)
    asm.store(Size.U64, _GATE, MOVED * _WORD, Reg.R1)
    asm.store(Size.U64, _GATE, CHARGED * _WORD, then)

    asm.load(Size.U64, limit, _GATE, LOW * _WORD)
    asm.jump_if_at_least(then, limit, "low")
    asm.load(Size.U64, limit, _GATE, SOON * _WORD)
    asm.jump_if_at_least(charged, limit, "to the peer")
    asm.jump_if_less(then, limit, "to the peer")
    _tell(asm, ring, _NO_WAKEUP)
    asm.jump("to the peer")
    asm.label("low")
    asm.jump_if_at_least(charged, limit, "to the peer")
    _tell(asm, ring)


def _look_up(asm: Assembler, map_fd: int, key: int) -> None:
    """R0 = the value of the key at that place in the frame; none: to user space."""
    asm.load_map(Reg.R1, map_fd)
    asm.move(Reg.R2, Reg.FP)
    asm.add(Reg.R2, key)
    asm.call(Helper.MAP_LOOKUP_ELEM)
    asm.jump_if_zero(Reg.R0, "to user space")


def _tell(asm: Assembler, ring: int, wakeup: int = _WAKEUP) -> None:
    """Write the slot's number to the ring."""
    asm.load_map(Reg.R1, ring)
    asm.move(Reg.R2, Reg.FP)
    asm.add(Reg.R2, _SLOT_PLACE)
    asm.move(Reg.R3, 4)
    asm.move(Reg.R4, wakeup)
    asm.call(Helper.RINGBUF_OUTPUT)
