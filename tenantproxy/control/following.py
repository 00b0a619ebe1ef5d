"""Sources followed while somebody wants to know: one task for each, with an end.

A name that nobody uses yet is looked up once, so that its first connection is fast and a mistake
shows early; after that a source costs something only while its upstream is awake.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping

from tenantproxy.control.events import Events
from tenantproxy.control.upstream import Place, Upstream, literal, shown
from tenantproxy.discovery.source import NOT_YET, Address, Failed, Found, Source
from tenantproxy.model.spec import UpstreamSpec
from tenantproxy.tasks import Background

_SHOWN = 8
"""Addresses listed in one event."""
_EACH = 10
"""Up to so many changes at once have an event of their own."""


class Following:
    """Starts and ends tasks, and lets upstreams know what they learn.

    `on_found(upstream)` is called after that; not for a failure that changes no address.
    """

    def __init__(
        self,
        source_of: Callable[[UpstreamSpec], Source],
        background: Background,
        events: Events,
        on_found: Callable[[Upstream], None],
    ) -> None:
        self._source_of, self._background, self._events = source_of, background, events
        self._on_found = on_found

    def begin(self, upstream: Upstream) -> None:
        """Learn what the spec names: for as long as the upstream is awake, else once."""
        self.end(upstream)
        if not upstream.literal:
            work = self._follow(upstream, once=not upstream.awake)
            upstream.task = self._background.start(work, name=f"follow {upstream.spec.key}")

    def end(self, upstream: Upstream) -> None:
        """Learn no more; what was found stays."""
        if upstream.task is not None:
            upstream.task.cancel()
            upstream.task = None

    async def _follow(self, upstream: Upstream, *, once: bool) -> None:
        items = self._source_of(upstream.spec).follow(upstream.addresses)
        try:
            async for item in items:
                if isinstance(item, Failed):
                    self._failed(upstream, item)
                else:
                    self._found(upstream, item)
                if once and _complete(item):
                    return
        finally:
            await _close(items)

    def _failed(self, upstream: Upstream, item: Failed) -> None:
        if upstream.discovery_reason != item.reason:
            self._note(upstream, "upstream_unresolved", item.reason, level="warning")
        before = upstream.addresses
        upstream.lack(item.reason)
        if upstream.addresses != before:
            self._on_found(upstream)

    def _found(self, upstream: Upstream, item: Found) -> None:
        known, failed = upstream.known, upstream.discovery_reason
        reasons, addresses, before = upstream.reasons, upstream.addresses, upstream.places()
        short = upstream.short
        upstream.take(item)
        for what, why in upstream.short.items():
            if what not in short:
                self._note(upstream, "upstream_shortened", why, level="warning")
        for listed, reason in upstream.reasons.items():
            if reason not in (NOT_YET, reasons.get(listed)):
                self._note(upstream, "upstream_unresolved", reason, level="warning")
        if upstream.spec.discovery is None:
            self._tell_names(upstream, addresses, failed_before=reasons)
        elif failed or not known:
            found = _listed([one.host for one in upstream.addresses])
            self._note(upstream, "upstream_resolved", f"{upstream.spec.discovery} is {found}")
        if known:
            self._tell_changes(upstream, before, upstream.places())
        if upstream.addresses != addresses:
            self._on_found(upstream)

    def _tell_names(
        self,
        upstream: Upstream,
        before: Iterable[Address],
        failed_before: Mapping[str, str],
    ) -> None:
        """Note every name of the document that has other addresses now, or has some again."""
        old, new = _by_listed(before), _by_listed(upstream.addresses)
        for one in upstream.spec.endpoints:
            listed = str(one)
            if listed not in new or listed in upstream.reasons or literal(one) is not None:
                continue
            if listed in failed_before or old.get(listed) != new[listed]:
                found = _listed(new[listed])
                self._note(upstream, "upstream_resolved", f"{one.host} is {found}")

    def _tell_changes(
        self, upstream: Upstream, before: Mapping[Place, Address], now: Mapping[Place, Address]
    ) -> None:
        """Note who came and who went; a name's first address is no newcomer."""
        had_some = {one.listed for one in before.values()} | {""}
        new = [one for at, one in now.items() if at not in before and one.listed in had_some]
        gone = [one for at, one in before.items() if at not in now]
        if len(new) + len(gone) > _EACH:
            self._note(upstream, "endpoints_changed", _summary(new, gone))
            return
        for one in new:
            name = shown(one, upstream.spec)
            self._note(upstream, "endpoint_added", f"{one.host} is new", endpoint=name)
        for one in gone:
            name = shown(one, upstream.spec)
            self._note(upstream, "endpoint_removed", f"{one.host} is gone", endpoint=name)

    def _note(
        self, upstream: Upstream, event: str, reason: str, *, level: str = "info", **more: str
    ) -> None:
        spec = upstream.spec
        self._events.add(
            event, reason, tenant=spec.tenant, about=f"upstream/{spec.name}", level=level,
            values=more,
        )  # fmt: skip


def _by_listed(addresses: Iterable[Address]) -> dict[str, list[str]]:
    """Return the hosts of each endpoint of the document, in a stable order."""
    found: dict[str, list[str]] = {}
    for one in addresses:
        found.setdefault(one.listed, []).append(one.host)
    return {listed: sorted(hosts) for listed, hosts in found.items()}


def _summary(new: list[Address], gone: list[Address]) -> str:
    """Return `12 are new: 10.0.0.1, ...; 1 is gone: 10.0.0.9`."""
    return "; ".join(
        f"{len(some)} {'is' if len(some) == 1 else 'are'} {what}: {_listed([a.host for a in some])}"
        for some, what in ((new, "new"), (gone, "gone"))
        if some
    )


def _listed(hosts: list[str]) -> str:
    more = len(hosts) - _SHOWN
    shown_hosts = ", ".join(hosts[:_SHOWN])
    return f"{shown_hosts} and {more} more" if more > 0 else shown_hosts


def _complete(item: Found | Failed) -> bool:
    """Say whether every name has been answered for."""
    return isinstance(item, Failed) or NOT_YET not in dict(item.reasons).values()


async def _close(items: AsyncIterator[Found | Failed]) -> None:
    """End a generator now and here, not when its memory is looked through."""
    close = getattr(items, "aclose", None)
    if close is not None:
        await close()
