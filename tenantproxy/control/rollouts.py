"""All rollouts at run time: which there are follows from the declared state."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator

from tenantproxy.control.events import Events
from tenantproxy.control.hands import Hands
from tenantproxy.control.rollout import Rollout
from tenantproxy.control.rollout_means import Means
from tenantproxy.control.rollout_views import view_of
from tenantproxy.errors import NotFound
from tenantproxy.model.delta import Delta, Tenants
from tenantproxy.model.rollout import ON_ITS_WAY, Command
from tenantproxy.model.rollout_spec import RolloutSpec
from tenantproxy.model.rollout_view import RolloutView
from tenantproxy.model.spec import ListenerKey, ListenerSpec, SplitMember
from tenantproxy.rollout.api import Judges
from tenantproxy.tasks import Background


class Rollouts:
    """One `Rollout` for each listener that has a plan; ended ones are kept to be looked at."""

    def __init__(
        self, hands: Hands, judges: Judges, events: Events, background: Background
    ) -> None:
        self._means = Means(hands, judges, events, background)
        self._all: dict[ListenerKey, Rollout] = {}

    def follow(self, declared: Tenants, found: Delta) -> None:
        """Begin, begin anew and end rollouts as another declared state wants it.

        Args:
            declared: the declared state that is in force now.
            found: what differs from the one before.
        """
        for key, (old, _) in found.listeners.items():
            try:
                self._follow(key, old, _listener(declared, key))
            except Exception as error:  # noqa: BLE001 - one rollout's bug must not stop the others
                about = f"listener/{key.listener}"
                why = f"its rollout: {error!r}"
                self._means.events.add(
                    "internal_error", why, tenant=key.tenant, about=about, level="error"
                )

    def owner(self, key: ListenerKey) -> str | None:
        """Return why the listener's split is not free: its rollout is on its way."""
        one = self._all.get(key)
        if one is None or one.progress.phase not in ON_ITS_WAY:
            return None
        return (
            f"the rollout from {one.spec.stable} to {one.spec.canary} "
            f"is {one.progress.phase} ({one.progress.reason})"
        )

    def let_go(self, key: ListenerKey, declared: tuple[SplitMember, ...]) -> None:
        """Let the declared split be in force: somebody asks for it after the rollout has ended."""
        if key in self._all:
            self._all[key].split_changed(declared)

    def command(self, key: ListenerKey, command: Command, *, dry_run: bool = False) -> None:
        """Start, pause, resume, promote, abort or roll back; weights are out when this returns.

        With `dry_run` it is only held against the phase.

        Raises:
            NotFound: the listener has no rollout.
            Conflict: it does not fit the phase; nothing has changed.
        """
        self._one(key).command(command, dry_run=dry_run)

    def view(self, key: ListenerKey) -> RolloutView:
        """Return one as it is now.

        Raises:
            NotFound: the listener has no rollout.
        """
        return view_of(self._one(key), self._means.hands)

    def views(self, tenant: str | None = None) -> list[RolloutView]:
        """Return them by the name of their listener, of one tenant or of all."""
        keys = sorted(key for key in self._all if tenant in (None, key.tenant))
        return [self.view(key) for key in keys]

    def snapshots(self) -> Iterator[RolloutView]:
        """Return an iterator over all; each is as it is when it is asked for.

        Another thread may do that: a view is read in one go from values that are replaced whole.
        """
        rollouts = list(self._all.values())
        return (view_of(one, self._means.hands) for one in rollouts)

    async def close(self) -> None:
        """Stop deciding; when this returns nothing is asked any more, and weights stay."""
        ending = [task for one in self._all.values() for task in one.close()]
        await asyncio.gather(*ending, return_exceptions=True)

    def _follow(self, key: ListenerKey, old: ListenerSpec | None, new: ListenerSpec | None) -> None:
        one = self._all.get(key)
        spec = None if new is None else new.rollout
        if old is None:
            # Another of its name may still drain, and nothing of that one's rollout is this one's.
            self._means.hands.count(key, ())
        if new is None or spec is None:
            if one is not None:
                del self._all[key]
                one.leave("the listener is gone" if new is None else "the plan was removed")
        elif one is None or one.spec != spec:
            self._begin(key, spec, new.split, one)
        elif old is None or old.split != new.split:
            one.split_changed(new.split)

    def _begin(
        self,
        key: ListenerKey,
        spec: RolloutSpec,
        split: tuple[SplitMember, ...],
        before: Rollout | None,
    ) -> None:
        carried = None
        if before is not None:
            carried = before.leave("the plan was changed: it begins anew", for_another=True)
        one = Rollout(
            key,
            spec,
            split,
            self._means,
            secrets.token_hex(4),
            carried=carried,
            counts=None if before is None else before.counts,
        )
        self._all[key] = one
        one.wake()

    def _one(self, key: ListenerKey) -> Rollout:
        one = self._all.get(key)
        if one is None:
            raise NotFound(
                f"listener {key} has no rollout",
                hint="`tenantproxy get rollouts` shows those that there are",
            )
        return one


def _listener(tenants: Tenants, key: ListenerKey) -> ListenerSpec | None:
    tenant = tenants.get(key.tenant)
    return None if tenant is None else tenant.listeners.get(key.listener)
