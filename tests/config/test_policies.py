"""Policy documents from text, files and folders."""

# ruff: noqa: E501 - a table reads best with one case a line

from pathlib import Path

import pytest

from tenantproxy.config.policies import load_policies, parse_policies, policy_files
from tenantproxy.errors import DocumentError, NotSupportedYet
from tenantproxy.model.spec import PolicyMatch, PolicySpec

IDLE = "name: {}\nkind: idle\nafter: 15m\nthen: sleep\n"
SHIPPED = Path(__file__).parents[2] / "policies" / "idle.yaml"


def refused(text):
    with pytest.raises(DocumentError) as caught:
        parse_policies(text, file="p.yaml")
    return [(p.line, p.column, str(p)) for p in caught.value.problems]


def test_the_policy_that_ships_puts_idle_ports_to_sleep():
    assert load_policies(["policies/"], base=SHIPPED.parents[1]) == (
        PolicySpec("idle-sleep", "idle", 900.0, "sleep", PolicyMatch(), False, str(SHIPPED)),
    )


def test_a_text_holds_several_policies_in_their_order():
    text = (
        "---\nname: b\nkind: idle\nmatch: {tenants: [a-*], listeners: [web], labels: {tier: free}}\n"
        "after: 1h\nthen: never\ndry_run: true\n---\n# nothing\n---\n" + IDLE.format("a")
    )
    assert parse_policies(text, file="p.yaml") == (
        PolicySpec(
            "b",
            "idle",
            3600.0,
            "never",
            PolicyMatch(("a-*",), ("web",), {"tier": "free"}),
            True,
            "p.yaml",
        ),
        PolicySpec("a", "idle", 900.0, "sleep", file="p.yaml"),
    )


@pytest.mark.parametrize(
    ("text", "line", "column", "said"),
    [
        ("kind: idle\nafter: 1s\nthen: sleep\n", 1, 1, "`name` is missing"),
        ("name: a\nkind: idel\nafter: 1s\nthen: sleep\n", 2, 7, "did you mean idle?"),
        ("name: a\nkind: idle\nafter: 5\nthen: sleep\n", 3, 8, "write 5s"),
        ("name: a\nkind: idle\nafter: 5s\nthen: on\n", 4, 7, "`on` is true to some YAML parsers"),
        ("name: a\nkind: idle\nafter: 5s\nthen: sleep\nwhen: x\n", 5, 1, "`when` is not a key"),
        ("name: a\nkind: idle\nmatch: {tenants: acme}\nafter: 5s\nthen: sleep\n", 3, 18, "needs a list"),
        ("name: a\nkind: idle\nmatch: {tenant: [a]}\nafter: 5s\nthen: sleep\n", 3, 9, "mean tenants?"),
        ("name: a\nkind: idle\nafter: 5s\nthen: sleep\ndry_run: 1\n", 5, 10, "needs true or false"),
        (IDLE.format("a") + "---\n" + IDLE.format("a"), 6, 7, "defined twice, first at p.yaml:1"),
        ("- a\n", 1, 1, "a policy needs to be a mapping, not a list"),
        ("a: [\n", 2, 1, "YAML"),
    ],
)  # fmt: skip
def test_a_broken_policy_is_refused_with_its_place(text, line, column, said):
    (problem,) = refused(text)
    assert problem[:2] == (line, column)
    assert said in problem[2]
    assert problem[2].startswith(f"p.yaml:{line}:{column}: ")


def test_a_kind_of_a_later_version_is_said_once_and_nothing_else_of_it():
    text = "name: calm\nkind: rule\nwhen: listener.connections > 1000\nfor: 30s\nthen: {throttle: {}}\n"
    with pytest.raises(NotSupportedYet) as caught:
        parse_policies(text)
    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == (2, 7)
    assert '"rule" is not supported yet' in problem.message


def test_files_of_a_folder_come_in_the_order_of_their_names(tmp_path):
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "20-b.yaml").write_text(IDLE.format("b"))
    (folder / "10-a.yml").write_text(IDLE.format("a"))
    (folder / "notes.txt").write_text("not: [yaml")
    (folder / ".hidden.yaml").write_text("not: [yaml")
    (folder / "dir.yaml").mkdir()
    (tmp_path / "one.yaml").write_text(IDLE.format("one"))
    found = load_policies(["one.yaml", "policies/"], base=tmp_path)
    assert [p.name for p in found] == ["one", "a", "b"]


def test_the_default_folder_may_be_missing_and_a_named_one_may_not(tmp_path):
    assert load_policies(["policies/"], base=tmp_path) == ()
    assert load_policies([], base=tmp_path) == ()
    with pytest.raises(DocumentError) as caught:
        load_policies(["policies/", "more/"], base=tmp_path)
    (problem,) = caught.value.problems
    assert "no such file or folder" in problem.message
    assert problem.file == str(tmp_path / "more")
    assert problem.hint == "make it, or remove more/ from proxy.policies"


def test_problems_of_all_files_come_at_once(tmp_path):
    (tmp_path / "a.yaml").write_text(IDLE.format("same"))
    (tmp_path / "b.yaml").write_text(IDLE.format("same") + "x: 1\n")
    (tmp_path / "c.yaml").write_text(IDLE.format("same"))
    (tmp_path / "d.yaml").write_bytes(b"\xff")
    with pytest.raises(DocumentError) as caught:
        load_policies(["a.yaml", "b.yaml", "c.yaml", "d.yaml", "e.yaml"], base=tmp_path)
    found = [(Path(p.file or "").name, p.line) for p in caught.value.problems]
    assert sorted(found, key=str) == [
        ("b.yaml", 5),
        ("c.yaml", 1),
        ("d.yaml", 1),
        ("e.yaml", None),
    ]


def test_relative_paths_start_at_the_folder_of_the_document(tmp_path):
    assert policy_files(["policies/", "/abs/p.yaml"], base=tmp_path) == [
        tmp_path / "policies",
        Path("/abs/p.yaml"),
    ]
