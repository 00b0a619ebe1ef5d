"""What the rest of the program may ask of the control side.

The admin API, the metrics collector and the daemon know this protocol only;
`controller.Controller` is the implementation. Every method is called on the
control process's event loop. Views are snapshots; nothing in them changes.
Methods that change something raise the errors of `tenantproxy.errors` and
leave everything as it was when they do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from tenantproxy.model.delta import Change
from tenantproxy.model.rollout import Command
from tenantproxy.model.rollout_spec import RolloutSpec
from tenantproxy.model.rollout_view import RolloutView
from tenantproxy.model.spec import (
    Connections,
    Document,
    ListenerKey,
    ListenerSpec,
    PolicySpec,
    SplitMember,
    TenantSpec,
    UpstreamKey,
    UpstreamSpec,
)
from tenantproxy.model.views import (
    Event,
    GenerationView,
    ListenerView,
    Source,
    Status,
    TenantView,
    UpstreamView,
)


class Watch(Protocol):
    """A stream of events; ends when the daemon does."""

    async def next(self) -> Event:
        """Wait for the next event.

        Raises:
            StopAsyncIteration: the daemon ends.
        """
        ...


class Control(Protocol):
    """Desired state in, observed state out."""

    # Looking -----------------------------------------------------------

    def status(self) -> Status: ...

    def document(self) -> Document:
        """Return the desired state in force, API changes included."""
        ...

    def tenants(self) -> list[TenantView]: ...

    def tenant(self, name: str) -> TenantView:
        """Return one; another thread may do it, as it sums over all its listeners.

        Raises:
            NotFound: as do the other single look-ups.
        """
        ...

    def listeners(self, tenant: str | None = None) -> list[ListenerView]:
        """Return them by name. For thousands use `listener_snapshots`."""
        ...

    def listener(self, key: ListenerKey) -> ListenerView: ...

    def listener_snapshots(self) -> Iterable[ListenerView]:
        """Iterate over listeners as they are now; may be consumed in another thread."""
        ...

    def upstreams(self, tenant: str | None = None) -> list[UpstreamView]: ...

    def upstream(self, key: UpstreamKey) -> UpstreamView: ...

    def upstream_snapshots(self) -> Iterable[UpstreamView]:
        """As `listener_snapshots`."""
        ...

    def rollouts(self, tenant: str | None = None) -> list[RolloutView]:
        """Return them by the name of their listener."""
        ...

    def rollout(self, key: ListenerKey) -> RolloutView:
        """Return one.

        Raises:
            NotFound: there is no such listener, or it has no rollout.
        """
        ...

    def rollout_snapshots(self) -> Iterable[RolloutView]:
        """As `listener_snapshots`."""
        ...

    def policies(self) -> Sequence[PolicySpec]: ...

    def events(self, *, after: int = 0, limit: int = 1000) -> list[Event]:
        """Return kept events with a number above `after`, oldest first."""
        ...

    def watch(self, *, after: int | None = None) -> AbstractContextManager[Watch]:
        """Follow events; with `after`, kept ones above that number come first."""
        ...

    def generations(self) -> list[GenerationView]:
        """Return the newest first."""
        ...

    # Changing: each makes a new generation, whole or not at all ----------

    async def put_document(self, document: Document, *, dry_run: bool = False) -> list[Change]:
        """Make this the desired state; the `proxy` part must be as it runs."""
        ...

    def diff(self, document: Document) -> list[Change]: ...

    async def put_tenant(self, tenant: TenantSpec, *, dry_run: bool = False) -> list[Change]: ...

    async def delete_tenant(
        self, name: str, *, connections: Connections = "drain", dry_run: bool = False
    ) -> list[Change]: ...

    async def put_listener(
        self, listener: ListenerSpec, *, dry_run: bool = False
    ) -> list[Change]: ...

    async def delete_listener(
        self, key: ListenerKey, *, connections: Connections = "drain", dry_run: bool = False
    ) -> list[Change]: ...

    async def put_upstream(
        self, upstream: UpstreamSpec, *, dry_run: bool = False
    ) -> list[Change]: ...

    async def delete_upstream(self, key: UpstreamKey, *, dry_run: bool = False) -> list[Change]: ...

    async def set_split(
        self, key: ListenerKey, split: tuple[SplitMember, ...], *, dry_run: bool = False
    ) -> list[Change]: ...

    async def put_rollout(
        self, key: ListenerKey, rollout: RolloutSpec | None, *, dry_run: bool = False
    ) -> list[Change]:
        """Give a listener a rollout, another one, or none: one on its way ends as aborted."""
        ...

    async def command_rollout(
        self, key: ListenerKey, command: Command, *, dry_run: bool = False
    ) -> RolloutView:
        """Start, pause, resume, promote, abort or roll back; weights are out when this returns.

        With `dry_run` it is only held against the phase, and the rollout stays as it is.

        Raises:
            NotFound, Conflict: it does not fit the phase.
        """
        ...

    # One port ------------------------------------------------------------

    async def open(self, key: ListenerKey) -> ListenerView:
        """Open it; when this returns, clients are accepted by a worker.

        Raises:
            NotFound, WakeTimeout, PortError, ListenFailed.
        """
        ...

    async def sleep(self, key: ListenerKey, *, connections: Connections = "drain") -> ListenerView:
        """Put it to sleep; the next connection wakes it.

        Returns when no worker accepts any more; with live connections the
        state is `draining` then, and `asleep` when they have ended.
        """
        ...

    async def close(self, key: ListenerKey, *, connections: Connections = "drain") -> ListenerView:
        """Close the port until `open` or a change of the listener; the number stays reserved."""
        ...

    # The document's source -------------------------------------------------

    async def apply_source(
        self, document: Document, policies: Sequence[PolicySpec], *, source: Source
    ) -> list[Change]:
        """Take a new version of the watched document and of the policies."""
        ...

    def refuse_source(self, problems: Sequence[str], *, source: Source) -> None:
        """Note that the watched document is broken; what runs stays."""
        ...
