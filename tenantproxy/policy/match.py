"""Whether a policy is about a listener."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import translate

from tenantproxy.model.spec import ListenerKey, PolicyMatch


class Matcher:
    """A `PolicyMatch` made quick: it is asked for every listener again and again."""

    __slots__ = ("_labels", "_listeners", "_tenants")

    def __init__(self, match: PolicyMatch) -> None:
        self._tenants = _any_of(match.tenants)
        self._listeners = _any_of(match.listeners)
        self._labels = match.labels.items()

    def fits(self, key: ListenerKey, labels: Mapping[str, str]) -> bool:
        """Say whether tenant, listener and every label fit; an empty list of names fits none."""
        return (
            (self._tenants is None or self._tenants.match(key.tenant) is not None)
            and (self._listeners is None or self._listeners.match(key.listener) is not None)
            and all(labels.get(name) == value for name, value in self._labels)
        )


def _any_of(globs: tuple[str, ...]) -> re.Pattern[str] | None:
    """Return one pattern for all globs; None fits everything."""
    if "*" in globs:
        return None
    return re.compile("|".join(map(translate, globs)) or r"(?!)")
