"""Checks of a rollout: what each may say, how they are named, and what is refused."""

# ruff: noqa: E501 - a table reads best with one case a line

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantproxy.config.document import parse_rollout
from tenantproxy.config.schema import part_schemas
from tenantproxy.errors import DocumentError, NotSupportedYet
from tenantproxy.model.rollout_spec import DEFAULT_CHECKS, Analysis, OutsideCheck, SignalCheck
from tenantproxy.model.signal_names import SIGNAL_NAMES, parse_signal

CHECK = jsonschema.Draft202012Validator(part_schemas()["rollout"])
URL = "http://qa/x"
WEBHOOK = {"webhook": {"url": URL}}


def plan(analysis):
    return {"from": "a", "to": "b", "steps": [{"weight": 5}], "analysis": analysis}


def parse(analysis) -> Analysis:
    found = parse_rollout("acme", "web", plan(analysis))
    assert found is not None
    return found.analysis


def check(body):
    """Return the one check that a mapping is."""
    (found,) = parse({"checks": [body]}).checks
    return found


def prometheus(**keys):
    return {"prometheus": {"url": "http://p:9090", "query": "up", "max": 1, **keys}}


# body, path below the check, part of the message, part of the hint, whether the schema says so
REFUSED = [
    (5, "", "needs a mapping, not the number 5", "keys such as signal", True),
    ({}, "", "needs signal, prometheus, webhook or command", "{signal: resets, over_stable: 1%}", True),
    ({"max": "1%"}, "", "needs signal, prometheus", "write", True),
    ({"signal": "resets", "max": "1%", **WEBHOOK}, "webhook", "signal or webhook, not both", "a check for each", True),
    ({"signal": "resetz", "max": "1%"}, "signal", '"resetz" is not a signal', "did you mean resets?", True),
    ({"signal": "qwx", "max": "1%"}, "signal", '"qwx" is not a signal', "known signals: connect_failures, resets", True),
    ({"signal": "first_byte_p42", "max": "1s"}, "signal", "is not a signal", "did you mean first_byte_p", True),
    ({"signal": "first_byte", "max": "1s"}, "signal", "is not a signal", "did you mean first_byte_", True),
    ({"signal": 5}, "signal", "a signal is text, not the number 5", "write for example resets", True),
    ({"signal": "resets"}, "", "resets needs max or over_stable", "`over_stable: 2%`", True),
    ({"signal": "duration_shape"}, "", "duration_shape needs over_stable", "`over_stable: 30%`", True),
    ({"signal": "duration_shape", "max": "1%"}, "max", "a shape is held against that of stable", "over_stable: 30%", True),
    ({"signal": "duration_shape", "over_stable": "101%"}, "over_stable", '"101%" is above 100%', "10%", True),
    ({"signal": "resets", "max": 0.01}, "max", "a share needs a percent sign", "write 1%", True),
    ({"signal": "resets", "max": "5s"}, "max", '"5s" is not a share', "write for example 10%", True),
    ({"signal": "resets", "over_stable": "101%"}, "over_stable", '"101%" is above 100%', "10%", True),
    ({"signal": "resets", "max": "1%", "under": "5s"}, "under", "belongs to early_closes only", "leave it out", True),
    ({"signal": "early_closes", "max": "1%", "under": "1h"}, "under", "1h is longer than 800s", "write 800s or less", False),
    ({"signal": "early_closes", "max": "1%", "under": 5}, "under", "a duration needs a unit", "write 5s", True),
    ({"signal": "first_byte_p99", "max": "1%"}, "max", '"1%" is not a duration', "500ms", True),
    ({"signal": "first_byte_p99", "max": 250}, "max", "a duration needs a unit", "write 250s", True),
    ({"signal": "duration_p99", "max": "1h"}, "max", "1h is longer than 800s", "800s or less", False),
    ({"signal": "connect_time_p50", "max": "0.001ms"}, "max", "is shorter than 0.00001s", "0.00001s to 800s", False),
    ({"signal": "first_byte_p99", "over_stable": "250ms"}, "over_stable", '"250ms" is not a share', "10%", True),
    ({"signal": "first_byte_p99", "over_stable": "1001%"}, "over_stable", '"1001%" is above 1000%', "10%", True),
    ({"signal": "bytes_in_p50", "max": 5}, "max", "a size needs a unit", "write 5B", True),
    ({"signal": "bytes_in_p50", "max": True}, "max", "needs a size, not true", "64KiB", True),
    ({"signal": "bytes_in_p50", "max": "5s"}, "max", '"5s" is not a size', "10MiB", True),
    ({"signal": "bytes_in_p50", "max": "129GiB"}, "max", "129GiB is more than 128GiB", "128GiB or less", False),
    ({"signal": "resets", "max": "1%", "dry_run": 1}, "dry_run", "needs true or false", "unquoted", True),
    ({"signal": "resets", "max": "1%", "name": "A"}, "name", '"A" is not a name of a check', "a-z, 0-9, - and _", True),
    ({"signal": "resets", "max": "1%", "name": "_a"}, "name", '"_a" is not a name', "at either end", True),
    ({"signal": "resets", "max": "1%", "name": 5}, "name", "a name is text, not the number 5", "quotes", True),
    ({"signal": "resets", "max": "1%", "name": "endpoints"}, "name", "every rollout has by itself", "another name", True),
    ({**WEBHOOK, "max": "1%"}, "max", "`max` here belongs to a signal", "take it out", True),
    ({**WEBHOOK, "under": "1s"}, "under", "`under` here belongs to a signal", "take it out", True),
    ({**prometheus(), "max": 5}, "max", "`max` here belongs to a signal", "inside of `prometheus`", True),
    (prometheus(max=None), "prometheus", "needs max or min", "add for example `max: 0.01`", True),
    (prometheus(max=0, min=1), "prometheus.max", "max 0 is below min 1", "exchange the two", False),
    (prometheus(max="1%"), "prometheus.max", 'not the text "1%"', "write 0.01 for one percent", True),
    (prometheus(max="5"), "prometheus.max", 'needs a number, not the text "5"', "unquoted", True),
    (prometheus(max=True), "prometheus.max", "needs a number, not true", "unquoted", True),
    (prometheus(max=float("nan")), "prometheus.max", "nan is not a number to compare", "leave it out", False),
    (prometheus(min=float("-inf")), "prometheus.min", "-inf is not a number to compare", "leave it out", False),
    (prometheus(query=" "), "prometheus.query", "the query is empty", "{{canary}}", False),
    (prometheus(query=5), "prometheus.query", "a query is text, not the number 5", "quotes", True),
    (prometheus(query="up\x00"), "prometheus.query", "cannot be printed", None, False),
    (prometheus(query="x{a='{{canry}}'}"), "prometheus.query", "{{canry}} is not something to fill in", "did you mean canary?", True),
    (prometheus(query="x{a='{{ canary }}'}"), "prometheus.query", "{{ canary }} is not", "Known are {{tenant}}", True),
    (prometheus(query="x{a='{{canary'}"), "prometheus.query", "the query has {{ without }}", "write for example {{canary}}", True),
    (prometheus(url="http://p/api/v1/query"), "prometheus.url", "the path of the query is added", "write http://p", False),
    (prometheus(url="http://p/x?a=b"), "prometheus.url", "has no query", "write it under `query`", True),
    ({"prometheus": {"url": "http://p", "max": 1}}, "prometheus", "`query` is missing", "add for example `query: 'sum(", True),
    (prometheus(timeout="11m"), "prometheus.timeout", "11m is longer than 10m", "10m or less", False),
    ({"webhook": {"url": "ftp://a"}}, "webhook.url", '"ftp://a" is neither http nor https', "http://qa.acme.svc/check", True),
    ({"webhook": {"url": "http://u:secret@a"}}, "webhook.url", "has no user and no password", "many can read a document", True),
    ({"webhook": {}}, "webhook", "`url` is missing", "add for example `url: http://qa.acme.svc/check`", True),
    ({"webhook": {"url": URL, "timeout": "0s"}}, "webhook.timeout", "must be longer than 0s", "5s", False),
    ({"webhook": {"ulr": URL, "url": URL}}, "webhook.ulr", "`ulr` is not a key", "did you mean url?", True),
    ({"command": {}}, "command", "`run` is missing", "add for example `run: [/usr/local/bin/judge", True),
    ({"command": {"run": []}}, "command.run", "needs a program and at most 63 arguments, not 0 texts", "write [", True),
    ({"command": {"run": ["x"] * 65}}, "command.run", "not 65 texts", "write [", True),
    ({"command": {"run": "judge --fast"}}, "command.run", "needs a list, not the text", "write", True),
    ({"command": {"run": ["", "x"]}}, "command.run.0", "the program has no name", "write [", False),
    ({"command": {"run": ["x", 5]}}, "command.run.1", "an argument is text, not the number 5", 'quotes: "5"', True),
    ({"command": {"run": ["x\x00"]}}, "command.run.0", "cannot be printed", None, False),
]  # fmt: skip


