"""A query gets its names, and nothing else changes."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tenantproxy.rollout.template import fill
from tests.rollout.support import ABOUT

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)


def test_every_name_is_filled_in_wherever_it_stands():
    query = (
        'sum(rate(e{tenant="{{tenant}}", port="{{ listener }}", v="{{canary}}"}[{{interval}}]))'
        ' / sum(rate(e{v=~"{{stable}}|{{canary}}"}[{{interval}}]))'
    )
    assert fill(query, ABOUT) == (
        'sum(rate(e{tenant="acme", port="web", v="web-v2"}[10s]))'
        ' / sum(rate(e{v=~"web-v1|web-v2"}[10s]))'
    )


def test_an_interval_below_a_second_is_told_in_milliseconds():
    assert fill("[{{interval}}]", replace(ABOUT, interval_s=1.5)) == "[1500ms]"


def test_an_unknown_name_stays():
    assert fill("{{canarry}} {{}} {canary}", ABOUT) == "{{canarry}} {{}} {canary}"


@given(NAMES, NAMES)
def test_a_value_is_not_read_again(stable, canary):
    about = replace(ABOUT, stable=stable, canary=canary)
    assert fill('{v="{{stable}}",w="{{canary}}"}', about) == f'{{v="{stable}",w="{canary}"}}'
