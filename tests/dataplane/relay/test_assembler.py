"""Instructions are what RFC 9669 says, and jumps land where they should."""

from __future__ import annotations

import pytest

from tenantproxy.dataplane.relay.assembler import Assembler, Helper, Reg, Size


def code_of(*steps) -> str:
    asm = Assembler()
    for name, *arguments in steps:
        getattr(asm, name)(*arguments)
    return asm.code().hex()


# Opcode, source and destination, offset, immediate: by hand from the tables of the RFC.
@pytest.mark.parametrize(
    ("step", "code"),
    [
        (("move", Reg.R6, Reg.R1), "bf16 0000 00000000"),
        (("move", Reg.R3, -2), "b703 0000 feffffff"),
        (("add", Reg.R5, Reg.R4), "0f45 0000 00000000"),
        (("add", Reg.R2, -8), "0702 0000 f8ffffff"),
        (("add32", Reg.R2, Reg.R4), "0c42 0000 00000000"),
        (("subtract32", Reg.R9, Reg.R2), "1c29 0000 00000000"),
        (("negate", Reg.R2), "8702 0000 00000000"),
        (("load", Size.U32, Reg.R4, Reg.R6, 12), "6164 0c00 00000000"),
        (("load", Size.U64, Reg.R1, Reg.R7, 24), "7971 1800 00000000"),
        (("store", Size.U64, Reg.FP, -8, Reg.R0), "7b0a f8ff 00000000"),
        (("store", Size.U32, Reg.FP, -16, Reg.R8), "638a f0ff 00000000"),
        (("store", Size.U64, Reg.R7, 24, 1), "7a07 1800 01000000"),
        (("call", Helper.SK_REDIRECT_MAP), "8500 0000 34000000"),
        (("exit",), "9500 0000 00000000"),
        (("load_map", Reg.R1, 5), "1811 0000 05000000 0000 0000 00000000"),
    ],
)
def test_an_instruction(step, code):
    assert code_of(step) == code.replace(" ", "")


@pytest.mark.parametrize(
    ("name", "registers", "opcode"),
    [
        ("jump", (), "0500"),
        ("jump_if_zero", (Reg.R1,), "1501"),
        ("jump_if_not_zero", (Reg.R1,), "5501"),
        ("jump_if_greater", (Reg.R5, Reg.R2), "2d25"),
        ("jump_if_greater", (Reg.R9, 0), "2509"),
        ("jump_if_at_least", (Reg.R3, Reg.R2), "3d23"),
        ("jump_if_less", (Reg.R5, Reg.R2), "ad25"),
    ],
)
def test_a_jump_counts_instructions_from_the_next_one(name, registers, opcode):
    code = code_of(
        ("label", "back"),
        (name, *registers, "on"),
        (name, *registers, "back"),
        ("load_map", Reg.R1, 1),  # takes two places
        ("label", "on"),
        ("exit",),
    )
    forwards, backwards = code[:16], code[16:32]
    assert forwards == f"{opcode}0300{'00' * 4}"
    assert backwards == f"{opcode}feff{'00' * 4}"


def test_a_jump_to_nowhere_is_found_when_the_code_is_made():
    with pytest.raises(KeyError):
        code_of(("jump", "nowhere"))


def test_a_name_is_given_once():
    with pytest.raises(ValueError, match="twice"):
        code_of(("label", "twice"), ("exit",), ("label", "twice"))
