"""What pydantic found becomes problems in our words, each with its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any, Protocol, get_args, get_origin

from pydantic import BaseModel, ValidationError

from tenantproxy.config.fields import shown
from tenantproxy.config.strict import Strict, keys
from tenantproxy.config.suggest import did_you_mean, suggestion
from tenantproxy.errors import DocumentError, NotSupportedYet, Problem

Path = tuple[str | int, ...]


class Places(Protocol):
    """Where things are in the text; `yaml_tree.Tree` is one."""

    def value_at(self, path: Sequence[str | int], /) -> tuple[int, int]: ...

    def key_at(self, path: Sequence[str | int], /) -> tuple[int, int]: ...


def explain(
    error: ValidationError, model: type[BaseModel], body: object, places: Places | None
) -> Iterator[Problem]:
    """Yield the problems of `error`, which came from `model` reading `body`.

    `places` is None for a body that is no text of ours (JSON of the API).
    """
    for one in error.errors(include_url=False):
        yield _explain_one(dict(one), model, body, places)


def paths(error: ValidationError) -> list[Path]:
    """Return where the faults are."""
    return [_clean(one["loc"])[0] for one in error.errors(include_url=False, include_input=False)]


def dotted(path: Iterable[str | int]) -> str:
    """Return `tenants.acme.listeners.web`."""
    return ".".join(map(str, path))


def refusal(problems: Iterable[Problem], *, file: str | None = None) -> DocumentError:
    """Return the error that carries `problems`, by position and one for each place."""
    by_place: dict[tuple[object, ...], Problem] = {}
    for one in problems:
        problem = replace(one, file=one.file or file)
        place: tuple[object, ...] = (problem.file, problem.line, problem.column)
        if problem.line is None:
            place = (problem.file, problem.path, problem.message)
        by_place.setdefault(place, problem)
    found = sorted(by_place.values(), key=lambda p: (p.line or 0, p.column or 0))
    return error_of(found)


def error_of(problems: Iterable[Problem]) -> DocumentError:
    """Return the error that carries `problems` as they are."""
    kept = tuple(problems)
    if all(p.code == "not_supported_yet" for p in kept):
        return NotSupportedYet(kept)
    return DocumentError(kept)


def _explain_one(
    one: dict[str, Any], model: type[BaseModel], body: object, places: Places | None
) -> Problem:
    path, at_key = _clean(one["loc"])
    code, hint = "document_invalid", None
    match one["type"]:
        case "fault":
            context = one["ctx"]
            message, hint, code = context["message"], context["hint"], context["code"]
            if context["key"] is not None:
                path, at_key = (*path, context["key"]), True
            path = (*path, *context["inside"])
        case "missing":
            owner, key = model_at(model, path[:-1]), str(path[-1])
            path = path[:-1]
            message, hint, at_key = f"`{key}` is missing", _missing_hint(owner, key), True
        case "extra_forbidden":
            message, hint, code = _unknown(model_at(model, path[:-1]), path[-1])
            at_key = True
        case "dict_type":
            message, hint = f"needs a mapping, not {shown(one['input'])}", "write `name: value`"
        case "list_type":
            message, hint = f"needs a list, not {shown(one['input'])}", "write [one, two]"
        case _:
            message = f"{shown(one['input'])} is not what belongs here"
    there = _existing(body, path)
    found = Problem(message, dotted(there), hint=hint, code=code)
    if places is None:
        return found
    line, column = places.key_at(there) if at_key else places.value_at(there)
    return replace(found, line=line, column=column)


def _clean(loc: Sequence[str | int]) -> tuple[Path, bool]:
    """Return the path, and whether the fault is in its last key."""
    if loc and loc[-1] == "[key]":
        return tuple(loc[:-1]), True
    return tuple(loc), False


def _existing(body: Any, path: Path) -> Path:
    """Return as much of `path` as the body has: a short form stands for a longer one."""
    for steps, part in enumerate(path):
        try:
            body = body[part]
        except (LookupError, TypeError):
            return path[:steps]
    return path


def _missing_hint(owner: type[BaseModel] | None, key: str) -> str | None:
    field = None if owner is None else keys(owner).get(key)
    if field is None or not field.examples:
        return None
    return f"add for example `{key}: {field.examples[0]}`"


def _unknown(owner: type[BaseModel] | None, key: str | int) -> tuple[str, str, str]:
    if owner is None:
        return f"`{key}` is not known here", "remove it", "unknown_key"
    if issubclass(owner, Strict) and key in owner.later:
        does, off = owner.later[str(key)]
        values = "null" if not off else f"null or {str(off[0]).lower()}"
        message = f"`{key}` is not supported yet: {does} will come with a later version"
        return message, f"leave it out, or set it to {values}", "not_supported_yet"
    later = owner.later if issubclass(owner, Strict) else {}
    near = did_you_mean(key, [*keys(owner), *later])
    hint = near or suggestion(key, keys(owner), what="keys")
    return f"`{key}` is not a key that is known here", hint, "unknown_key"


def model_at(model: type[BaseModel], path: Path) -> type[BaseModel] | None:
    """Return the model that reads the mapping at `path`, or None for a free one."""
    current: Any = model
    for part in path:
        if isinstance(current, type) and issubclass(current, BaseModel):
            field = keys(current).get(str(part))
            if field is None:
                return None
            current = _bare(field.annotation)
        else:
            current = _bare(get_args(current)[-1]) if get_args(current) else None
    return current if isinstance(current, type) and issubclass(current, BaseModel) else None


def _bare(annotation: Any) -> Any:
    """Take away `Annotated` and `| None`."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    options = get_args(annotation)
    if type(None) in options:
        return _bare(next(one for one in options if one is not type(None)))
    return annotation