@pytest.mark.parametrize(("body", "path", "message", "hint", "schema"), REFUSED)
def test_a_check_that_cannot_be_is_refused_with_a_way_out(body, path, message, hint, schema):
    analysis = {"checks": [{"signal": "connect_failures", "max": "1%"}, body]}
    with pytest.raises(DocumentError) as caught:
        parse(analysis)
    (problem,) = caught.value.problems
    assert problem.path == f"analysis.checks.1.{path}".rstrip(".")
    assert message in problem.message
    assert problem.hint is None if hint is None else hint in (problem.hint or "")
    assert CHECK.is_valid(plan(analysis)) is not schema


def test_a_password_in_a_url_is_not_repeated():
    with pytest.raises(DocumentError) as caught:
        check({"webhook": {"url": "http://u:secret@a"}})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["http_5xx", "http_latency_p99"])
def test_signals_of_http_are_known_and_come_later(name):
    with pytest.raises(NotSupportedYet, match="comes with HTTP ports") as caught:
        check({"signal": name, "max": "1%"})
    assert caught.value.problems[0].code == "not_supported_yet"


TAKEN = [
    ({"signal": "resets", "max": "1%"}, SignalCheck("resets", "resets", max=0.01)),
    ({"signal": "resets", "max": "0%", "over_stable": None}, SignalCheck("resets", "resets", max=0.0)),
    ({"signal": "resets", "over_stable": "0.5%", "name": "r_1"}, SignalCheck("r_1", "resets", over_stable=0.005)),
    ({"signal": "early_closes", "max": "1%", "under": "500ms"}, SignalCheck("early_closes", "early_closes", max=0.01, under_s=0.5)),
    ({"signal": "first_byte_p99", "max": "250ms", "over_stable": "150%"}, SignalCheck("first_byte_p99", "first_byte", 0.99, 0.25, 1.5)),
    ({"signal": "duration_p50", "max": "800s"}, SignalCheck("duration_p50", "duration", 0.5, 800.0)),
    ({"signal": "bytes_in_p75", "max": "64KiB"}, SignalCheck("bytes_in_p75", "bytes_in", 0.75, 65_536.0)),
    ({"signal": "bytes_out_p90", "max": "0B"}, SignalCheck("bytes_out_p90", "bytes_out", 0.9, 0.0)),
    ({"signal": "bytes_out_shape", "over_stable": "30%"}, SignalCheck("bytes_out_shape", "bytes_out", over_stable=0.3)),
    (prometheus(), OutsideCheck("prometheus", "prometheus", "http://p:9090", "up", max=1.0)),
    (prometheus(max=None, min=-1.5, query="x{a='{{stable}}'}\n- y[{{interval}}]"),
     OutsideCheck("prometheus", "prometheus", "http://p:9090", "x{a='{{stable}}'}\n- y[{{interval}}]", min=-1.5)),
    ({**WEBHOOK, "dry_run": True}, OutsideCheck("webhook", "webhook", URL, dry_run=True)),
    ({"webhook": {"url": "https://[::1]:8/x?y=z", "timeout": "1s"}}, OutsideCheck("webhook", "webhook", "https://[::1]:8/x?y=z", timeout_s=1.0)),
    ({"command": {"run": ["judge", ""]}}, OutsideCheck("command", "command", run=("judge", ""))),
]  # fmt: skip


