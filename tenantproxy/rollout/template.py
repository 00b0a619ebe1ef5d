"""Fills in what a query asks about: `{{tenant}} {{listener}} {{stable}} {{canary}} {{interval}}`.

The values are names of the document (`[a-z0-9-]`) and a duration, so no value
can end a string of PromQL, nor be more than itself in a regular expression.
"""

from __future__ import annotations

import re

from tenantproxy.model.findings import Subject
from tenantproxy.rollout.words import span

_PLACE = re.compile(r"\{\{\s*(\w+)\s*\}\}")


def fill(template: str, about: Subject) -> str:
    """Return the query with its values; a name that there is not stays, and Prometheus says so."""
    values = {
        "tenant": about.tenant,
        "listener": about.listener,
        "stable": about.stable,
        "canary": about.canary,
        "interval": span(about.interval_s),
    }
    return _PLACE.sub(lambda place: values.get(place[1], place[0]), template)
