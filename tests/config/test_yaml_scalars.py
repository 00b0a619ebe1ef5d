"""Plain scalars: what both versions of YAML agree on, and nothing guessed where they do not."""

import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tenantproxy.config.yaml_scalars import Trap, resolve


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("FALSE", False),
        ("0", 0),
        ("-12", -12),
        ("8080", 8080),
        ("1.5", 1.5),
        ("20000-29999", "20000-29999"),
        ("10.0.0.1:8080", "10.0.0.1:8080"),
        ("10.0.0.1", "10.0.0.1"),
        ("15m", "15m"),
        ("2020-01-01", "2020-01-01"),
        ("-", "-"),
        ("1.5e+3", 1500.0),
        ("+.e", "+.e"),
        ("web", "web"),
        ("yess", "yess"),
    ],
)
def test_a_scalar_means_what_every_parser_takes_it_for(text, value):
    found = resolve(text)
    assert found == value
    assert type(found) is type(value)


def test_infinity_and_not_a_number_are_numbers():
    assert resolve("-.inf") == -math.inf
    assert math.isnan(resolve(".nan"))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("yes", "true"),
        ("On", "true"),
        ("NO", "false"),
        ("off", "false"),
        ("012", "octal"),
        ("0o17", "octal"),
        ("08", "octal"),
        ("1:30", "base 60"),
        ("20:00:00", "base 60"),
        ("1_000", "underscores"),
        ("0b11", "binary"),
        ("0x1F", "hexadecimal"),
        ("12e5", "power of ten"),
        ("9" * 5000, "too long"),
    ],
)
def test_a_scalar_that_parsers_differ_on_is_a_trap_with_a_way_out(text, what):
    trap = resolve(text)
    assert isinstance(trap, Trap)
    assert what in trap.message
    assert f'"{text}" in quotes' in trap.hint


@given(st.text("0123456789+-._:eox", max_size=8))
def test_a_value_that_is_not_a_trap_agrees_with_the_yaml_library(text):
    """PyYAML reads version 1.1; where we return a number, it does not see another one."""
    ours = resolve(text)
    if isinstance(ours, int) and not isinstance(ours, bool):
        theirs = yaml.safe_load(f"[{text}]")[0]
        assert theirs == ours
    if isinstance(ours, str):
        tag = yaml.SafeLoader("").resolve(yaml.ScalarNode, text, (True, False))
        assert tag.rpartition(":")[2] in ("str", "timestamp", "merge", "value")