@pytest.mark.parametrize(("body", "spec"), TAKEN)
def test_a_check_becomes_a_value(body, spec):
    assert check(body) == spec
    assert CHECK.is_valid(plan({"checks": [body]}))


@pytest.mark.parametrize("name", SIGNAL_NAMES)
def test_every_signal_is_taken_under_its_name(name):
    found = check({"signal": name, "over_stable": "5%"})
    assert (found.name, (found.signal, found.quantile)) == (name, parse_signal(name))


def test_checks_that_nobody_named_are_numbered_and_leave_given_names_alone():
    found = parse(
        {
            "checks": [
                WEBHOOK,
                {"signal": "resets", "max": "1%"},
                {**WEBHOOK, "name": "webhook-2"},
                WEBHOOK,
                {"signal": "resets", "over_stable": "1%"},
                {**WEBHOOK, "name": "connect_failures"},
                {"signal": "connect_failures", "max": "1%"},
            ]
        }
    )
    assert [one.name for one in found.signals] == ["resets", "resets-2", "connect_failures-2"]
    names = [one.name for one in found.outside]
    assert names == ["webhook", "webhook-2", "webhook-3", "connect_failures"]


def test_two_checks_of_one_name_are_refused_at_the_second():
    with pytest.raises(DocumentError, match="two checks are named x") as caught:
        parse({"checks": [{**WEBHOOK, "name": "x"}, WEBHOOK, {**WEBHOOK, "name": "x"}]})
    assert [p.path for p in caught.value.problems] == ["analysis.checks.2.name"]


