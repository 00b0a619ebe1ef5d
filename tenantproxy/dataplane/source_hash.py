"""The endpoint that a client always gets, as far as endpoints come and go.

No table is built when endpoints change, which would keep every connection of
the worker waiting: a pick looks at all endpoints (5 us for ten of them, 0.2 ms for a
thousand; 1 ms if all weights differ), and winners are remembered until the endpoints
change (0.3 us).
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import ClassVar

from tenantproxy.dataplane.endpoint import Endpoint
from tenantproxy.model.rendezvous import Rendezvous, number_of

REMEMBERED = 4096
"""Clients whose endpoint is remembered; with the longest keys less than 1 MB."""


class SourceHash:
    """Weighted rendezvous hashing over the address of the client.

    All workers agree, and so do those of the next start: an endpoint's part in it is
    made of its address and port alone.
    """

    __slots__ = ("_endpoints", "_places", "_remembered", "_rendezvous", "turn")

    keyed: ClassVar[bool] = True

    def __init__(self, endpoints: Sequence[Endpoint], turn: int) -> None:
        self.turn = turn
        self._endpoints = some = tuple(e for e in endpoints if e.weight > 0)
        self._places = {endpoint: place for place, endpoint in enumerate(some)}
        self._rendezvous = rendezvous = Rendezvous(
            [endpoint.seed or _seed(endpoint) for endpoint in some],
            [endpoint.weight for endpoint in some],
        )

        def winner(key: bytes) -> Endpoint | None:  # knows no self: a cycle would keep it all alive
            place = rendezvous.winner(number_of(key))
            return None if place is None else some[place]

        self._remembered = lru_cache(REMEMBERED)(winner)

    def pick(self, exclude: Collection[Endpoint], key: bytes = b"") -> Endpoint | None:
        """Return the client's endpoint; with some excluded, the one it would have without them."""
        if not exclude:
            return self._remembered(key)
        places = self._places
        without = {places[endpoint] for endpoint in exclude if endpoint in places}
        place = self._rendezvous.winner(number_of(key), without)
        return None if place is None else self._endpoints[place]


def _seed(endpoint: Endpoint) -> int:
    host, port, *scope = endpoint.sockaddr
    address = socket.inet_pton(endpoint.family, host)  # one address can be written in many ways
    endpoint.seed = number_of(b"%b %d %d" % (address, port, scope[-1] if scope else 0))
    return endpoint.seed
