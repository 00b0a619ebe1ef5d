"""Kinds of value: what the check takes and what its schema takes are the same."""

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from tenantproxy.config.fields import (
    ChoiceRule,
    DurationRule,
    NameRule,
    ShareRule,
    SwitchRule,
    TextRule,
    VersionRule,
    WholeRule,
    WorkersRule,
    listed,
    shown,
)

RULES = [
    NameRule(),
    WholeRule(1, 100),
    SwitchRule(),
    ShareRule(),
    ShareRule(10.0),
    ChoiceRule(("tcp", "udp"), ("http",)),
    TextRule(5, "a text", "x"),
    TextRule(5, "a text", "x", empty=True),
    VersionRule(),
    WorkersRule(),
]
values = (
    st.none()
    | st.booleans()
    | st.integers(-2, 300)
    | st.floats(0.1, 0.9)
    | st.text("ab-Z1", max_size=8)
    | st.sampled_from(["auto", "tcp", "http", "a" * 63, "a" * 64])
    | st.sampled_from(["0%", "100%", "100.00%", "100.01%", "12.34%", "12.345%", "007%", "5 %"])
    | st.sampled_from(["150%", "1000%", "1000.00%", "1000.01%", "0150%"])
    | st.just([])
    | st.just({})
)


@pytest.mark.parametrize("rule", RULES, ids=repr)
@given(value=values)
def test_the_check_and_the_schema_agree(rule, value):
    # Python's `true == 1`, which JSON Schema libraries see as different and we refuse too.
    fits = jsonschema.Draft202012Validator(rule.schema()).is_valid(value)
    try:
        rule.check(value)
    except PydanticCustomError as error:
        assert not fits, error.context
    else:
        assert fits


@given(st.text("0123456789.msh d", max_size=6))
def test_the_schema_of_durations_takes_what_the_check_takes(text):
    rule = DurationRule(zero=True)
    try:
        rule.check(text)
    except PydanticCustomError:
        return
    jsonschema.validate(text, rule.schema())


@pytest.mark.parametrize(
    ("value", "most", "message", "hint"),
    [
        (50, 1.0, "a share needs a percent sign", "write 50%"),
        (0.1, 1.0, "a share needs a percent sign", "write 10%"),
        (0, 1.0, "a share needs a percent sign", "write 0%"),
        (500, 1.0, "a share needs a percent sign", "write for example 10%"),
        ("10", 1.0, '"10" is not a share', "write for example 10%"),
        ("101%", 1.0, '"101%" is above 100%', "write for example 10%"),
        ("1001%", 10.0, '"1001%" is above 1000%', "write for example 10%"),
        ("60%", 0.5, "60% is above 50%", "write 50% or less"),
        ("12.345%", 1.0, '"12.345%" is not how', "write 12.35%, with two decimals at most"),
        ("007%", 1.0, '"007%" is not how', "write 7%, with two decimals at most"),
        (None, 1.0, "needs a share, not an empty value", "write for example 10%"),
        (True, 1.0, "needs a share, not true", "write for example 10%"),
    ],
)
def test_what_is_no_share_is_refused_with_what_to_write(value, most, message, hint):
    with pytest.raises(PydanticCustomError) as caught:
        ShareRule(most).check(value)
    assert caught.value.context["message"].startswith(message)
    assert caught.value.context["hint"] == hint


def test_a_name_that_is_none_comes_with_one_that_is():
    for value, better in (("Web_1", "web-1"), ("-a-", "a"), ("é", None), ("A" * 70, "a" * 63)):
        with pytest.raises(PydanticCustomError) as caught:
            NameRule().check(value)
        hint = caught.value.context["hint"]
        if better is None:
            assert "write" not in hint
        else:
            assert hint.endswith(f"write for example {better}")
            assert NameRule().check(better) == better


def test_values_are_shown_shortly():
    assert shown(None) == "an empty value"
    assert shown(True) == "true"
    assert shown(5) == "the number 5"
    assert shown("x") == 'the text "x"'
    assert len(shown("x" * 10_000)) < 80
    assert shown([1]) == "a list"
    assert shown({}) == "a mapping"


def test_choices_are_listed_as_in_a_sentence():
    assert listed(("a",)) == "a"
    assert listed(("a", "b")) == "a or b"
    assert listed(("a", "b", "c")) == "a, b or c"
