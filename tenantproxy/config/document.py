"""Untrusted input becomes values: the document whole, or one object of it.

Every problem is found and reported at once, in the order of the text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from tenantproxy.config.explain import Path, explain, paths, refusal
from tenantproxy.config.fields import Name, shown
from tenantproxy.config.models import (
    DocumentDoc,
    ListenerDoc,
    SplitDoc,
    TenantDoc,
    split_members,
)
from tenantproxy.config.rollout_models import RolloutDoc
from tenantproxy.config.salvage import salvage
from tenantproxy.config.strict import Strict
from tenantproxy.config.upstream_models import UpstreamDoc
from tenantproxy.config.yaml_tree import Tree, parse_tree
from tenantproxy.errors import DocumentError, Problem
from tenantproxy.model.checks import AT_KEY, check_document
from tenantproxy.model.rollout_spec import RolloutSpec
from tenantproxy.model.spec import (
    Document,
    ListenerSpec,
    SplitMember,
    TenantSpec,
    UpstreamSpec,
)

_Model = TypeVar("_Model", bound=BaseModel)


class _Named(Strict):
    """Carries a name that stands outside of its object."""

    name: Name


class _Split(Strict):
    """Carries a split that stands alone."""

    split: SplitDoc


class _Rollout(Strict):
    """Carries a rollout that stands alone, or null."""

    rollout: RolloutDoc | None


def parse_document(text: str, *, file: str | None = None) -> Document:
    """Return the document that a YAML text describes, checked as a whole.

    `file` is only shown. Ports below 1024 pass: whether they may be bound is
    known to the process that binds, see `model.checks.check_document`.

    Raises:
        DocumentError: carries every problem with line and column.
    """
    tree = parse_tree(text, file=file)
    problems = list(tree.problems)
    document, found = _read(tree)
    problems += found
    if problems or document is None:
        raise refusal(problems, file=file)
    return document


def parse_tenant(name: str, body: object) -> TenantSpec:
    """Return a tenant from the body of a request; paths of problems start at the body.

    Raises:
        DocumentError: carries every problem; what concerns other tenants or
            the proxy is for `model.checks.check_tenant`.
    """
    return _parse(TenantDoc, body, name).to_spec(name)


def parse_listener(tenant: str, name: str, body: object) -> ListenerSpec:
    """Return a listener from the body of a request; raises as `parse_tenant`."""
    return _parse(ListenerDoc, body, tenant, name).to_spec(tenant, name)


def parse_upstream(tenant: str, name: str, body: object) -> UpstreamSpec:
    """Return an upstream from the body of a request; raises as `parse_tenant`."""
    return _parse(UpstreamDoc, body, tenant, name).to_spec(tenant, name)


def parse_split(body: object) -> tuple[SplitMember, ...]:
    """Return a split from `{"web-v1": 90, "web-v2": 10}`; raises as `parse_tenant`."""
    whole = {"split": body}
    try:
        return split_members(_Split.model_validate(whole).split)
    except ValidationError as error:
        found = explain(error, _Split, whole, None)
        raise refusal(replace(p, path=p.path[len("split.") :]) for p in found) from None


def parse_rollout(tenant: str, listener: str, body: object) -> RolloutSpec | None:
    """Return a rollout from the body of a request, None from null; raises as `parse_tenant`."""
    problems = [problem for name in (tenant, listener) for problem in _name_problems(name)]
    whole = {"rollout": body}
    try:
        found = _Rollout.model_validate(whole).rollout
    except ValidationError as error:
        told = explain(error, _Rollout, whole, None)
        problems += (replace(p, path=p.path[len("rollout.") :]) for p in told)
        raise refusal(problems) from None
    if problems:
        raise refusal(problems)
    return None if found is None else found.to_spec()


def refused(text: str, problems: Iterable[Problem], *, file: str | None = None) -> DocumentError:
    """Return the error for what was found wrong with a document that could be read.

    Args:
        text: the document; lines and columns are those in it.
        problems: carry paths, and no places yet.
        file: only shown.
    """
    tree = parse_tree(text, file=file)
    return refusal((_placed(one, tree) for one in problems), file=file)


def _read(tree: Tree) -> tuple[Document | None, list[Problem]]:
    """Return the document, or what could be saved of it together with the problems."""
    body: Any = tree.value
    if not isinstance(body, dict):
        return None, [_no_document(tree)]
    problems: list[Problem] = []
    faults: list[Path] = []
    document: Document | None
    try:
        document = DocumentDoc.model_validate(body).to_spec()
    except ValidationError as error:
        problems = list(explain(error, DocumentDoc, body, tree))
        faults = paths(error)
        document = salvage(body, faults)
    if document is not None:
        problems += (_placed(one, tree) for one in check_document(document))
    return document, problems


def _no_document(tree: Tree) -> Problem:
    line, column = tree.value_at(())
    hint = "start with the line `version: 1`, then `tenants:`"
    if tree.value is None:
        return Problem("the document is empty", "", None, line, column, hint)
    message = f"the document needs to be a mapping, not {shown(tree.value)}"
    return Problem(message, "", None, line, column, hint)


def _placed(problem: Problem, tree: Tree) -> Problem:
    """Return it with the place of its path."""
    find = tree.key_at if problem.code in AT_KEY else tree.value_at
    line, column = find(_steps(problem.path, tree.value))
    return replace(problem, line=line, column=column)


def _steps(dotted: str, body: object) -> Path:
    """Take a dotted path of names and indexes apart; names hold no dots."""
    path: list[str | int] = []
    for part in filter(None, dotted.split(".")):
        step = int(part) if isinstance(body, list) else part
        path.append(step)
        body = body[int(part)] if isinstance(body, list) else _inner(body, part)
    return tuple(path)


def _inner(body: object, key: str) -> object:
    return body.get(key) if isinstance(body, dict) else None


def _parse(model: type[_Model], body: object, *names: str) -> _Model:
    problems = [problem for name in names for problem in _name_problems(name)]
    try:
        found = model.model_validate(body)
    except ValidationError as error:
        problems += explain(error, model, body, None)
        raise refusal(problems) from None
    if problems:
        raise refusal(problems)
    return found


def _name_problems(name: str) -> Iterator[Problem]:
    whole = {"name": name}
    try:
        _Named.model_validate(whole)
    except ValidationError as error:
        for problem in explain(error, _Named, whole, None):
            yield replace(problem, path="")
