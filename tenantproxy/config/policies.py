"""Policy documents: several in a file, several files in a folder, names unique over all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import Field, ValidationError

from tenantproxy.config.explain import error_of, explain, refusal
from tenantproxy.config.fields import ChoiceRule, Duration, Name, Switch, TextRule, shown
from tenantproxy.config.models import LabelsDoc
from tenantproxy.config.strict import Strict
from tenantproxy.config.text import read_text
from tenantproxy.config.yaml_tree import Tree, parse_trees
from tenantproxy.errors import DocumentError, Problem
from tenantproxy.model.spec import PolicyMatch, PolicySpec, ProxySpec

KINDS = ("idle",)
LATER_KINDS = ("rule", "schedule", "quota", "overload")
SUFFIXES = frozenset({".yaml", ".yml"})

_Glob = Annotated[str, TextRule(128, "a name or pattern", "web-*")]


class MatchDoc(Strict):
    """Which listeners a policy is about; all three must fit."""

    tenants: list[_Glob] = Field(default=["*"])
    """Names of tenants; `*` and `?` stand for any text and any letter."""
    listeners: list[_Glob] = Field(default=["*"])
    """Names of listeners, in the same way."""
    labels: LabelsDoc | None = None
    """Labels that the tenant must have, with these values."""


class PolicyDoc(Strict):
    """A policy of kind idle."""

    name: Name = Field(examples=["idle-sleep"])
    """Unique over all policies; it stands in events and metrics."""
    kind: Annotated[str, ChoiceRule(KINDS, LATER_KINDS)] = Field(examples=["idle"])
    """What the policy looks at."""
    match: MatchDoc = MatchDoc()
    """Which listeners it is about; left out: all."""
    after: Duration = Field(examples=["15m"])
    """Time without a byte and without an open connection."""
    then: Annotated[str, ChoiceRule(("sleep", "close", "never"))] = Field(examples=["sleep"])
    """`never` protects the ports it matches from the policies after it."""
    dry_run: Switch = False
    """Only say what it would do."""

    def to_spec(self, file: str | None) -> PolicySpec:
        match = self.match
        return PolicySpec(
            name=self.name,
            kind="idle",
            after_s=self.after,
            then=cast(Any, self.then),
            match=PolicyMatch(tuple(match.tenants), tuple(match.listeners), match.labels or {}),
            dry_run=self.dry_run,
            file=file,
        )


@dataclass(frozen=True, slots=True)
class _Found:
    """A policy and where its name stands."""

    policy: PolicySpec
    line: int
    column: int


def parse_policies(text: str, *, file: str | None = None) -> tuple[PolicySpec, ...]:
    """Return the policies of a text in its order; documents without content are skipped.

    Raises:
        DocumentError: carries every problem with line and column.
    """
    problems: list[Problem] = []
    found = list(_parse(text, file, problems))
    problems += _twice(found)
    if problems:
        raise refusal(problems, file=file)
    return tuple(one.policy for one in found)


def load_policies(paths: Sequence[str], *, base: Path) -> tuple[PolicySpec, ...]:
    """Return the policies of files and folders, by the name of the file within a folder.

    Relative paths start at `base`, the folder of the document. The default
    folder may be missing; a path that someone wrote down may not.

    Raises:
        DocumentError: carries the problems of all files.
    """
    problems: list[Problem] = []
    found: list[_Found] = []
    for path in paths:
        try:
            for file in _files(path, base):
                found += _parse(read_text(file), str(file), problems)
        except DocumentError as error:
            problems += error.problems
    problems += _twice(found)
    if problems:
        raise _by_file(problems)
    return tuple(one.policy for one in found)


def policy_files(paths: Sequence[str], *, base: Path) -> list[Path]:
    """Return the files and folders to watch for changes, whether they exist or not."""
    return [base / path for path in paths]


def _files(path: str, base: Path) -> list[Path]:
    place = base / path
    if place.is_dir():
        try:
            return sorted(one for one in place.iterdir() if is_policy_file(one))
        except OSError as error:
            hint = "let the user of the daemon read the folder"
            raise _missing(f"cannot be read: {error.strerror}", place, hint) from None
    if place.exists():
        return [place]
    if path in ProxySpec().policies:
        return []
    hint = f"make it, or remove {path} from proxy.policies"
    raise _missing("there is no such file or folder", place, hint)


def is_policy_file(path: Path) -> bool:
    """Say whether a file of a folder holds policies; hidden ones are editors' and mounts' own."""
    return path.suffix in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _missing(message: str, place: Path, hint: str) -> DocumentError:
    return DocumentError((Problem(message, "", str(place), hint=hint, code="unreadable"),))


def _parse(text: str, file: str | None, problems: list[Problem]) -> Iterator[_Found]:
    try:
        trees = parse_trees(text, file=file)
    except DocumentError as error:
        problems += error.problems
        return
    for tree in trees:
        problems += tree.problems
        if tree.value is None:
            continue
        try:
            policy = PolicyDoc.model_validate(tree.value).to_spec(file)
        except ValidationError as error:
            problems += [replace(p, file=file) for p in _explained(error, tree)]
            continue
        line, column = tree.value_at(("name",))
        yield _Found(policy, line, column)


def _explained(error: ValidationError, tree: Tree) -> Iterator[Problem]:
    """Yield the problems; of a kind that is not supported yet, only that it is not."""
    body = tree.value
    found = list(explain(error, PolicyDoc, body, tree))
    kind = body.get("kind") if isinstance(body, dict) else None
    if isinstance(kind, str) and kind in LATER_KINDS:
        yield from (p for p in found if p.path == "kind")
    elif not isinstance(body, dict):
        line, column = tree.value_at(())
        message = f"a policy needs to be a mapping, not {shown(body)}"
        yield Problem(message, "", None, line, column, "start with `name:` and `kind: idle`")
    else:
        yield from found


def _twice(found: Sequence[_Found]) -> Iterator[Problem]:
    first: dict[str, _Found] = {}
    for one in found:
        name = one.policy.name
        other = first.setdefault(name, one)
        if other is not one:
            where = f"{other.policy.file}:{other.line}" if other.policy.file else other.line
            message = f"the policy {name} is defined twice, first at {where}"
            hint = "give one of the two another name"
            yield Problem(message, "name", one.policy.file, one.line, one.column, hint)


def _by_file(problems: Sequence[Problem]) -> DocumentError:
    files = list(dict.fromkeys(p.file for p in problems))
    return error_of(
        problem
        for file in files
        for problem in refusal(p for p in problems if p.file == file).problems
    )