@pytest.mark.parametrize("analysis", [None, {}, {"checks": None}])
def test_without_checks_there_are_those_by_default(analysis):
    assert parse(analysis) == Analysis()
    assert parse(analysis).signals == DEFAULT_CHECKS


def test_an_empty_list_is_no_checks():
    assert parse({"checks": []}).checks == ()


@pytest.mark.parametrize(
    ("analysis", "path", "message"),
    [
        ({"every": "50ms"}, "every", "50ms is shorter than 100ms"),
        ({"every": "2d"}, "every", "2d is longer than 1d"),
        ({"min_samples": 0}, "min_samples", "from 1 to 1000000, not 0"),
        ({"failures_allowed": -1}, "failures_allowed", "from 0 to 1000, not -1"),
        ({"inconclusive_allowed": "3"}, "inconclusive_allowed", "not text"),
        ({"checks": {}}, "checks", "needs a list, not a mapping"),
        ({"checks": [WEBHOOK] * 33}, "checks", "at most 32 checks, not 33"),
        ({"check": []}, "check", "`check` is not a key"),
    ],
)
def test_an_analysis_that_cannot_be_is_refused(analysis, path, message):
    with pytest.raises(DocumentError) as caught:
        parse(analysis)
    (problem,) = caught.value.problems
    assert problem.path == f"analysis.{path}"
    assert message in problem.message


def test_several_problems_of_a_check_come_at_once():
    body = {"signal": "resets", "max": 1, "over_stable": 2, "under": "1s", "dry_run": "no"}
    with pytest.raises(DocumentError) as caught:
        check(body)
    paths = [problem.path.rpartition(".")[2] for problem in caught.value.problems]
    assert paths == ["max", "over_stable", "under", "dry_run"]


checks = st.fixed_dictionaries(
    {},
    optional={
        "signal": st.sampled_from([None, *SIGNAL_NAMES, "http_5xx"]),
        "max": st.sampled_from([None, "1%", "250ms", "64KiB", 5]),
        "over_stable": st.sampled_from([None, "2%", "150%", "5s"]),
        "under": st.sampled_from([None, "500ms", "1%"]),
        "webhook": st.sampled_from([None, {"url": URL}, {"url": "x"}]),
        "prometheus": st.sampled_from(
            [None, {"url": URL, "query": "x", "max": 1}, {"url": URL, "query": "x"}]
        ),
        "command": st.sampled_from([None, {"run": ["x"]}]),
        "name": st.sampled_from([None, "x_y", "endpoints"]),
        "dry_run": st.booleans(),
    },
)


@given(checks)
def test_the_schema_takes_what_the_program_takes(body):
    whole = plan({"checks": [body]})
    try:
        check(body)
    except DocumentError:
        assert not CHECK.is_valid(whole)
    else:
        assert CHECK.is_valid(whole)
