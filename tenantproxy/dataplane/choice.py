"""Which member of a split a connection gets, where the golden walk alone does not decide.

That is where clients stick to a member, and while a member of a listener with
`fallback` has nobody who serves: it gives its share to those that have. The others
keep their connections and their clients, and its own clients come back when it does.
"""

from __future__ import annotations

import os
from collections.abc import Set as AbstractSet

from tenantproxy.dataplane.client import client_key
from tenantproxy.dataplane.flow import Socket
from tenantproxy.dataplane.messages import ListenerOrder
from tenantproxy.model.rendezvous import Rendezvous, number_of
from tenantproxy.model.split import MAX_MEMBERS, Split, step, sticky_point

_SEEDS = tuple(number_of(b"member %d" % member) for member in range(MAX_MEMBERS))
"""Members are known by their place in the document, so that every process calls them the same."""


class Choice:
    """Chooses by the split of a listener, with the members that are dead."""

    __slots__ = ("_dead", "_living", "_salt", "_split", "_survivors", "point")

    def __init__(self, order: ListenerOrder, split: Split, dead: AbstractSet[int]) -> None:
        """Take the split of an order; a member that is not in `dead` has some weight."""
        living = [
            0 if member in dead else route.weight for member, route in enumerate(order.routes)
        ]
        self._split = split
        self._dead = dead
        self._living = Split.of(living)
        self._salt = order.salt if order.sticky else None
        self._survivors = Rendezvous(_SEEDS[: len(living)], living)
        self.point = int.from_bytes(os.urandom(4))
        """Where the walk among the living is; it begins anywhere. It is one of its own: the points
        at which the dead would have been picked are no even walk."""

    def member(self, point: int, sock: Socket) -> int:
        """Return the member for the client of a socket, at this point of the listener's walk."""
        if self._salt is not None and (key := client_key(sock)):
            member = self._split.at(sticky_point(self._salt, key))
            return self._survivor(self._salt, key) if member in self._dead else member
        member = self._split.at(point)  # of a client that has left, nobody knows the address
        if member in self._dead:
            self.point = step(self.point)
            member = self._living.at(self.point)
        return member

    def _survivor(self, salt: str, key: bytes) -> int:
        """Return another member, so that it stays the same whoever else dies or comes back."""
        winner = self._survivors.winner(number_of(b"%b\0%b" % (salt.encode(), key)))
        assert winner is not None  # noqa: S101 - somebody has weight
        return winner


def choice_of(
    order: ListenerOrder, split: Split, unhealthy: AbstractSet[int], before: Choice | None
) -> Choice | None:
    """Return what chooses for a listener; None: the golden walk on its split says it all.

    `unhealthy` are ids of upstreams. They are heeded with `fallback` only, and if somebody
    with weight is left. `before` is the choice so far, of which the new one takes over the walk.
    """
    dead: frozenset[int] = frozenset()
    if unhealthy and order.fallback:
        dead = frozenset(i for i, route in enumerate(order.routes) if route.upstream in unhealthy)
        if not any(route.weight for i, route in enumerate(order.routes) if i not in dead):
            dead = frozenset()  # nobody is better off elsewhere
    if not dead and not order.sticky:
        return None
    choice = Choice(order, split, dead)
    if before is not None:
        choice.point = before.point
    return choice
