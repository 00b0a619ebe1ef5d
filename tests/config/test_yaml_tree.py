"""YAML text: values, places, and texts that want to hurt."""

import re
import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tenantproxy.config import yaml_tree
from tenantproxy.config.yaml_tree import parse_tree, parse_trees
from tenantproxy.errors import DocumentError


def refused(text):
    with pytest.raises(DocumentError) as caught:
        parse_tree(text, file="t.yaml")
    (problem,) = caught.value.problems
    return problem


def noted(text):
    return [(p.line, p.column, p.message, p.hint, p.path) for p in parse_tree(text).problems]


def test_values_are_plain_python():
    tree = parse_tree('a: {b: [1, "2", 3.5, true, null], c: }\n"5": !!str 6\n')
    assert tree.value == {"a": {"b": [1, "2", 3.5, True, None], "c": None}, "5": "6"}
    assert tree.problems == []


def test_keys_and_values_have_their_places_counted_from_one():
    tree = parse_tree("a:\n  b: 1\n  cc: [x,\n    y]\n")
    assert tree.key_at(("a",)) == (1, 1)
    assert tree.value_at(("a",)) == (2, 3)
    assert tree.key_at(("a", "cc")) == (3, 3)
    assert tree.value_at(("a", "cc")) == (3, 7)
    assert tree.value_at(("a", "cc", 1)) == (4, 5)
    assert tree.key_at(("a", "cc", 1)) == (4, 5)


def test_a_path_that_leads_nowhere_has_the_place_of_its_nearest_parent():
    tree = parse_tree("a:\n  b: 1\n")
    assert tree.value_at(("a", "b", "c", 3)) == (2, 6)
    assert tree.key_at(("a", "b", "c")) == (2, 3)
    assert tree.value_at(("nope",)) == (1, 1)
    assert tree.has(("a", "b"))
    assert not tree.has(("a", "b", 0))


def test_an_empty_text_has_no_value():
    assert parse_tree("").value is None
    assert parse_tree("# only a comment\n").value is None
    assert parse_tree("---\n").value is None
    assert parse_tree("").value_at(()) == (1, 1)


def test_a_key_written_twice_is_noted_and_the_first_counts():
    text = "a:\n  web: 1\n  db: 2\n  web: {x: 3}\n"
    assert parse_tree(text).value == {"a": {"web": 1, "db": 2}}
    ((line, column, message, hint, path),) = noted(text)
    assert (line, column, path) == (4, 3, "a.web")
    assert "second time; the first is on line 2" in message
    assert hint == "remove one of the two"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("no: 1", "a word for false"),
        ("1: 1", "a number"),
        ("null: 1", "nothing"),
        ("true: 1", "true or false"),
        ("1:30: 1", "base 60"),
    ],
)
def test_a_key_that_is_not_text_is_noted(text, what):
    ((line, column, message, hint, _),) = noted(text)
    assert (line, column) == (1, 1)
    assert what in message
    assert "in quotes" in hint
    assert noted(f'"{text[:-3]}": 1') == []


def test_a_trap_is_noted_where_it_stands():
    ((line, column, message, _, path),) = noted("a:\n  - b: on\n")
    assert (line, column, path) == (2, 8, "a.0.b")
    assert "`on` is true to some YAML parsers" in message
    assert noted('a: "on"\nb: "012"\n') == []


def test_an_alias_repeats_a_value_and_its_places():
    tree = parse_tree("a: &x {b: 1}\nc: *x\n")
    assert tree.value["c"] == {"b": 1}
    assert tree.value_at(("c", "b")) == (1, 11)
    assert tree.key_at(("c",)) == (2, 1)


def test_a_merge_adds_keys_and_what_is_written_out_wins():
    tree = parse_tree(
        "base: &b {x: 1, y: 2}\nother: &o {y: 3, z: 4}\n"
        "one: {<<: *b, x: 9}\ntwo: {x: 8, <<: [*o, *b]}\n"
    )
    assert tree.value["one"] == {"x": 9, "y": 2}
    assert tree.value["two"] == {"x": 8, "y": 3, "z": 4}
    assert tree.value_at(("one", "y")) == (1, 20)
    assert tree.problems == []


def test_a_merge_of_something_else_is_refused():
    assert "takes mappings only" in refused("a: {<<: 5}").message


def test_an_alias_may_be_a_key_if_it_stands_for_text():
    assert parse_tree("a: &x web\n*x : 1\n").value == {"a": "web", "web": 1}
    assert "must stand for text" in refused("a: &x [1]\n*x : 1\n").message


def test_a_hundred_aliases_pass_and_one_more_does_not():
    head = "x: &x 1\ny:\n"
    assert len(parse_tree(head + "  - *x\n" * 100).value["y"]) == 100
    problem = refused(head + "  - *x\n" * 101)
    assert (problem.line, problem.column) == (103, 5)
    assert "more than 100 aliases" in problem.message


