"""Addresses in the document, and the zones of this host."""

from __future__ import annotations

import pytest

from tenantproxy.discovery.literal import literal, zone_is_here


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("FD00:0::1", "fd00::1"),
        ("fe80::1%lo", "fe80::1%lo"),
        ("web.test", None),
        ("127.0.0.1.test", None),
        ("", None),
    ],
)
def test_an_address_is_told_from_a_name(host, address):
    assert literal(host) == address


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", True),
        ("fe80::1", True),
        ("fe80::1%lo", True),
        ("fe80::1%1", True),
        ("fe80::1%gone", False),
    ],
)
def test_a_zone_is_an_interface_of_this_host_or_a_number(host, here):
    assert zone_is_here(host) is here
