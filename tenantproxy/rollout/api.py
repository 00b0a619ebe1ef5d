"""What the control side asks of judges and gates outside of the proxy."""

from __future__ import annotations

from typing import Protocol

from tenantproxy.model.findings import Finding, GateAnswer, Subject
from tenantproxy.model.rollout_spec import Gate, GateName, OutsideCheck


class Judges(Protocol):
    """Asks whoever is outside. No method raises: who cannot be reached is `inconclusive`."""

    async def judge(self, check: OutsideCheck, about: Subject) -> Finding:
        """Return what the judge found, within the check's timeout."""
        ...

    async def ask(self, name: GateName, gate: Gate, about: Subject) -> GateAnswer:
        """Return what the gate says, within its timeout."""
        ...

    async def close(self) -> None:
        """End every question under way and every connection."""
        ...


class Nobody:
    """Stands where there is no network to ask: every answer is that nobody was asked."""

    async def judge(self, check: OutsideCheck, about: Subject) -> Finding:  # noqa: ARG002
        return Finding(check.name, "inconclusive", "nobody can be asked", dry_run=check.dry_run)

    async def ask(self, name: GateName, gate: Gate, about: Subject) -> GateAnswer:  # noqa: ARG002
        return GateAnswer(name, "unreachable", "nobody can be asked")

    async def close(self) -> None:
        pass
