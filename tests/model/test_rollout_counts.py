"""Counts by name that are kept as a tuple."""

from hypothesis import given
from hypothesis import strategies as st

from tenantproxy.model.rollout_counts import count_of, once_more, without

names = st.sampled_from("abc")


@given(st.lists(names))
def test_what_was_counted_is_the_count(seen):
    counted = ()
    for name in seen:
        counted = once_more(counted, name)
    for name in "abc":
        assert count_of(counted, name) == seen.count(name)


@given(st.lists(names), names)
def test_what_is_taken_out_is_not_counted_and_the_others_are(seen, gone):
    counted = ()
    for name in seen:
        counted = once_more(counted, name)
    counted = without(counted, gone)
    for name in "abc":
        assert count_of(counted, name) == (0 if name == gone else seen.count(name))
