"""What is in the maps of the kernel relay, asked of the kernel."""

from __future__ import annotations

import ctypes
import errno

from tenantproxy.dataplane.relay.bpf import _SYSCALL, Elements, _libc
from tenantproxy.dataplane.relay.links import Links

_LOOKUP_ELEM, _GET_NEXT_KEY = 1, 4


def entries(links: Links) -> dict[str, set[int]]:
    """Return the keys of `slots`, `peers` and `sources`."""
    return {
        "slots": keys(links._slots),
        "peers": {key for key in keys(links._peers) if _has(links._peers, key)},
        "sources": {key for key in keys(links._sources) if _has(links._sources, key)},
    }


NO_ENTRIES: dict[str, set[int]] = {"slots": set(), "peers": set(), "sources": set()}


def keys(elements: Elements) -> set[int]:
    """Return the keys of a hash, and every index of a socket map."""
    found: set[int] = set()
    key, following = ctypes.c_uint64(), ctypes.c_uint64()
    at = 0
    while True:
        attr = (ctypes.c_uint64 * 4)(elements._update[0], at, ctypes.addressof(following), 0)
        if _libc.syscall(_SYSCALL, _GET_NEXT_KEY, attr, 32) < 0:
            assert ctypes.get_errno() == errno.ENOENT
            return found
        found.add(following.value)
        key.value = following.value
        at = ctypes.addressof(key)


def _has(elements: Elements, number: int) -> bool:
    key, value = ctypes.c_uint64(number), ctypes.c_uint64()
    where = (elements._update[0], ctypes.addressof(key), ctypes.addressof(value), 0)
    attr = (ctypes.c_uint64 * 4)(*where)
    if _libc.syscall(_SYSCALL, _LOOKUP_ELEM, attr, 32) < 0:
        assert ctypes.get_errno() == errno.ENOENT
        return False
    return True
