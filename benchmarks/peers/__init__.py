"""The proxies that are measured: one file each, configured alike from `templates/`."""

from __future__ import annotations

from benchmarks.peers.base import Listener, Peer
from benchmarks.peers.envoy import Envoy
from benchmarks.peers.haproxy import HAProxy
from benchmarks.peers.nginx import Nginx
from benchmarks.peers.tenantproxy import KernelRelay, Tenantproxy
from benchmarks.peers.traefik import Traefik

PEERS: dict[str, type[Peer]] = {
    peer.key: peer for peer in (HAProxy, Tenantproxy, KernelRelay, Nginx, Envoy, Traefik)
}
"""In the order of the tables. HAProxy comes first: ratios are to it."""

BASELINE = HAProxy.key
WITHOUT_RELAY = tuple(key for key in PEERS if key != KernelRelay.key)
"""For workloads in which the relay has no part: idle connections, control processes."""

__all__ = ["BASELINE", "PEERS", "WITHOUT_RELAY", "Listener", "Peer"]
