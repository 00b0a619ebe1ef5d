"""The worst is said first, and a sleeping upstream has nothing wrong."""

import pytest

from tenantproxy.cli.condition import condition, usable, without_endpoints

FREE = {"max_connections": None, "slots": 0, "waiting": 0}


def upstream(*states, panic=False, awake=True, reason="", shortened="", limits=FREE):
    return {
        "awake": awake,
        "panic": panic,
        "endpoints": [
            {"state": state, "resolved": None if state == "unresolved" else "10.0.0.1"}
            for state in states
        ],
        "usable_endpoints": sum(state in ("healthy", "unchecked") for state in states),
        "limits": limits,
        "discovery_reason": reason,
        "shortened": shortened,
    }


@pytest.mark.parametrize(
    ("states", "fields", "word"),
    [
        (["healthy", "unchecked"], {}, "ok"),
        (["healthy", "unhealthy", "unhealthy"], {}, "2 unhealthy"),
        (["ejected", "unhealthy", "healthy"], {}, "1 unhealthy, 1 ejected"),
        (["unhealthy", "ejected", "healthy"], {"panic": True}, "panic, 1 unhealthy, 1 ejected"),
        (["unhealthy"], {}, "no endpoints, 1 unhealthy"),
        (["unhealthy"], {"panic": True}, "panic, 1 unhealthy"),
        (["unresolved"], {"panic": True}, "no endpoints, 1 unresolved"),
        (["unresolved", "healthy"], {}, "1 unresolved"),
        ([], {"reason": "NXDOMAIN"}, "no endpoints, discovery fails"),
        (["healthy"], {"reason": "timeout"}, "discovery fails"),
        (["healthy"], {"shortened": "1 of 2 addresses are used"}, "shortened"),
    ],
)
def test_what_is_wrong_in_a_few_words(states, fields, word):
    assert condition(upstream(*states, **fields)) == word


@pytest.mark.parametrize(
    ("most", "slots", "word"), [(None, 5, "ok"), (5, 4, "ok"), (5, 5, "full"), (5, 6, "full")]
)
def test_full_is_when_every_slot_is_taken(most, slots, word):
    limits = {"max_connections": most, "slots": slots, "waiting": 0}
    assert condition(upstream("healthy", limits=limits)) == word


def test_a_sleeping_upstream_has_nothing_wrong():
    assert condition(upstream("unresolved", awake=False, reason="timeout")) == "asleep"


def test_usable_is_told_of_all():
    assert usable(upstream("healthy", "ejected", "unchecked")) == "2 of 3 endpoints usable"


def test_in_panic_whatever_has_an_address_is_an_endpoint():
    assert not without_endpoints(upstream("unhealthy", "unresolved", panic=True))
    assert without_endpoints(upstream("unhealthy", "unresolved"))
