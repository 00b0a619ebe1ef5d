"""Checks and ejection: values, what is refused and what to write instead."""

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from tenantproxy.config.document import parse_upstream
from tenantproxy.config.health_models import BytesRule, CodesRule, HostRule, PathRule
from tenantproxy.errors import DocumentError
from tenantproxy.model.spec import HealthRule, HttpCheck, OutlierRule, TcpCheck, UpstreamSpec


def upstream(**keys) -> UpstreamSpec:
    return parse_upstream("acme", "web", {"endpoints": ["10.0.0.1:80"], **keys})


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ({"tcp": {}}, HealthRule(tcp=TcpCheck())),
        ({"tcp": {}, "http": None}, HealthRule(tcp=TcpCheck())),
        ({"tcp": {"expect": "220 "}}, HealthRule(tcp=TcpCheck(expect=b"220 "))),
        ({"tcp": {"send": "é\r\n"}}, HealthRule(tcp=TcpCheck("é\r\n".encode()))),
        ({"http": {}}, HealthRule(http=HttpCheck())),
        (
            {"http": {"path": "/a?b=c", "host": "web:80", "expect": 204}},
            HealthRule(http=HttpCheck("/a?b=c", "web:80", ((204, 204),))),
        ),
        (
            {"http": {"expect": [200, "301-302"]}, "every": "5s", "timeout": "1s", "port": 9},
            HealthRule(
                http=HttpCheck(expect=((200, 200), (301, 302))), every_s=5, timeout_s=1, port=9
            ),
        ),
        (
            {"tcp": {}, "fall": 1, "rise": 100, "jitter": "50%"},
            HealthRule(tcp=TcpCheck(), fall=1, rise=100, jitter=0.5),
        ),
    ],
)
def test_a_check_becomes_a_rule(body, rule):
    assert upstream(health=body).health == rule


def test_the_longest_and_the_shortest_times_of_a_check_are_taken():
    longest = upstream(health={"tcp": {}, "every": "1h", "timeout": "60s"}).health
    assert (longest.every_s, longest.timeout_s) == (3600, 60)
    assert upstream(health={"tcp": {}, "every": "100ms"}).health.every_s == 0.1


@pytest.mark.parametrize(
    ("body", "path", "message", "hint"),
    [
        ({}, "health", "needs tcp or http", "write {tcp: {}} or {http: {path: /healthz}}"),
        ({"tcp": None}, "health", "needs tcp or http", "write {tcp: {}} or"),
        ({"every": "1s"}, "health", "needs tcp or http", "write {tcp: {}} or"),
        ({"tcp": {}, "http": {}}, "health.http", "tcp or http, not both", "remove one of the two"),
        ("tcp", "health", 'needs a mapping, not the text "tcp"', "with keys such as tcp, http"),
        ({"tcp": {"sned": "x"}}, "health.tcp.sned", "`sned` is not a key", "did you mean send?"),
        ({"tcp": {"send": 5}}, "health.tcp.send", "needs text, not the number 5", r'"PING\r\n"'),
        ({"tcp": {"send": ""}}, "health.tcp.send", "is empty", "leave it out"),
        ({"tcp": {"expect": "é" * 2049}}, "health.tcp.expect", "longer than 4096 bytes", None),
        ({"tcp": {"send": "\ud800"}}, "health.tcp.send", "half of a character", "write whole"),
        ({"http": {"path": "healthz"}}, "health.http.path", "begin with /", "write /healthz"),
        ({"http": {"path": "http://a/b"}}, "health.http.path", "is a URL", "the path only"),
        ({"http": {"path": "/a b"}}, "health.http.path", "a character that no path has", "%20"),
        ({"http": {"path": "/é"}}, "health.http.path", "a character that no path has", "%20"),
        ({"http": {"path": "/\r\nX: y"}}, "health.http.path", "a character that no path", "%20"),
        ({"http": {"path": "/" * 2049}}, "health.http.path", "no longer than 2048", None),
        ({"http": {"host": "a\r\nX: y"}}, "health.http.host", "is not a host", "web.example.com"),
        ({"http": {"host": 5}}, "health.http.host", "a host is text, not the number 5", "write"),
        ({"http": {"expect": []}}, "health.http.expect", "needs 1 to 16 ranges, not 0", "[200, "),
        ({"http": {"expect": "200"}}, "health.http.expect", "a number, not text", "the quotes"),
        ({"http": {"expect": "2xx"}}, "health.http.expect", 'not the text "2xx"', "200-399"),
        ({"http": {"expect": 99}}, "health.http.expect", "from 100 to 599", "200-399"),
        ({"http": {"expect": "200-600"}}, "health.http.expect", "from 100 to 599", "200-399"),
        ({"http": {"expect": "399-200"}}, "health.http.expect", "399 is above", "write 200-399"),
        ({"http": {"expect": [200, True]}}, "health.http.expect", "not true", "200-399"),
        ({"tcp": {}, "jitter": "51%"}, "health.jitter", "51% is above 50%", "write 50% or less"),
        ({"tcp": {}, "fall": 0}, "health.fall", "a whole number from 1 to 100, not 0", None),
        ({"tcp": {}, "timeout": 2}, "health.timeout", "a duration needs a unit", "write 2s"),
        ({"tcp": {}, "every": "0s"}, "health.every", "must be longer than 0s", "write"),
        ({"tcp": {}, "every": "99ms"}, "health.every", "is shorter than 100ms", "100ms to 1h"),
        ({"tcp": {}, "every": "61m"}, "health.every", "is longer than 1h", "write 1h or less"),
        ({"tcp": {}, "timeout": "61s"}, "health.timeout", "is longer than 1m", "1m or less"),
        ({"tcp": {}, "port": 0}, "health.port", "a whole number from 1 to 65535, not 0", None),
    ],
)
def test_a_check_that_cannot_be_is_refused_with_a_way_out(body, path, message, hint):
    with pytest.raises(DocumentError) as caught:
        upstream(health=body)
    (problem,) = caught.value.problems
    there = path.rpartition(".")[0] if "not a key" in message else path
    assert problem.path in (path, there)
    assert message in problem.message
    assert hint in problem.hint if hint else problem.hint is None


