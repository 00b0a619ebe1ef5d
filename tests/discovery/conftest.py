"""Fixtures of the tests of discovery."""

from __future__ import annotations

import functools
from pathlib import Path

import aiodns
import pycares
import pytest

from tenantproxy.discovery.cares import Channel

ARES_AI_ENVHOSTS = 1 << 8
"""ares.h: the variable CARES_HOSTS names the hosts file; pycares does not export it."""


class _Keeping:
    """pycares' ffi, but what it makes stays: pycares 5.2.1 frees a path before c-ares reads it."""

    def __init__(self) -> None:
        self._real, self._kept = pycares._ffi, []

    def new(self, *args):
        self._kept.append(self._real.new(*args))
        return self._kept[-1]

    def __getattr__(self, name):
        return getattr(self._real, name)


@pytest.fixture
def resolv_conf(tmp_path, monkeypatch) -> Path:
    """A file that c-ares reads in place of /etc/resolv.conf."""
    path = tmp_path / "resolv.conf"
    monkeypatch.setattr(pycares, "_ffi", _Keeping())
    channel = functools.partial(pycares.Channel, resolvconf_path=str(path))
    monkeypatch.setattr("aiodns.pycares.Channel", channel)
    return path


@pytest.fixture
def hosts_file(tmp_path, monkeypatch) -> Path:
    """A file that c-ares reads in place of /etc/hosts."""
    path = tmp_path / "hosts"
    path.write_text("")
    monkeypatch.setenv("CARES_HOSTS", str(path))
    ask = functools.partialmethod(aiodns.DNSResolver.getaddrinfo, flags=ARES_AI_ENVHOSTS)
    monkeypatch.setattr(Channel, "getaddrinfo", ask)
    return path
