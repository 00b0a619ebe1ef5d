"""Rollouts: what is refused where, and what the document says to do instead."""

# ruff: noqa: E501 - a table reads best with one case a line

import json

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantproxy.config.document import parse_rollout
from tenantproxy.config.schema import part_schemas
from tenantproxy.errors import DocumentError
from tenantproxy.model.rollout_spec import DEFAULT_CHECKS, Gate, Gates, RolloutSpec, Step

PLAN = {"from": "web-v1", "to": "web-v2", "steps": [{"weight": 5}]}
SPEC = RolloutSpec("web-v1", "web-v2", (Step("weight", 5),))
CHECK = jsonschema.Draft202012Validator(part_schemas()["rollout"])
FIRST = {"experiment": True}


def parse(body):
    return parse_rollout("acme", "web", body)


def refusal(body):
    with pytest.raises(DocumentError) as caught:
        parse(body)
    (problem,) = caught.value.problems
    return problem


def plan(**keys):
    return {**PLAN, **keys}


def steps(*items):
    return plan(steps=list(items))


# body, path, part of the message, part of the hint (None: there is none), whether the schema says so
REFUSED = [
    ([], "", "needs a mapping, not a list", "keys such as from, to, steps", True),
    ({"to": "b", "steps": [{"weight": 5}]}, "", "`from` is missing", "add for example `from: web-v1`", True),
    ({"from": "a", "steps": [{"weight": 5}]}, "", "`to` is missing", "`to: web-v2`", True),
    ({"from": "a", "to": "b"}, "", "`steps` is missing", "`steps: [{weight: 5, hold: 2m}", True),
    (plan(stable="x"), "stable", "`stable` is not a key", "known keys: analysis, canary_connections", True),
    (plan(canary="x"), "canary", "`canary` is not a key", "did you mean", True),
    (plan(form="x"), "form", "`form` is not a key", "did you mean from?", True),
    (plan(to="web-v1"), "to", "from and to are the same upstream", "name the upstream that is new", False),
    (plan(to="Web_2"), "to", '"Web_2" is not a name', "write for example web-2", True),
    (plan(**{"from": None}), "from", "a name is text, not an empty value", "quotes", True),
    (plan(start="now"), "start", "needs auto or manual, not", None, True),
    (plan(preview=0), "preview", "from 1 to 65535, not 0", None, True),
    (plan(preview=True), "preview", "needs auto, a port or null, not true", None, True),
    (plan(preview="atuo"), "preview", 'not the text "atuo"', "did you mean auto?", True),
    (steps(), "steps", "needs 1 to 50 steps, not 0", "write [{weight: 5, hold: 2m}]", True),
    (steps(*[{"weight": 1}] * 51), "steps", "needs 1 to 50 steps, not 51", "write", True),
    (plan(steps={"weight": 5}), "steps", "needs a list, not a mapping", "write", True),
    (steps({}), "steps.0", "needs weight, pause or experiment", "write for example {weight: 5", True),
    (steps(5), "steps.0", "needs a mapping, not the number 5", "keys such as weight, pause", True),
    (steps({"hold": "1m"}), "steps.0", "needs weight, pause or experiment", "write", True),
    (steps({"weight": 0}), "steps.0.weight", "from 1 to 100, not 0", None, True),
    (steps({"weight": 101}), "steps.0.weight", "from 1 to 100, not 101", None, True),
    (steps({"weight": 2.5}), "steps.0.weight", "not the number 2.5", None, True),
    (steps({"weight": "5%"}), "steps.0.weight", 'not the text "5%"', None, True),
    (steps({"weight": 5, "pause": True}), "steps.0.pause", "weight or pause, not both", "a step for each", True),
    (steps({"weight": 5}, {"weight": 4}), "steps.1.weight", "weight 4 is below the 5 of a step before", "write 5 or more", False),
    (steps({"weight": 5}, {"pause": True}, {"weight": 4}), "steps.2.weight", "weight 4 is below the 5", "write 5", False),
    (steps({"weight": 5}, FIRST), "steps.1.experiment", "takes the canary's weight away again", "before the first", False),
    (steps({"pause": False}), "steps.0.pause", "needs true, not false", "take the step out", True),
    (steps({"pause": "10m"}), "steps.0.pause", 'needs true, not the text "10m"', "write true", True),
    (steps({"pause": 1}), "steps.0.pause", "needs true, not the number 1", "write true", True),
    (steps({"pause": True, "hold": "5m"}), "steps.0.hold", "a pause lasts until `rollout resume`", "take `hold` out", True),
    (steps({"experiment": False}), "steps.0.experiment", "needs true, not false", "write true", True),
    (steps({"weight": 5, "hold": 120}), "steps.0.hold", "a duration needs a unit", "write 120s", True),
    (steps({"weight": 5, "hold": "0s"}), "steps.0.hold", "must be longer than 0s", "5s", False),
    (steps({"weight": 5, "hodl": "2m"}), "steps.0.hodl", "`hodl` is not a key", "did you mean hold?", True),
    ({**steps(FIRST), "preview": None}, "steps.0.experiment", "an experiment needs a preview port", "write preview: auto", True),
    (plan(analysis=[]), "analysis", "needs a mapping, not a list", "every", True),
    (plan(gates={"before_all": {}}), "gates.before_all", "`before_all` is not a key", "did you mean before_", True),
    (plan(gates={"before_step": {}}), "gates.before_step", "`url` is missing", "add for example `url: http://", True),
    (plan(gates={"before_step": "http://a"}), "gates.before_step", "needs a mapping, not the text", "keys such as url", True),
    (plan(gates={"after_end": {"url": "qa/x"}}), "gates.after_end.url", '"qa/x" has no scheme', "write http://qa/x", True),
    (plan(gates={"after_end": {"url": "http://a", "timeout": "11m"}}), "gates.after_end.timeout", "11m is longer than 10m", "10m or less", False),
    (plan(no_traffic="fial"), "no_traffic", "needs pass, hold or fail", "did you mean fail?", True),
    (plan(on_failure="abort"), "on_failure", "needs rollback or pause", None, True),
    (plan(canary_connections="drian"), "canary_connections", "needs keep, drain or kill", "did you mean drain?", True),
    (plan(deadline="0s"), "deadline", "must be longer than 0s", "5s", False),
    (plan(deadline=600), "deadline", "a duration needs a unit", "write 600s", True),
    (plan(rollback_window=None), "rollback_window", "needs a duration, not an empty value", "5s", True),
    (plan(rebalance="5%"), "rebalance", '"5%" is not a share of a time', "write for example 5%/m", True),
    (plan(rebalance="0%/m"), "rebalance", "a pace of nothing moves nothing", "leave it out", True),
    (plan(dry_run="yes"), "dry_run", "needs true or false", "unquoted", True),
]  # fmt: skip


