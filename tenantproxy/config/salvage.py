"""What is left of a broken document, so that its sound part is checked in the same go.

A writer who fixes an unknown key wants to hear of the port clash next to it
now, not at the next try. Nothing salvaged is ever applied.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from tenantproxy.config.explain import Path
from tenantproxy.config.models import DocumentDoc
from tenantproxy.model.spec import Document

_PLACEHOLDER = {"endpoints": ["192.0.2.1:9"]}
"""Keeps the name of a broken upstream known to splits; TEST-NET, so no check can hit it."""
_ANY_PROXY: dict[str, Any] = {
    "port_range": "1-65535",
    "admin": {"port": 0},
    "metrics": {"port": 0},
}
"""Accuses nobody, in place of the broken parts of `proxy`."""


def salvage(body: dict[str, Any], faults: Iterable[Path]) -> Document | None:
    """Return the document without what has faults, or None when nothing can be saved."""
    whole: dict[str, Any] = dict(body)
    copied: set[Path] = set()
    for path in faults:
        _cut(whole, path, copied)
    try:
        return DocumentDoc.model_validate(whole).to_spec()
    except ValidationError:
        return None


def _cut(whole: dict[str, Any], path: Path, copied: set[Path]) -> None:
    match path:
        case ("version", *_) | ():
            whole["version"] = 1
        case ("proxy",):
            whole["proxy"] = _ANY_PROXY
        case ("proxy", key, *_):
            part = _part(whole, ("proxy",), copied)
            part.pop(str(key), None)
            part.update({str(key): _ANY_PROXY[str(key)]} if key in _ANY_PROXY else {})
        case ("tenants", tenant, "listeners", listener, *_):
            _part(whole, ("tenants", tenant, "listeners"), copied).pop(str(listener), None)
        case ("tenants", tenant, "upstreams", upstream, *_):
            _part(whole, ("tenants", tenant, "upstreams"), copied)[str(upstream)] = _PLACEHOLDER
        case ("tenants", tenant, "upstreams"):
            part = _part(whole, ("tenants", tenant), copied)
            part.pop("upstreams", None)
            part.pop("listeners", None)
        case ("tenants", tenant, key, *_):
            _part(whole, ("tenants", tenant), copied).pop(str(key), None)
        case ("tenants", tenant):
            _part(whole, ("tenants",), copied).pop(str(tenant), None)
        case (key, *_):
            whole.pop(str(key), None)


def _part(whole: dict[str, Any], path: Path, copied: set[Path]) -> dict[str, Any]:
    """Return a mapping inside `whole` that may be changed: aliases share theirs."""
    part = whole
    for steps, key in enumerate(path, start=1):
        inner = part.get(str(key))
        if not isinstance(inner, dict):
            return {}
        if path[:steps] not in copied:
            copied.add(path[:steps])
            inner = part[str(key)] = dict(inner)
        part = inner
    return part
