"""The bpf(2) system call, as much of it as the kernel relay needs.

By ctypes: there is no compiler and no library at install time. Every function
raises `OSError` with the name of the step in `filename`, so that a person can
be told what the kernel refused.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import struct
from enum import IntEnum

_NUMBERS = {"x86_64": 321, "aarch64": 280, "riscv64": 280}
_SYSCALL = _NUMBERS.get(platform.machine(), -1)
_ATTR_BYTES = 128
"""Longer than every attribute used here; the kernel accepts zeros at the end."""
_LOG_BYTES = 65_536
_LOADS = 5
"""Tries to load a program while the kernel says EAGAIN; libbpf does as many."""
_LICENSE = b"Apache-2.0"

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_uint)
_libc.syscall.restype = ctypes.c_long


class MapType(IntEnum):
    """`enum bpf_map_type` of linux/bpf.h."""

    HASH = 1
    ARRAY = 2
    SOCKMAP = 15
    RINGBUF = 27


class _Command(IntEnum):
    MAP_CREATE = 0
    MAP_UPDATE_ELEM = 2
    MAP_DELETE_ELEM = 3
    PROG_LOAD = 5
    PROG_ATTACH = 8


MMAPABLE = 1 << 10
"""Flag of a map whose values are mapped into the process (BPF_F_MMAPABLE)."""
_SK_SKB = 14
_SK_SKB_VERDICT = 38


def create_map(
    kind: MapType, *, key_bytes: int, value_bytes: int, entries: int, flags: int = 0
) -> int:
    """Return the fd of a new map, which the caller closes."""
    attr = struct.pack("5I", kind, key_bytes, value_bytes, entries, flags)
    return _call(_Command.MAP_CREATE, attr, f"make the {kind.name.lower()} map")


def map_shared(map_fd: int, length: int, *, offset: int = 0, writable: bool = True) -> mmap.mmap:
    """Map a map's memory; when that is refused its fd is closed.

    The mapping keeps a descriptor of its own until it is closed.
    """
    prot = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    try:
        return mmap.mmap(map_fd, length, prot=prot, offset=offset)
    except OSError as error:
        os.close(map_fd)
        raise OSError(error.errno, error.strerror, "map the memory of a map") from None


def load_verdict(code: bytes) -> int:
    """Return the fd of a loaded SK_SKB program; `code` is its instructions.

    Raises:
        OSError: the kernel refused; the end of the verifier's log is in the message.
    """
    instructions = ctypes.create_string_buffer(code, len(code))
    license_ = ctypes.create_string_buffer(_LICENSE)
    log = ctypes.create_string_buffer(_LOG_BYTES)
    attr = struct.pack(
        "2I2Q2IQ2I16s2I",
        *(_SK_SKB, len(code) // 8, ctypes.addressof(instructions), ctypes.addressof(license_)),
        *(1, _LOG_BYTES, ctypes.addressof(log), 0, 0, b"tenantproxy", 0, _SK_SKB_VERDICT),
    )
    for left in reversed(range(_LOADS)):
        try:
            return _call(_Command.PROG_LOAD, attr, "load the program")
        except BlockingIOError:  # a signal came while the kernel was verifying
            if not left:
                raise
        except OSError as error:
            last = log.value.decode(errors="replace").strip().splitlines()[-2:]
            why = "; ".join([error.strerror or "", *last])
            raise OSError(error.errno, why, error.filename) from None
    raise AssertionError


def attach_verdict(map_fd: int, program_fd: int) -> None:
    """From now on the program judges what sockets of the map receive."""
    attr = struct.pack("4I", map_fd, program_fd, _SK_SKB_VERDICT, 0)
    _call(_Command.PROG_ATTACH, attr, "attach the program")


class Elements:
    """Changes elements of one map; 8 bytes of key are read, of which short keys use the first."""

    def __init__(self, map_fd: int, name: str) -> None:
        self._name = name
        self._key = ctypes.c_uint64()
        self._value = ctypes.c_uint64()
        # union bpf_attr: map_fd, padding, key, value, flags. Made once: a link sets six elements.
        key, value = ctypes.addressof(self._key), ctypes.addressof(self._value)
        self._update = (ctypes.c_uint64 * 4)(map_fd, key, value, 0)
        self._delete = (ctypes.c_uint64 * 4)(map_fd, key, 0, 0)  # refused if it has a value

    def set(self, key: int, value: int) -> None:
        """Add or replace an element."""
        self._key.value, self._value.value = key, value
        if _libc.syscall(_SYSCALL, _Command.MAP_UPDATE_ELEM, self._update, 32) < 0:
            raise _error(f"set an element of {self._name}")

    def discard(self, key: int) -> None:
        """Take an element out, if it is there."""
        self._key.value = key
        _libc.syscall(_SYSCALL, _Command.MAP_DELETE_ELEM, self._delete, 32)


def _call(command: _Command, attr: bytes, step: str) -> int:
    buffer = ctypes.create_string_buffer(attr, _ATTR_BYTES)
    result: int = _libc.syscall(_SYSCALL, command, buffer, _ATTR_BYTES)
    if result < 0:
        raise _error(step)
    return result


def _error(step: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), step)
