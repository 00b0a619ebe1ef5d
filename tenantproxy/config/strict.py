"""What all mappings of the document have in common: known keys only.

`later` names the keys of the contract that this version lacks, with the
values that mean "off" and are therefore accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.fields import FieldInfo

from tenantproxy.config.fields import fault, shown

Later = Mapping[str, tuple[str, tuple[object, ...]]]
"""Key -> what it would do, and its values that are accepted because they mean off."""


class Strict(BaseModel):
    """A mapping with known keys only."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True
    )
    later: ClassVar[Later] = {}

    @model_validator(mode="before")
    @classmethod
    def _mapping(cls, data: Any) -> Any:
        if isinstance(data, cls):
            return data
        if not isinstance(data, dict):
            raise fault(f"needs a mapping, not {shown(data)}", _keys_hint(cls))
        off = [
            key for key, (_, values) in cls.later.items() if key in data and _in(data[key], values)
        ]
        return {key: value for key, value in data.items() if key not in off} if off else data


def keys(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields of a mapping by the keys that people write."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def one_of(*names: str) -> dict[str, Any]:
    """Return the JSON schema of a mapping that has exactly one of these keys; null is none."""
    return {"oneOf": [has(name) for name in names]}


def needs(key: str, other: str) -> dict[str, Any]:
    """Return the JSON schema of a mapping that may have `key` only together with `other`."""
    return {"if": has(key), "then": has(other)}


def has(key: str) -> dict[str, Any]:
    """Return the JSON schema of a mapping that has this key; null is none."""
    return {"required": [key], "properties": {key: {"not": {"type": "null"}}}}


def _in(value: object, values: tuple[object, ...]) -> bool:
    """By type too: `warm: false` is not `warm: 0`."""
    return value is None or any(type(value) is type(one) and value == one for one in values)


def _keys_hint(model: type[BaseModel]) -> str:
    known = keys(model)
    needed = [key for key, field in known.items() if field.is_required()]
    return (
        f"write it as lines of `key: value`, with keys such as {', '.join(needed or [*known][:3])}"
    )
