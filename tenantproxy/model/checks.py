"""What can be wrong between parts that are right one by one: names, ports, addresses.

Pure: whether a port is taken by a foreign process is seen when it is bound.
Every problem is found; the cost grows with the size of the document only.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from difflib import get_close_matches

from tenantproxy.errors import (
    AddressRefused,
    PortClash,
    PortOutsideRange,
    PortPrivileged,
    PortRangeFull,
    Problem,
)
from tenantproxy.model.spec import (
    Document,
    EndpointSpec,
    ListenerSpec,
    ProxySpec,
    TenantSpec,
    UpstreamSpec,
)

AT_KEY = frozenset({"unknown_upstream", "tls_files"})
"""Codes of problems that are about the last key of the path, not about its value."""

MAX_NAMES_SHOWN = 24
_LOCAL_NAMES = frozenset({"localhost", "localhost.", "localhost.localdomain", "ip6-localhost"})


def check_document(document: Document, *, first_unprivileged_port: int = 0) -> list[Problem]:
    """Return everything that makes the document impossible; empty when it is sound.

    `first_unprivileged_port` is the lowest number that the process may bind.
    """
    proxy, first = document.proxy, first_unprivileged_port
    problems = list(_own_ports(proxy, first))
    owners: dict[int, ListenerSpec] = {}
    automatic = 0
    for tenant in document.tenants.values():
        problems += _tenant(tenant, proxy, first, owners)
        automatic += sum(one.port is None for one in tenant.listeners.values())
    problems += _capacity(proxy, owners, automatic)
    return problems


def check_tenant(
    tenant: TenantSpec,
    proxy: ProxySpec,
    *,
    first_unprivileged_port: int = 0,
) -> list[Problem]:
    """Return what is wrong with one tenant; clashes with other tenants are not seen here.

    Paths start at the document: `tenants.acme.listeners.web.port`.
    """
    return list(_tenant(tenant, proxy, first_unprivileged_port, {}))


def overlap(one: str, other: str) -> bool:
    """Say whether two addresses cannot be bound at the same port; `::` covers IPv4 too."""
    first, second = _address(one), _address(other)
    if first == second:
        return True
    for wild, narrow in ((first, second), (second, first)):
        if wild.is_unspecified and (wild.version == 6 or narrow.version == 4):  # noqa: PLR2004
            return True
    return False


def is_loopback(address: str) -> bool:
    """Say whether only this host can connect to it."""
    return _address(address).is_loopback


def _own_ports(proxy: ProxySpec, first_unprivileged_port: int) -> Iterator[Problem]:
    admin, metrics = proxy.admin, proxy.metrics
    for part, port in (("admin", admin.port), ("metrics", metrics.port)):
        if 0 < port < first_unprivileged_port:
            yield _privileged(port, first_unprivileged_port, f"proxy.{part}.port")
    if admin.port and admin.port == metrics.port and overlap(admin.address, metrics.address):
        yield Problem(
            f"port {metrics.port} is the port of proxy.admin too",
            "proxy.metrics.port",
            hint="give one of the two another number",
            code=PortClash.code,
        )
    if admin.token_file is None and not is_loopback(admin.address):
        yield Problem(
            f"the admin API may not listen on {admin.address} without a token",
            "proxy.admin.address",
            hint="set proxy.admin.token_file, or listen on 127.0.0.1",
            code=AddressRefused.code,
        )


def _tenant(
    tenant: TenantSpec,
    proxy: ProxySpec,
    first_unprivileged_port: int,
    owners: dict[int, ListenerSpec],
) -> Iterator[Problem]:
    """Yield what is wrong with a tenant; `owners` gathers who has which number."""
    for listener in tenant.listeners.values():
        path = f"tenants.{tenant.name}.listeners.{listener.name}"
        yield from _unknown_upstreams(listener, tenant, path)
        if listener.port is not None:
            yield from _port(listener, proxy, first_unprivileged_port, f"{path}.port")
            yield from _clash(listener, listener.port, owners, f"{path}.port")
            yield from _loops(listener, tenant, proxy)


def _port(
    listener: ListenerSpec, proxy: ProxySpec, first_unprivileged_port: int, path: str
) -> Iterator[Problem]:
    port = listener.port or 0
    first, last = proxy.port_range
    if not first <= port <= last:
        yield Problem(
            f"port {port} is outside proxy.port_range {first}-{last}",
            path,
            hint="take a number of the range, or leave `port` out to be given one",
            code=PortOutsideRange.code,
        )
    if port < first_unprivileged_port:
        yield _privileged(port, first_unprivileged_port, path)
    for part, own in (("admin", proxy.admin), ("metrics", proxy.metrics)):
        if port == own.port and overlap(proxy.listen_address, own.address):
            yield Problem(
                f"port {port} is the port of proxy.{part}",
                path,
                hint="give one of the two another number",
                code=PortClash.code,
            )


def _privileged(port: int, first_unprivileged_port: int, path: str) -> Problem:
    return Problem(
        f"port {port} is privileged and this process may not bind it",
        path,
        hint=f"use {first_unprivileged_port} or above, or grant CAP_NET_BIND_SERVICE",
        code=PortPrivileged.code,
    )


def _clash(
    listener: ListenerSpec, port: int, owners: dict[int, ListenerSpec], path: str
) -> Iterator[Problem]:
    owner = owners.setdefault(port, listener)
    if owner is not listener:
        yield Problem(
            f"listeners {owner.key} and {listener.key} both want port {port}",
            path,
            hint="give one of the two another number, or leave its `port` out",
            code=PortClash.code,
        )


def _capacity(
    proxy: ProxySpec, owners: dict[int, ListenerSpec], automatic: int
) -> Iterator[Problem]:
    first, last = proxy.port_range
    taken = {port for port in owners if first <= port <= last}
    taken |= {
        own.port
        for own in (proxy.admin, proxy.metrics)
        if first <= own.port <= last and overlap(proxy.listen_address, own.address)
    }
    free = last - first + 1 - len(taken)
    if automatic > free:
        yield Problem(
            f"{automatic} listeners need a port of {first}-{last}, and {free} are free",
            "proxy.port_range",
            hint="make the range wider, or remove listeners",
            code=PortRangeFull.code,
        )


def _unknown_upstreams(listener: ListenerSpec, tenant: TenantSpec, path: str) -> Iterator[Problem]:
    for member in listener.split:
        if member.upstream in tenant.upstreams:
            continue
        yield Problem(
            f"{tenant.name} has no upstream named {member.upstream}",
            f"{path}.split.{member.upstream}",
            hint=_upstream_hint(member.upstream, sorted(tenant.upstreams)),
            code="unknown_upstream",
        )


def _upstream_hint(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=1)
    if near:
        return f"did you mean {near[0]}?"
    if not known:
        return "the tenant has no upstreams; add one under `upstreams`"
    more = f" and {len(known) - MAX_NAMES_SHOWN} more" if len(known) > MAX_NAMES_SHOWN else ""
    return f"known upstreams: {', '.join(known[:MAX_NAMES_SHOWN])}{more}"


def _loops(listener: ListenerSpec, tenant: TenantSpec, proxy: ProxySpec) -> Iterator[Problem]:
    """A connection that comes back to its own port would be proxied without end."""
    for member in listener.split:
        for host, port, path in _named(tenant.upstreams.get(member.upstream)):
            if port == listener.port and _reaches(host, proxy.listen_address):
                yield Problem(
                    f"{EndpointSpec(host, port)} is the listener {listener.key} itself, "
                    "which splits to it",
                    f"tenants.{tenant.name}.upstreams.{member.upstream}.{path}",
                    hint="name the address of the service, not of this proxy",
                    code="upstream_loop",
                )


def _named(upstream: UpstreamSpec | None) -> Iterator[tuple[str, int, str]]:
    """Yield host, port and place of what an upstream names; what SRV records name is not known."""
    if upstream is None:
        return
    for index, endpoint in enumerate(upstream.endpoints):
        yield endpoint.host, endpoint.port, f"endpoints.{index}"
    found = upstream.discovery
    if found is not None and found.port is not None:
        yield found.name, found.port, "discovery.dns"


def _reaches(host: str, listen_address: str) -> bool:
    """Say whether `host` surely is this host, at an address we listen on."""
    if host.lower() in _LOCAL_NAMES:
        host = "::1" if _address(listen_address).version == 6 else "127.0.0.1"  # noqa: PLR2004
    try:
        target = _address(host)
    except ValueError:
        return False
    if target.is_unspecified:  # the kernel connects it to the loopback
        target = ipaddress.ip_address("::1" if target.version == 6 else "127.0.0.1")  # noqa: PLR2004
    listens = _address(listen_address)
    if target == listens:
        return True
    covered = listens.version == 6 or target.version == 4  # noqa: PLR2004
    return listens.is_unspecified and covered and target.is_loopback


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the address; one of IPv4 written as IPv6 is the one of IPv4."""
    address = ipaddress.ip_address(text)
    mapped = getattr(address, "ipv4_mapped", None)
    return address if mapped is None else mapped
