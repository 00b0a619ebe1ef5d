"""Suggestions."""

from tenantproxy.config.suggest import did_you_mean, suggestion


def test_a_near_word_is_suggested():
    assert did_you_mean("wieght", ["weight", "address"]) == "did you mean weight?"
    assert suggestion("wieght", ["weight", "address"], what="keys") == "did you mean weight?"


def test_without_a_near_word_the_known_ones_are_listed():
    assert did_you_mean("zzz", ["weight"]) is None
    assert suggestion("zzz", ["b", "a"], what="keys") == "known keys: a, b"
    assert suggestion("zzz", [], what="keys") == "there are no keys here"


def test_a_long_list_is_cut():
    assert suggestion("zzz", [f"name-{n}" for n in range(100)], what="names").endswith(
        "and 76 more"
    )