def test_outliers_are_ejected_unless_the_document_says_null():
    assert upstream().outlier == upstream(outlier={}).outlier == OutlierRule()
    assert upstream(outlier=None).outlier is None


def test_the_default_rule_is_one_object_however_many_upstreams_have_it():
    assert upstream().outlier is upstream(outlier={"eject_for": "30s"}).outlier


@pytest.mark.parametrize(
    ("body", "first_s", "longest_s"),
    [
        ({"eject_for": "1m"}, 60, 300),
        ({"eject_for": "10m"}, 600, 600),
        ({"eject_for": "10m", "eject_for_most": "10m"}, 600, 600),
        ({"eject_for_most": "30s"}, 30, 30),
    ],
)
def test_no_ejection_is_longer_than_the_longest(body, first_s, longest_s):
    """As in Envoy, a long first ejection makes the default of the longest longer."""
    rule = upstream(outlier=body).outlier
    assert (rule.eject_for_s, rule.eject_for_most_s) == (first_s, longest_s)


@pytest.mark.parametrize(
    ("body", "path", "message"),
    [
        ({"eject_for_most": "5s"}, "outlier.eject_for_most", "5s is shorter than eject_for"),
        ({"max_ejected": 10}, "outlier.max_ejected", "a share needs a percent sign"),
        ({"consecutive_failures": 0}, "outlier.consecutive_failures", "from 1 to 1000, not 0"),
        ({"eject_for": "0s"}, "outlier.eject_for", "must be longer than 0s"),
        (False, "outlier", "needs a mapping, not false"),
    ],
)
def test_an_ejection_that_cannot_be_is_refused(body, path, message):
    with pytest.raises(DocumentError) as caught:
        upstream(outlier=body)
    (problem,) = caught.value.problems
    # A key that was left out has no place: its mapping has.
    assert problem.path in (path, path.partition(".")[0])
    assert message in problem.message


values = (
    st.none()
    | st.booleans()
    | st.integers(98, 601)
    | st.text("/a12-. :[]é", max_size=8)
    | st.sampled_from(["200-399", "399-200", "600-601", "200 - 399"])
)


@pytest.mark.parametrize("rule", [BytesRule(), CodesRule(), PathRule(), HostRule()], ids=repr)
@given(value=values | st.lists(values, max_size=3))
def test_the_schema_takes_what_the_check_takes(rule, value):
    fits = jsonschema.Draft202012Validator(rule.schema()).is_valid(value)
    try:
        rule.check(value)
    except PydanticCustomError as error:
        # What the schema cannot say: the order of two numbers.
        assert not fits or "is above" in error.context["message"]
    else:
        assert fits
