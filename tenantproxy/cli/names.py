"""What people call things: kinds with their short names, and TENANT/NAME."""

from __future__ import annotations

import click

ALIASES = {
    "tenants": ("tenant", "tn"),
    "listeners": ("listener", "li"),
    "upstreams": ("upstream", "up"),
    "rollouts": ("rollout", "ro"),
    "policies": ("policy", "po"),
    "events": ("event", "ev"),
    "generations": ("generation", "gen"),
}
_KIND_OF = {alias: kind for kind, others in ALIASES.items() for alias in (kind, *others)}
IN_TENANT = ("listeners", "upstreams", "rollouts")
"""Kinds whose names are TENANT/NAME; a rollout has the name of its listener."""


def singular(kind: str) -> str:
    """Return `listener` for `listeners`."""
    return ALIASES[kind][0]


def kind_of(value: str) -> str:
    """Return the plural name of a kind; for an option's `type`.

    Raises:
        click.BadParameter: there is no such kind.
    """
    kind = _KIND_OF.get(value.lower())
    if kind is None:
        raise click.BadParameter(f"no kind is called {value!r}. There are: {', '.join(ALIASES)}.")
    return kind


def complete_kind(
    ctx: click.Context,  # noqa: ARG001 - click's signature
    param: click.Parameter,  # noqa: ARG001
    incomplete: str,
) -> list[str]:
    """Return the kinds that a shell may offer."""
    return [kind for kind in ALIASES if kind.startswith(incomplete)]


def in_tenant(value: str) -> tuple[str, str]:
    """Return both parts of `TENANT/NAME`; for an option's `type`.

    Raises:
        click.BadParameter: it is not of that form.
    """
    tenant, _, name = value.partition("/")
    if not tenant or not name or "/" in name:
        raise click.BadParameter(f"{value!r} is not TENANT/NAME, such as acme/web")
    return tenant, name
