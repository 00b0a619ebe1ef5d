"""An assembler for BPF programs: named instructions, and jumps to labels.

As much of the instruction set (RFC 9669) as one small program needs. Nothing
here asks the kernel anything.
"""

from __future__ import annotations

import struct
from enum import IntEnum

_INSTRUCTION = struct.Struct("<BBhi")
"""Opcode, registers, offset, immediate: RFC 9669, 3.1."""


class Reg(IntEnum):
    """Registers: R0 results, R1-R5 arguments (lost by a call), R6-R9 kept, FP the frame."""

    R0 = 0
    R1 = 1
    R2 = 2
    R3 = 3
    R4 = 4
    R5 = 5
    R6 = 6
    R7 = 7
    R8 = 8
    R9 = 9
    FP = 10


class Helper(IntEnum):
    """Helper functions, by their number in linux/bpf.h."""

    MAP_LOOKUP_ELEM = 1
    GET_SOCKET_COOKIE = 46
    SKB_ADJUST_ROOM = 50
    SK_REDIRECT_MAP = 52
    RINGBUF_OUTPUT = 130


class Size(IntEnum):
    """Width of a load or store, as the opcode has it."""

    U32 = 0x00
    U64 = 0x18


_LDX, _ST, _STX = 0x61, 0x62, 0x63
_MOV_REG, _MOV_IMM, _ADD_REG, _ADD_IMM = 0xBF, 0xB7, 0x0F, 0x07
_ADD32_REG, _SUB32_REG, _NEG = 0x0C, 0x1C, 0x87
_JEQ_IMM, _JNE_IMM, _JGT_REG, _JGE_REG, _JLT_REG, _JA = 0x15, 0x55, 0x2D, 0x3D, 0xAD, 0x05
_JGT_IMM = 0x25
_CALL, _EXIT, _LD_IMM64, _PSEUDO_MAP_FD = 0x85, 0x95, 0x18, 1


class Assembler:
    """Collects instructions; `code()` puts the distances of jumps in."""

    def __init__(self) -> None:
        self._lines: list[tuple[int, int, int, int, int, str | None]] = []
        self._labels: dict[str, int] = {}

    def code(self) -> bytes:
        """Return the program.

        Raises:
            KeyError: a jump to a label that does not exist.
        """
        out = bytearray()
        for at, (opcode, dst, src, offset, immediate, label) in enumerate(self._lines):
            distance = offset if label is None else self._labels[label] - at - 1
            out += _INSTRUCTION.pack(opcode, src << 4 | dst, distance, immediate)
        return bytes(out)

    def label(self, name: str) -> None:
        """Name the place of the next instruction.

        Raises:
            ValueError: the name is taken.
        """
        if name in self._labels:
            raise ValueError(name)
        self._labels[name] = len(self._lines)

    # Values ---------------------------------------------------------------

    def move(self, dst: Reg, src: Reg | int) -> None:
        """`dst = src`."""
        self._alu(_MOV_REG, _MOV_IMM, dst, src)

    def add(self, dst: Reg, src: Reg | int) -> None:
        """`dst += src`."""
        self._alu(_ADD_REG, _ADD_IMM, dst, src)

    def add32(self, dst: Reg, src: Reg) -> None:
        """`dst = (dst + src) % 2**32`."""
        self._emit(_ADD32_REG, dst, src)

    def subtract32(self, dst: Reg, src: Reg) -> None:
        """`dst = (dst - src) % 2**32`."""
        self._emit(_SUB32_REG, dst, src)

    def negate(self, dst: Reg) -> None:
        """`dst = -dst`."""
        self._emit(_NEG, dst)

    def load(self, size: Size, dst: Reg, base: Reg, offset: int = 0) -> None:
        """`dst = *(base + offset)`."""
        self._emit(_LDX | size, dst, base, offset)

    def store(self, size: Size, base: Reg, offset: int, src: Reg | int) -> None:
        """`*(base + offset) = src`."""
        if isinstance(src, Reg):
            self._emit(_STX | size, base, src, offset)
        else:
            self._emit(_ST | size, base, 0, offset, src)

    def load_map(self, dst: Reg, map_fd: int) -> None:
        """`dst =` the map; the one instruction that takes two places."""
        self._emit(_LD_IMM64, dst, _PSEUDO_MAP_FD, 0, map_fd)
        self._emit(0)

    # Control --------------------------------------------------------------

    def jump(self, label: str) -> None:
        """Go on at the label."""
        self._emit(_JA, label=label)

    def jump_if_zero(self, reg: Reg, label: str) -> None:
        """Go on at the label if the register is 0."""
        self._emit(_JEQ_IMM, reg, label=label)

    def jump_if_not_zero(self, reg: Reg, label: str) -> None:
        """Go on at the label if the register is not 0."""
        self._emit(_JNE_IMM, reg, label=label)

    def jump_if_greater(self, a: Reg, b: Reg | int, label: str) -> None:
        """Go on at the label if `a > b`, unsigned."""
        if isinstance(b, Reg):
            self._emit(_JGT_REG, a, b, label=label)
        else:
            self._emit(_JGT_IMM, a, 0, 0, b, label=label)

    def jump_if_at_least(self, a: Reg, b: Reg, label: str) -> None:
        """Go on at the label if `a >= b`, unsigned."""
        self._emit(_JGE_REG, a, b, label=label)

    def jump_if_less(self, a: Reg, b: Reg, label: str) -> None:
        """Go on at the label if `a < b`, unsigned."""
        self._emit(_JLT_REG, a, b, label=label)

    def call(self, helper: Helper) -> None:
        """`R0 = helper(R1, ...)`."""
        self._emit(_CALL, immediate=helper)

    def exit(self) -> None:
        """Return R0."""
        self._emit(_EXIT)

    def _alu(self, by_register: int, by_value: int, dst: Reg, src: Reg | int) -> None:
        if isinstance(src, Reg):
            self._emit(by_register, dst, src)
        else:
            self._emit(by_value, dst, 0, 0, src)

    def _emit(
        self,
        opcode: int,
        dst: int = 0,
        src: int = 0,
        offset: int = 0,
        immediate: int = 0,
        *,
        label: str | None = None,
    ) -> None:
        self._lines.append((opcode, dst, src, offset, immediate, label))
