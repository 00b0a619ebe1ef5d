"""CPUs granted: the smaller of affinity and quota."""

import pytest

from tenantproxy.daemon.cpus import granted, granted_here


@pytest.mark.parametrize(
    ("affinity", "cpu_max", "expected"),
    [
        (8, None, 8),
        (8, "max 100000", 8),
        (8, "200000 100000", 2),
        (8, "250000 100000", 3),
        (2, "800000 100000", 2),
        (4, "10000 100000", 1),
    ],
)
def test_the_smaller_of_affinity_and_quota_rounded_up(affinity, cpu_max, expected):
    assert granted(affinity, cpu_max) == expected


def test_this_process_is_granted_something():
    assert granted_here() >= 1
