"""What rollouts make of the desired state: splits with the weights of the step, preview ports.

`declared` is what document and API ask for; what is in force is derived from
it here and nowhere else. What no rollout touches stays the same object.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tenantproxy.model.delta import Tenants
from tenantproxy.model.spec import ListenerKey, SplitMember

PREVIEW = ".preview"
"""Ends the name of a preview listener; no name in a document has a dot."""


@dataclass(frozen=True, slots=True)
class Carried:
    """What a rollout wants of its listener now."""

    stable: str
    canary: str
    weight: int | None
    """Percent of the canary of what the two have together; None: the split is as declared."""
    preview: Literal["auto"] | int | None = None
    """The preview listener that shall be there."""
    salt: str = ""


def derive(declared: Tenants, carried: Mapping[ListenerKey, Carried]) -> Tenants:
    """Return what is in force: `declared` with the weights and previews of rollouts."""
    raise NotImplementedError


def shares(
    split: tuple[SplitMember, ...], stable: str, canary: str, weight: int
) -> tuple[SplitMember, ...]:
    """Return the split with `weight` percent of the pair's share for the canary.

    Other members keep their shares of the whole. Stable comes first and the canary last, as
    `model.split` needs it to move only clients between the two; one that is not named is added.
    """
    raise NotImplementedError


def found_weight(split: tuple[SplitMember, ...], stable: str, canary: str) -> int:
    """Return the canary's percent of what the two have together in a split, rounded up."""
    raise NotImplementedError
