"""YAML text becomes plain values, and every place in it can be found again.

Events of the parser are read in a loop, without recursion: the composer of
libyaml walks deep nesting on the C stack, and a text of 200 kB that comes
from outside would end the process. Scalars that YAML 1.1 and 1.2 read
differently (`on`, `012`, `1:30`) are refused, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import yaml

from tenantproxy.config.yaml_errors import MAX_DEPTH, TOO_DEEP, Refused, from_yaml_error
from tenantproxy.config.yaml_scalars import Trap, resolve
from tenantproxy.errors import DocumentError, Problem

MAX_ALIASES = 100
MAX_NODES = 2_000_000
"""After aliases are spelled out; a document of 10,000 listeners has 0.2 million."""

Path = tuple[str | int, ...]
Position = tuple[int, int]
"""Line and column, both counted from 1."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TEXT_TAGS = {"!", "tag:yaml.org,2002:str"}
_TAGS = {None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}
_DROPPED: Final = object()
_MERGE: Final = object()


class _Places:
    """Where a mapping or list and the things in it start; marks are the parser's own."""

    __slots__ = ("items", "keys", "size", "start")

    def __init__(self, start: Any) -> None:
        self.start = start
        self.keys: dict[str, Any] = {}
        self.items: dict[str | int, Any] = {}
        self.size = 1


class Tree:
    """One YAML document: `value`, what was wrong with it as YAML, and where things are."""

    __slots__ = ("_places", "problems", "value")

    def __init__(self, value: Any, places: Any, problems: list[Problem]) -> None:
        self.value = value
        self.problems = problems
        self._places = places

    def has(self, path: Sequence[str | int]) -> bool:
        """Say whether there is something at `path`."""
        return self._descend(path)[1] == len(path)

    def value_at(self, path: Sequence[str | int]) -> Position:
        """Return where the value at `path` starts, or that of the nearest parent there is."""
        places, _, _ = self._descend(path)
        return _position(places)

    def key_at(self, path: Sequence[str | int]) -> Position:
        """Return where the key at `path` starts; a list item has its value's place."""
        places, _, key_mark = self._descend(path)
        return _position(places if key_mark is None else key_mark)

    def _descend(self, path: Sequence[str | int]) -> tuple[Any, int, Any]:
        """Follow `path` as far as it goes: where, how many steps, and the last key's mark."""
        places, key_mark = self._places, None
        for steps, part in enumerate(path):
            if not isinstance(places, _Places) or part not in places.items:
                return places, steps, key_mark
            key_mark = places.keys.get(part) if isinstance(part, str) else None
            places = places.items[part]
        return places, len(path), key_mark


def parse_tree(text: str, *, file: str | None = None) -> Tree:
    """Read a text that holds one YAML document; an empty one has the value None.

    Raises:
        DocumentError: the text is not YAML, holds several documents, nests
            too deeply or uses too many aliases. Lesser faults (duplicate
            keys, ambiguous scalars) are in `Tree.problems`, to be reported
            together with what else is wrong.
    """
    trees = parse_trees(text, file=file)
    if len(trees) > 1:
        line, column = trees[1].value_at(())
        message = "a second YAML document starts here, and only one is expected"
        hint = "remove the `---` line, or keep the documents in files of their own"
        raise DocumentError((Problem(message, "", file, line, column, hint),))
    return trees[0] if trees else Tree(None, None, [])


def parse_trees(text: str, *, file: str | None = None) -> list[Tree]:
    """Read a text that may hold several YAML documents, separated by `---`.

    Raises:
        DocumentError: as `parse_tree`, except for several documents.
    """
    try:
        events = yaml.parse(text, Loader=_Loader)
        return list(_documents(events, file))
    except Refused as refused:
        raise DocumentError((refused.problem,)) from None
    except (yaml.YAMLError, UnicodeError) as error:
        raise DocumentError((from_yaml_error(error, text, file),)) from None


def _documents(events: Iterator[Any], file: str | None) -> Iterator[Tree]:
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            yield _Builder(file).build(events)


def _position(places: Any) -> Position:
    mark = places.start if isinstance(places, _Places) else places
    return (1, 1) if mark is None else (mark.line + 1, mark.column + 1)