@pytest.mark.parametrize(("body", "path", "message", "hint", "schema"), REFUSED)
def test_what_cannot_be_is_refused_with_a_way_out(body, path, message, hint, schema):
    problem = refusal(body)
    assert problem.path == path
    assert message in problem.message
    assert problem.hint is None if hint is None else hint in (problem.hint or "")
    assert CHECK.is_valid(body) is not schema


@pytest.mark.parametrize(
    ("keys", "spec"),
    [
        ({}, {}),
        ({"analysis": None, "gates": None, "rebalance": None}, {}),
        ({"analysis": {}, "gates": {}}, {}),
        ({"gates": {"before_step": None}}, {}),
        ({"preview": None}, {"preview": None}),
        ({"preview": "auto"}, {"preview": "auto"}),
        ({"preview": 20_001}, {"preview": 20_001}),
        ({"rollback_window": "0s"}, {"rollback_window_s": 0.0}),
        ({"rebalance": "100%/s"}, {"rebalance_per_s": 1.0}),
        ({"rebalance": "0.6%/m"}, {"rebalance_per_s": 0.0001}),
        ({"gates": {"after_end": {"url": "http://a"}}}, {"gates": Gates(after_end=Gate("http://a"))}),
        ({"steps": [{"pause": True, "hold": None, "weight": None}]}, {"steps": (Step("pause"),)}),
        ({"steps": [{"weight": 5}, {"pause": True}, {"weight": 5}, {"weight": 100, "hold": "1d"}]},
         {"steps": (Step("weight", 5), Step("pause"), Step("weight", 5), Step("weight", 100, 86_400.0))}),
        ({"steps": [{"pause": True}, {"experiment": True, "hold": "5m"}, {"experiment": True}, {"weight": 1}]},
         {"steps": (Step("pause"), Step("experiment", hold_s=300.0), Step("experiment"), Step("weight", 1))}),
    ],
)  # fmt: skip
def test_what_is_given_becomes_a_value(keys, spec):
    body = plan(**keys)
    found = parse(body)
    assert found == RolloutSpec(**{**_fields(SPEC), **spec})
    assert CHECK.is_valid(body)


def _fields(spec):
    return {name: getattr(spec, name) for name in type(spec).__slots__}


def test_what_is_left_out_has_the_default_of_the_values():
    assert parse(PLAN) == SPEC
    assert parse(PLAN).analysis.signals is DEFAULT_CHECKS


def test_null_is_no_rollout():
    assert parse(None) is None


@pytest.mark.parametrize("body", [None, PLAN])
def test_names_that_stand_outside_are_checked_too(body):
    with pytest.raises(DocumentError) as caught:
        parse_rollout("Acme", "Web", body)
    assert [p.path for p in caught.value.problems] == ["", ""]


def test_several_problems_come_at_once_and_in_the_order_of_the_text():
    body = {**PLAN, "from": 5, "steps": [{"weight": 0}, {"pause": False}], "deadline": 5}
    with pytest.raises(DocumentError) as caught:
        parse(body)
    paths = [problem.path for problem in caught.value.problems]
    assert paths == ["from", "steps.0.weight", "steps.1.pause", "deadline"]


step = st.fixed_dictionaries(
    {},
    optional={
        "weight": st.sampled_from([None, 0, 1, 5, 100]),
        "pause": st.sampled_from([None, True, False]),
        "experiment": st.sampled_from([None, True]),
        "hold": st.sampled_from([None, "1m", 5]),
    },
)


@given(step, st.sampled_from(["auto", None, 5, "x"]))
def test_of_one_step_the_schema_takes_what_the_program_takes(one, preview):
    body = json.loads(json.dumps({**PLAN, "steps": [one], "preview": preview}))
    try:
        parse(body)
    except DocumentError:
        assert not CHECK.is_valid(body)
    else:
        assert CHECK.is_valid(body)
