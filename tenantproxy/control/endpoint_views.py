"""Endpoints as people see them; another thread may look, so what changes is read once."""

from __future__ import annotations

from tenantproxy import clock
from tenantproxy.control.books import Books
from tenantproxy.control.upstream import Endpoint, Upstream, shown
from tenantproxy.discovery.source import Address
from tenantproxy.model.views import EndpointView

_WALL_S = clock.wall_s() - clock.monotonic_s()
"""Made once, so that a time does not seem to change from one look to the next."""


def endpoint_views(upstream: Upstream, books: Books) -> tuple[EndpointView, ...]:
    """Return every endpoint in the document's order, those that have no address among them."""
    spec, reasons, endpoints = upstream.spec, upstream.reasons, upstream.endpoints
    views = [
        _used(shown(one.address, spec), one, reasons.get(one.address.listed, ""), books)
        for one in endpoints.values()
    ]
    if not upstream.sent:
        since_s = _wall_s(upstream.since_s)
        views += [
            _unused(shown(one, spec), one, reasons.get(one.listed, ""), since_s)
            for one in upstream.places().values()
        ]
    if not reasons:
        return tuple(views)
    found, lacking_s = {address.listed for address in upstream.addresses}, upstream.lacking_s
    for one in spec.endpoints:
        name = str(one)
        if name in reasons and name not in found:
            since_s = _wall_s(lacking_s.get(name, upstream.since_s))
            views.append(
                EndpointView(name, None, reasons[name], one.weight, 0, "unresolved", since_s)
            )
    order = {str(one): number for number, one in enumerate(spec.endpoints)}
    return tuple(sorted(views, key=lambda view: order.get(view.address, len(order))))


def _unused(name: str, address: Address, why: str, since_s: float) -> EndpointView:
    """Return one that no listener has used yet."""
    return EndpointView(
        address=name,
        resolved=address.host,
        reason=why,
        weight=address.weight,
        priority=address.priority,
        since_s=since_s,
    )


def _used(name: str, one: Endpoint, why: str, books: Books) -> EndpointView:
    health, address = one.health, one.address
    live, ever, failures = books.endpoint_totals(one.block)
    until_s = health.ejected_until_s
    if until_s is not None and until_s <= clock.monotonic_s():
        # Asleep, nobody ends an ejection: it is done at the wake, and shown as if it were done.
        health, _ = health.returned(until_s)
        until_s = None
    return EndpointView(
        address=name,
        resolved=address.host,
        reason=health.reason or why,
        weight=address.weight,
        priority=address.priority,
        state=health.state,
        since_s=_wall_s(health.since_s),
        connections=live,
        connections_total=ever,
        failures=failures,
        ejections=health.ejections,
        ejected_until_s=None if until_s is None else _wall_s(until_s),
    )


def _wall_s(monotonic_s: float) -> float:
    return _WALL_S + monotonic_s