class _Frame:
    """A mapping or list whose end has not come yet."""

    __slots__ = ("anchor", "container", "key", "merges", "places")

    def __init__(self, container: Any, places: _Places, anchor: str | None) -> None:
        self.container = container
        self.places = places
        self.anchor = anchor
        self.key: Any = None
        self.merges: list[tuple[Any, Any]] = []


class _Builder:
    """Puts one document together from events."""

    def __init__(self, file: str | None) -> None:
        self._file = file
        self._problems: list[Problem] = []
        self._stack: list[_Frame] = []
        self._anchors: dict[str, tuple[Any, Any] | None] = {}
        self._aliases = 0
        self._nodes = 0
        self._texts: dict[str, str] = {}
        self._root: tuple[Any, Any] = (None, None)

    def build(self, events: Iterator[Any]) -> Tree:
        """Consume events up to the end of the document."""
        for event in events:
            kind = type(event)
            if kind is yaml.ScalarEvent:
                self._scalar(event)
            elif kind is yaml.MappingStartEvent:
                self._start(event, {})
            elif kind is yaml.SequenceStartEvent:
                self._start(event, [])
            elif kind is yaml.AliasEvent:
                self._alias(event)
            elif kind is yaml.DocumentEndEvent:
                break
            else:
                self._end()
        return Tree(*self._root, self._problems)

    # Events ---------------------------------------------------------------

    def _scalar(self, event: Any) -> None:
        stack = self._stack
        mark = event.start_mark
        if stack:
            frame = stack[-1]
            if type(frame.container) is dict and frame.key is None:
                self._key(frame, event, mark)
                return
        value = self._value(event, mark)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, mark)
        self._count(1, mark)
        self._add(value, mark)

    def _start(self, event: Any, container: Any) -> None:
        mark = event.start_mark
        if self._stack and self._expects_key(self._stack[-1]):
            self._fatal("a list or mapping cannot be a key", mark, "a key is one word of text")
        if len(self._stack) >= MAX_DEPTH:
            words, hint = TOO_DEEP
            self._fatal(words, mark, hint)
        if event.tag not in _TAGS:
            self._unknown_tag(event.tag, mark)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        self._count(1, mark)
        self._stack.append(_Frame(container, _Places(mark), event.anchor))

    def _end(self) -> None:
        frame = self._stack.pop()
        for value, places in frame.merges:
            _merge(frame, value, places)
        if frame.anchor is not None:
            self._anchors[frame.anchor] = (frame.container, frame.places)
        self._add(frame.container, frame.places)

    def _alias(self, event: Any) -> None:
        mark, name = event.start_mark, event.anchor
        self._aliases += 1
        if self._aliases > MAX_ALIASES:
            self._fatal(
                f"more than {MAX_ALIASES} aliases", mark, "write the values out instead of *names"
            )
        if name not in self._anchors:
            self._fatal(f"the alias *{name} has no anchor", mark, f"define it before with &{name}")
        found = self._anchors[name]
        if found is None:
            self._fatal(f"the alias *{name} contains itself", mark, "write the values out")
            return
        value, places = found
        if self._stack and self._expects_key(self._stack[-1]):
            if not isinstance(value, str):
                self._fatal("an alias as a key must stand for text", mark, "write the key out")
            self._take_key(self._stack[-1], value, mark)
            return
        size = places.size if isinstance(places, _Places) else 1
        self._count(size, mark)
        # What is wrong inside an alias is wrong where the anchor is; the copy keeps those places.
        self._add(value, places if isinstance(places, _Places) else mark)

    # Keys and values --------------------------------------------------------

    def _expects_key(self, frame: _Frame) -> bool:
        return type(frame.container) is dict and frame.key is None

    def _key(self, frame: _Frame, event: Any, mark: Any) -> None:
        text = event.value
        text = self._texts.setdefault(text, text)
        if event.anchor is not None:
            self._anchors[event.anchor] = (text, mark)
        if event.implicit[0]:
            if text == "<<":
                frame.key = _MERGE
                return
            value = resolve(text)
            if value is not text:
                self._not_text(text, value, mark)
        elif event.tag is not None and event.tag not in _TEXT_TAGS:
            self._unknown_tag(event.tag, mark)
        self._take_key(frame, text, mark)

    def _take_key(self, frame: _Frame, text: str, mark: Any) -> None:
        first = frame.places.keys.get(text)
        if first is not None:
            self._note(
                f"the key `{text}` stands here a second time; the first is on line "
                f"{first.line + 1}",
                mark,
                "remove one of the two",
                text,
                code="duplicate_key",
            )
            frame.key = _DROPPED
            return
        frame.places.keys[text] = mark
        frame.places.size += 1
        frame.key = text

    def _value(self, event: Any, mark: Any) -> Any:
        text = event.value
        if event.implicit[0]:
            value = resolve(text)
            if isinstance(value, Trap):
                self._note(value.message, mark, value.hint)
                return text
            if value is not text:
                return value
        elif event.tag is not None and event.tag not in _TEXT_TAGS:
            self._unknown_tag(event.tag, mark)
        # One object for each text: names are repeated by the thousand.
        return self._texts.setdefault(text, text)

    def _add(self, value: Any, places: Any) -> None:
        if not self._stack:
            self._root = (value, places)
            return
        frame = self._stack[-1]
        size = places.size if isinstance(places, _Places) else 1
        frame.places.size += size
        if type(frame.container) is list:
            frame.places.items[len(frame.container)] = places
            frame.container.append(value)
            return
        key, frame.key = frame.key, None
        if key is _DROPPED:
            return
        if key is _MERGE:
            self._plan_merge(frame, value, places)
            return
        frame.container[key] = value
        frame.places.items[key] = places

    def _plan_merge(self, frame: _Frame, value: Any, places: Any) -> None:
        """`<<: *one` or `<<: [*one, *two]`: keys written out win, then the first named."""
        parts = value if isinstance(value, list) else [value]
        for index, part in enumerate(parts):
            where = places.items[index] if isinstance(value, list) else places
            if not isinstance(part, dict):
                self._fatal("`<<` takes mappings only", _mark(where), "write `<<: *name`")
            frame.merges.append((part, where))

    # Problems ---------------------------------------------------------------

    def _count(self, nodes: int, mark: Any) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            self._fatal(
                f"more than {MAX_NODES:,} values", mark, "split the document, or use fewer aliases"
            )

    def _not_text(self, text: str, value: Any, mark: Any) -> None:
        what = value.what if isinstance(value, Trap) else _name_of(value)
        shown = text or "an empty key"
        self._note(
            f"the key {shown} is {what} to YAML, and keys must be text",
            mark,
            f'put it in quotes: "{text}"',
            text,
        )

    def _unknown_tag(self, tag: str, mark: Any) -> None:
        short = tag.replace("tag:yaml.org,2002:", "!!")
        self._note(f"the YAML tag {short} is not supported", mark, "remove the tag")

    def _path(self, *last: str) -> str:
        parts: list[str] = []
        for frame in self._stack:
            if type(frame.container) is list:
                parts.append(str(len(frame.container)))
            elif isinstance(frame.key, str):
                parts.append(frame.key)
        return ".".join([*parts, *last])

    def _problem(
        self, message: str, mark: Any, hint: str, *last: str, code: str = "document_invalid"
    ) -> Problem:
        line, column = mark.line + 1, mark.column + 1
        return Problem(message, self._path(*last), self._file, line, column, hint, code)

    def _note(
        self, message: str, mark: Any, hint: str, *last: str, code: str = "document_invalid"
    ) -> None:
        self._problems.append(self._problem(message, mark, hint, *last, code=code))

    def _fatal(self, message: str, mark: Any, hint: str) -> None:
        raise Refused(self._problem(message, mark, hint))


def _merge(frame: _Frame, value: dict[str, Any], places: _Places) -> None:
    for key, item in value.items():
        if key not in frame.container:
            frame.container[key] = item
            frame.places.keys[key] = places.keys[key]
            frame.places.items[key] = places.items[key]


def _mark(places: Any) -> Any:
    return places.start if isinstance(places, _Places) else places


def _name_of(value: object) -> str:
    if value is None:
        return "nothing (null)"
    return "true or false" if isinstance(value, bool) else "a number"
