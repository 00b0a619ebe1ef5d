"""What is checked and what came of it, as plain values."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from tenantproxy.model.spec import HealthRule, ProxyProtocol


@dataclass(frozen=True, slots=True)
class Target:
    """One endpoint, spoken to as a connection of a client would be."""

    host: str
    """An IP address, with its zone if it has one."""
    port: int
    rule: HealthRule
    name: str
    """For the Host header: the endpoint as it is written in the document, `host:port`."""
    send_proxy: ProxyProtocol | None = None
    tls: ssl.SSLContext | None = None
    server_name: str = ""
    """For TLS; empty: the address."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one check found."""

    passed: bool
    reason: str
    """For people: `connected`, `GET /healthz said 503`, `timed out after 2s`, ..."""
    took_s: float
    unable: bool = False
    """We could not ask, for want of file descriptors or memory: nothing is known of it."""
