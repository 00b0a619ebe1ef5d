"""What can be wrong between parts that are right one by one: names, ports, addresses.

Pure: whether a port is taken by a foreign process is seen when it is bound.
Every problem is found; the cost grows with the size of the document only.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from tenantproxy.errors import (
    AddressRefused,
    PortClash,
    PortOutsideRange,
    PortPrivileged,
    PortRangeFull,
    Problem,
)
from tenantproxy.model.derive import PREVIEW
from tenantproxy.model.rollout_spec import RolloutSpec
from tenantproxy.model.spec import (
    Document,
    EndpointSpec,
    ListenerSpec,
    ProxySpec,
    TenantSpec,
    UpstreamSpec,
)
from tenantproxy.model.split import MAX_MEMBERS

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
    owners: dict[int, str] = {}
    automatic = 0
    for tenant in document.tenants.values():
        problems += _tenant(tenant, proxy, first, owners)
        automatic += sum(map(_automatic, tenant.listeners.values()))
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
    owners: dict[int, str],
) -> Iterator[Problem]:
    """Yield what is wrong with a tenant; `owners` gathers who has which number."""
    for listener in tenant.listeners.values():
        path = f"tenants.{tenant.name}.listeners.{listener.name}"
        yield from _unknown_upstreams(listener, tenant, path)
        rollout = listener.rollout
        if rollout is not None:
            yield from _rollout(listener, rollout, proxy, f"{path}.rollout")
        for port, who, place in _numbers(listener):
            yield from _port(port, proxy, first_unprivileged_port, f"{path}.{place}")
            yield from _clash(who, port, owners, f"{path}.{place}")
        yield from _loops(listener, tenant, proxy)


def _automatic(listener: ListenerSpec) -> int:
    """Return how many numbers of the range it is given."""
    rollout = listener.rollout
    return (listener.port is None) + (rollout is not None and rollout.preview == "auto")


def _numbers(listener: ListenerSpec) -> Iterator[tuple[int, str, str]]:
    """Yield the ports that it names: number, who has it then, and place in the listener."""
    if listener.port is not None:
        yield listener.port, str(listener.key), "port"
    rollout = listener.rollout
    if rollout is not None and isinstance(rollout.preview, int):
        yield rollout.preview, f"{listener.key}{PREVIEW}", "rollout.preview"


def _port(
    port: int, proxy: ProxySpec, first_unprivileged_port: int, path: str
) -> Iterator[Problem]:
    automatic = "write `preview: auto`" if path.endswith(".preview") else "leave `port` out"
    first, last = proxy.port_range
    if not first <= port <= last:
        yield Problem(
            f"port {port} is outside proxy.port_range {first}-{last}",
            path,
            hint=f"take a number of the range, or {automatic} to be given one",
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


def _clash(who: str, port: int, owners: dict[int, str], path: str) -> Iterator[Problem]:
    automatic = "write `preview: auto`" if path.endswith(".preview") else "leave its `port` out"
    if port in owners:
        yield Problem(
            f"listeners {owners[port]} and {who} both want port {port}",
            path,
            hint=f"give one of the two another number, or {automatic}",
            code=PortClash.code,
        )
    owners.setdefault(port, who)


def _capacity(proxy: ProxySpec, owners: dict[int, str], automatic: int) -> Iterator[Problem]:
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
            hint="make the range wider, remove listeners, or set `preview: null` in rollouts",
            code=PortRangeFull.code,
        )


def _unknown_upstreams(listener: ListenerSpec, tenant: TenantSpec, path: str) -> Iterator[Problem]:
    named = [(member.upstream, f"split.{member.upstream}") for member in listener.split]
    rollout = listener.rollout
    if rollout is not None:
        named += [(rollout.stable, "rollout.from"), (rollout.canary, "rollout.to")]
    for upstream, place in named:
        if upstream not in tenant.upstreams:
            yield Problem(
                f"{tenant.name} has no upstream named {upstream}",
                f"{path}.{place}",
                hint=_upstream_hint(upstream, sorted(tenant.upstreams)),
                code="unknown_upstream",
            )


def _rollout(
    listener: ListenerSpec, rollout: RolloutSpec, proxy: ProxySpec, path: str
) -> Iterator[Problem]:
    """Yield why a rollout cannot move this split, or be judged as it says."""
    pair = (rollout.stable, rollout.canary)
    weights = {member.upstream: member.weight for member in listener.split}
    if not sum(weights.get(upstream, 0) for upstream in pair):
        yield Problem(
            f"neither {rollout.stable} nor {rollout.canary} has a share of the split, "
            "and there is nothing to move",
            path,
            hint=f"give {rollout.stable} a weight above 0 in the split",
            code="rollout_without_share",
        )
    elif len(weights.keys() | set(pair)) > MAX_MEMBERS:
        new = next(upstream for upstream in pair if upstream not in weights)
        yield Problem(
            f"with {new} the split would have more than {MAX_MEMBERS} members",
            f"{path}.{'from' if new == rollout.stable else 'to'}",
            hint="take a member out of the split, such as one of weight 0",
            code="split_full",
        )
    commands = [check.name for check in rollout.analysis.outside if check.kind == "command"]
    if commands and not proxy.rollout_commands:
        yield Problem(
            f"the check {commands[0]} runs a program, which this daemon does not allow",
            f"{path}.analysis.checks",
            hint="set proxy.rollout_commands: true, which is read at start, only where everybody "
            "who may change a document or a rollout may run anything as the daemon's user",
            code="rollout_commands_off",
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
    for own, who, place in _numbers(listener):
        for upstream in _leads_to(listener, preview=place != "port"):
            for host, port, path in _named(tenant.upstreams.get(upstream)):
                if port == own and _reaches(host, proxy.listen_address):
                    yield Problem(
                        f"{EndpointSpec(host, port)} is the listener {who} itself, "
                        "which splits to it",
                        f"tenants.{tenant.name}.upstreams.{upstream}.{path}",
                        hint="name the address of the service, not of this proxy",
                        code="upstream_loop",
                    )


def _leads_to(listener: ListenerSpec, *, preview: bool) -> Iterable[str]:
    """Return the upstreams that a port leads to, now or in the course of its rollout."""
    rollout = listener.rollout
    pair = () if rollout is None else (rollout.stable, rollout.canary)
    if preview:
        return pair[1:]
    return dict.fromkeys((*(member.upstream for member in listener.split), *pair))


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