def test_a_small_text_that_spells_out_to_billions_is_refused_at_once():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 11)]
    began = time.monotonic()
    assert "more than 2,000,000 values" in refused("\n".join(lines)).message
    assert time.monotonic() - began < 20  # not a measurement: without the bound it takes hours


def test_an_alias_inside_of_itself_is_refused():
    problem = refused("a: &x\n  - *x\n")
    assert "contains itself" in problem.message
    assert (problem.line, problem.column) == (2, 5)


def test_an_alias_without_anchor_is_refused():
    assert "*nope has no anchor" in refused("a: *nope\n").message


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_a_text_nested_very_deeply_is_refused_and_does_not_crash(opening):
    """The C composer of libyaml overflows the stack here and takes the process with it."""
    problem = refused(opening * 200_000)
    assert "nested more than 64 deep" in problem.message or "cannot be a key" in problem.message


@pytest.mark.parametrize(
    ("text", "line", "column", "said"),
    [
        ("a:\n\tb: 1\n", 2, 1, "a tab is used for indentation"),
        ("a: b: c\n", 1, 5, "a `:` is not possible here"),
        ("a: [1, 2\nb: 3\n", 2, 2, "list in [ ] is not closed before this; it starts on line 1"),
        ("a: 'x\n", 2, 1, "ends inside a quoted value"),
        ("a: @x\n", 1, 4, "cannot start with `@`"),
        ("a: %x\n", 1, 4, "cannot start with `%`"),
        ("a: \x01\n", 1, 4, "U+0001 is not allowed"),
        ("a: 1\nb: \x00\n", 2, 4, "U+0000 is not allowed"),
        ("a: \ud800\n", 1, 4, "U+D800 is not allowed"),
        ("- a\nb: 2\n", 2, 1, "a list goes on"),
        ("a: |\n\tx\n", 2, 1, "a tab is used"),
        ('a: "\\q"\n', 1, 5, "backslash"),
        ("? [a]\n: 1\n", 1, 3, "cannot be a key"),
        ("a: 1\n---\nb: 2\n", 3, 1, "a second YAML document"),
        ("a: {b: 1\n", 2, 1, "{ } is not closed"),
        ("%YAML 3.0\n---\na: 1\n", 1, 1, "version of YAML"),
        ("a:\n  b\n  c: 1\n", 3, 4, "a `:` is not possible here"),
    ],
)
def test_broken_yaml_is_explained_with_its_place(text, line, column, said):
    problem = refused(text)
    assert said in problem.message
    assert (problem.line, problem.column, problem.file) == (line, column, "t.yaml")
    assert problem.hint


@pytest.mark.parametrize("text", ["a: !foo 1", "a: !!python/name:os.system x", "a: !!set {x}"])
def test_a_tag_is_not_supported(text):
    ((_, column, message, hint, _),) = noted(text)
    assert column == 4
    assert "is not supported" in message
    assert hint == "remove the tag"


def test_several_documents_are_read_when_they_are_expected():
    trees = parse_trees("a: 1\n---\n---\nb: &x 2\n...\n---\nc: 3\n")
    assert [tree.value for tree in trees] == [{"a": 1}, None, {"b": 2}, {"c": 3}]
    assert trees[3].key_at(("c",)) == (7, 1)


def test_more_values_than_a_document_may_have_are_refused(monkeypatch):
    monkeypatch.setattr(yaml_tree, "MAX_NODES", 5)
    assert parse_tree("[1, 2, 3, 4]").value == [1, 2, 3, 4]
    assert "more than 5 values" in refused("[1, 2, 3, 4, 5]").message


def test_the_reader_in_python_gives_the_same(monkeypatch):
    text = "a: {b: [1, x], c: &q 2}\nd: *q\n"
    expected = parse_tree(text).value
    monkeypatch.setattr(yaml_tree, "_Loader", yaml.SafeLoader)
    assert parse_tree(text).value == expected
    assert parse_tree(text).value_at(("a", "b", 1)) == (1, 12)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.text("abc: -#'\"0on\n", max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("abyno01", max_size=4), inner, max_size=4)
    ),
    max_leaves=20,
)


def numbers_of_1_2(value):
    """Say whether some text in it is a number to YAML 1.2 alone: the library leaves it bare."""
    if isinstance(value, str):
        return re.fullmatch("[-+]?0o[0-7]+", value) is not None
    if isinstance(value, dict):
        return any(map(numbers_of_1_2, [*value, *value.values()]))
    return isinstance(value, list) and any(map(numbers_of_1_2, value))


@given(json_values.filter(lambda value: not numbers_of_1_2(value)))
def test_what_the_library_writes_is_read_back(value):
    tree = parse_tree(yaml.safe_dump(value))
    assert tree.value == value
    assert tree.problems == []
