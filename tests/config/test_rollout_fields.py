"""Kinds of value of a rollout: what the check takes fits the schema, the rest is refused."""

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from tenantproxy.config.rollout_fields import (
    CheckNameRule,
    NumberRule,
    OnlyTrueRule,
    PaceRule,
    PreviewRule,
    QueryRule,
    SignalRule,
    SizeRule,
    UrlRule,
    kind_of,
)
from tenantproxy.model.signal_names import SIGNAL_NAMES

RULES = [
    CheckNameRule(),
    NumberRule(),
    OnlyTrueRule(),
    PaceRule(),
    PreviewRule(),
    QueryRule(),
    SignalRule(),
    SizeRule(),
    UrlRule(),
    UrlRule(base=True),
]
words = ["auto", "http://a", "http://a:80/b?c=d", "https://[::1]", "5%/m", "0%/s", "1MiB", "{{a}}"]
values = (
    st.none()
    | st.booleans()
    | st.integers(-2, 70_000)
    | st.floats()
    | st.text("ab_-Z1%/{}:.?@", max_size=12)
    | st.sampled_from([*words, *SIGNAL_NAMES])
    | st.just([])
    | st.just({})
)


@pytest.mark.parametrize("rule", RULES, ids=repr)
@given(value=values)
def test_what_the_check_takes_fits_the_schema(rule, value):
    try:
        rule.check(value)
    except PydanticCustomError as error:
        assert error.context["message"]
    else:
        jsonschema.validate(value, rule.schema())


EXACT = [CheckNameRule(), OnlyTrueRule(), PaceRule(), PreviewRule(), SignalRule()]


@pytest.mark.parametrize("rule", EXACT, ids=repr)
@given(value=values)
def test_what_fits_the_schema_is_taken(rule, value):
    # Python's `1 == True` and `5.0 == 5`: JSON Schema takes 5.0 for a whole number.
    if isinstance(value, float):
        return
    if jsonschema.Draft202012Validator(rule.schema()).is_valid(value):
        rule.check(value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("http://", "is not a URL"),
        ("http://a b", "is not a URL"),
        ("http://a:0", "is not a URL"),
        ("http://a:65536/x", "is not a URL"),
        ("http://10.0.0.300", "is not a URL"),
        ("http://[10.0.0.1]", "is not a URL"),
        ("http://[::1", "is not a URL"),
        ("http://a:b", "is not a URL"),
        ("http://é.example", "is not a URL"),
        ("http://a/é", "is not a URL"),
        ("http://a\n", "is not a URL"),
        ("http://a/#x", "what stands behind # is never sent"),
        ("HTTP://a", "is neither http nor https"),
        ("//a/b", "has no scheme"),
        ("http://user@a/x", "has no user"),
        ("ftp://user:x@a/x", "has no user"),
        ("http://" + "a/" * 1024, "no longer than 2048"),
    ],
)
def test_what_is_no_url_is_refused(value, message):
    with pytest.raises(PydanticCustomError) as caught:
        UrlRule().check(value)
    assert message in caught.value.context["message"]


@pytest.mark.parametrize(
    "value",
    ["http://a", "http://a/", "https://a.b:1/x?y=z@w&{q}", "http://[fd00::1]:80/", "http://10.0.0.1?a"],
)  # fmt: skip
def test_a_url_is_taken_as_it_is(value):
    assert UrlRule().check(value) == value
    jsonschema.validate(value, UrlRule().schema())


def test_a_base_may_have_a_path_and_no_query():
    for value in ("http://p:9090", "http://p/prom", "http://p/prom/", "http://p/a@b"):
        assert UrlRule(base=True).check(value) == value
        jsonschema.validate(value, UrlRule(base=True).schema())
    for value in ("http://p/prom?x", "http://p/prom/api/v1/query", "http://p/api/v1/query/"):
        with pytest.raises(PydanticCustomError):
            UrlRule(base=True).check(value)


@pytest.mark.parametrize(
    ("value", "pace"),
    [("5%/m", 0.05 / 60), ("0.5%/s", 0.005), ("100%/h", 1 / 3600), ("12.34%/m", 0.1234 / 60)],
)
def test_a_pace_is_a_share_of_a_time(value, pace):
    assert PaceRule().check(value) == pytest.approx(pace, rel=1e-15)


@pytest.mark.parametrize(
    ("value", "message", "hint"),
    [
        ("5%", "is not a share of a time", "write for example 5%/m"),
        ("5/m", "is not a share of a time", "write for example 5%/m"),
        ("101%/m", "is above 100%/m", "write for example 5%/m"),
        ("5.123%/m", "is not how a pace is written", "two decimals at most"),
        ("0%/m", "moves nothing", "leave it out"),
        (5, "needs a share of a time, not the number 5", "write for example 5%/m"),
    ],
)
def test_what_is_no_pace_is_refused(value, message, hint):
    with pytest.raises(PydanticCustomError) as caught:
        PaceRule().check(value)
    assert message in caught.value.context["message"]
    assert hint in caught.value.context["hint"]


def test_every_signal_is_of_one_kind():
    assert {kind_of(name) for name in SIGNAL_NAMES} == {"share", "time", "size", "shape"}
    assert kind_of("resets") == "share"
    assert kind_of("first_byte_p99") == "time"
    assert kind_of("bytes_in_p50") == "size"
    assert kind_of("bytes_in_shape") == kind_of("duration_shape") == "shape"
    with pytest.raises(ValueError, match="nope is not a signal"):
        kind_of("nope")
