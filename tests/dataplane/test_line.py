"""A place on the line is an endpoint, for as much of the line as its weight asks."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from tenantproxy.dataplane.endpoint import Endpoint
from tenantproxy.dataplane.line import Line

weights = st.lists(st.integers(0, 9), min_size=1, max_size=8)


def endpoints(values: list[int]) -> list[Endpoint]:
    return [Endpoint("192.0.2.1", 1000 + i, value) for i, value in enumerate(values)]


@given(weights, st.data())
def test_every_endpoint_has_its_weight_of_the_line_with_and_without_some_cut_out(values, data):
    """One place for each unit of weight says it all: the line has no finer borders."""
    some = endpoints(values)
    line = Line(some)
    exclude = data.draw(st.lists(st.sampled_from(some), max_size=len(some)))
    left = [endpoint for endpoint in some if endpoint not in exclude]
    total = sum(endpoint.weight for endpoint in left)
    expected = [endpoint for endpoint in left for _ in range(endpoint.weight)]
    got = [line.at(float(Fraction(2 * i + 1, 2 * total)), exclude) for i in range(total)]
    assert got == expected


@given(weights.filter(any), st.floats(0, 1, exclude_max=True))
def test_every_place_on_the_line_is_somebodys(values, part):
    some = endpoints(values)
    assert Line(some).at(part).weight > 0


def test_the_greatest_float_below_1_is_still_on_the_line():
    some = endpoints([1, 10**9 + 7, 1])
    assert Line(some).at(1 - 2**-53) is not None
    assert Line(some).at(1 - 2**-53, (some[0],)) is not None


def test_a_line_without_weight_has_nobody():
    assert Line([]).at(0.5) is None
    some = endpoints([0, 3])
    assert Line(some).at(0.5, some) is None
    assert Line(some).at(0.5, (some[0],)) is some[1]
