"""What workers are told of upstreams: built from what is known of them, and packed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from tenantproxy.control.tls_files import Certificates
from tenantproxy.control.upstream import Endpoint, Upstream
from tenantproxy.dataplane.messages import (
    MAX_BYTES,
    EndpointOrder,
    SetUpstreams,
    UpstreamOrder,
)
from tenantproxy.model.endpoints import scaled_weight

_UPSTREAM_BYTES = 340
"""More than an upstream without endpoints takes, its texts aside."""
_ENDPOINT_BYTES = 34
"""More than an endpoint takes, its texts aside."""
_ROOM = MAX_BYTES * 9 // 10


class UpstreamOrders:
    """Builds orders; `workers` share the spares of each endpoint, and who may wait.

    `on_short(upstream, what, why)` is told why an order does not hold all endpoints; "": it does.
    """

    def __init__(
        self,
        certificates: Certificates,
        workers: int,
        on_short: Callable[[Upstream, str, str], None],
    ) -> None:
        self._certificates, self._workers = certificates, workers
        self._on_short = on_short

    def order(self, upstream: Upstream, now_s: float) -> UpstreamOrder:
        """Return the order that says how an upstream is now; it has its block and its choice.

        More endpoints than fit into one message are left out, the last ones first.
        """
        assert upstream.block is not None  # noqa: S101 - a used one has it
        assert upstream.choice is not None  # noqa: S101 - likewise
        spec, choice = upstream.spec, upstream.choice
        queue = spec.queue
        used = [upstream.endpoints[place] for place in choice.used]
        tls = self._certificates.order(spec)
        names = tls is not None and not tls.server_name
        if tls is not None and names and (name := _only_name(upstream)):
            names, tls = False, msgspec.structs.replace(tls, server_name=name)
        endpoints = self._endpoints(upstream, used, names, now_s)
        order = UpstreamOrder(
            id=upstream.id,
            block=upstream.block,
            name=str(spec.key),
            endpoints=tuple(endpoints),
            healthy=choice.healthy,
            balance=spec.balance,
            connect_timeout_s=spec.connect_timeout_s,
            connect_tries=spec.connect_tries,
            retry_budget=spec.retry_budget,
            first_byte_timeout_s=spec.first_byte_timeout_s or 0.0,
            report=spec.outlier is not None,
            max_connections=spec.max_connections or 0,
            queue_size=0 if queue is None else self._share(queue.size),
            queue_timeout_s=0.0 if queue is None else queue.timeout_s,
            warm=self._share(spec.warm) if upstream.awake else 0,
            send_proxy=spec.send_proxy,
            tls=tls,
        )
        fitting = order if _size(order) <= _ROOM else _shortened(order)
        some, every = len(fitting.endpoints), len(order.endpoints)
        said = f"{some} of {every} endpoints fit into an order to workers" if some < every else ""
        self._on_short(upstream, "order", said)
        return fitting

    def messages(self, upstreams: Iterable[Upstream], now_s: float) -> list[SetUpstreams]:
        """Pack orders into messages, each shorter than the longest that there may be."""
        messages: list[SetUpstreams] = []
        batch: list[UpstreamOrder] = []
        room = _ROOM
        for upstream in upstreams:
            order = self.order(upstream, now_s)
            needs = _size(order)
            if batch and needs > room:
                messages.append(SetUpstreams(tuple(batch)))
                batch, room = [], _ROOM
            batch.append(order)
            room -= needs
        return [*messages, SetUpstreams(tuple(batch))] if batch else messages

    def _share(self, of_all: int) -> int:
        """Return a worker's part, rounded up: one of few is still one."""
        return -(-of_all // self._workers)

    @staticmethod
    def _endpoints(
        upstream: Upstream,
        used: list[Endpoint],
        names: bool,
        now_s: float,
    ) -> list[EndpointOrder]:
        window_s, slowly = upstream.spec.slow_start_s, upstream.ramping(now_s)
        return [
            EndpointOrder(
                one.id,
                one.block,
                one.address.host,
                one.address.port,
                scaled_weight(one.address.weight, one.health.ramp(now_s, window_s))
                if slowly
                else one.address.weight,
                one.address.name if names else "",
            )
            for one in used
        ]


def _only_name(upstream: Upstream) -> str:
    """Return the name that all endpoints have; a thousand times it would not fit into a message."""
    names = {one.address.name for one in upstream.endpoints.values()}
    return names.pop() if len(names) == 1 else ""


def _shortened(order: UpstreamOrder) -> UpstreamOrder:
    """Return the order with as many endpoints as fit into one message."""
    room = _ROOM - _size(order, endpoints=False)
    fitting: list[EndpointOrder] = []
    for one in order.endpoints:
        room -= _endpoint_size(one)
        if room < 0:
            break
        fitting.append(one)
    healthy = min(order.healthy, len(fitting))
    return msgspec.structs.replace(order, endpoints=tuple(fitting), healthy=healthy)


def _size(order: UpstreamOrder, *, endpoints: bool = True) -> int:
    """Return a number of bytes that the order takes at most."""
    texts = [order.name]
    if (tls := order.tls) is not None:
        texts += [tls.server_name, tls.ca_file or "", tls.cert_file or "", tls.key_file or ""]
    size = _UPSTREAM_BYTES + sum(len(text.encode()) for text in texts)
    return size + sum(map(_endpoint_size, order.endpoints)) if endpoints else size


def _endpoint_size(one: EndpointOrder) -> int:
    return _ENDPOINT_BYTES + len(one.host) + len(one.server_name.encode())
