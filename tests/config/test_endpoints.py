"""Endpoints: host and port, without asking DNS."""

import pytest

from tenantproxy.config.endpoints import parse_endpoint


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("10.0.0.1:8080", "10.0.0.1", 8080),
        ("[fd00::1]:80", "fd00::1", 80),
        ("[fe80::1%eth0]:80", "fe80::1%eth0", 80),
        ("web.acme.svc:65535", "web.acme.svc", 65535),
        ("web.acme.svc.:1", "web.acme.svc.", 1),
        ("under_score:1", "under_score", 1),
        ("localhost:1", "localhost", 1),
        ("1and1.example:80", "1and1.example", 80),
    ],
)
def test_an_endpoint_is_an_address_or_a_name_and_a_port(text, host, port):
    assert parse_endpoint(text) == (host, port)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("8080", "has no port or no host"),
        (":8080", "has no port or no host"),
        ("a:", "not a number from 1 to 65535"),
        ("a:http", "not a number from 1 to 65535"),
        ("a:65536", "not a number from 1 to 65535"),
        ("a:٣", "not a number from 1 to 65535"),
        ("::1:80", "write [::1]:80"),
        ("[::1:80", "no IPv6 address in its brackets"),
        ("[10.0.0.1]:80", "no IPv6 address in its brackets"),
        ("1.2.3:80", "is not an IPv4 address"),
        ("10:80", "is not an IPv4 address"),
        ("010.0.0.1:80", "is not an IPv4 address"),
        ("tcp://a:80", "is a URL"),
        ("a/b:80", "neither an IP address nor a name"),
        ("-a:80", "neither an IP address nor a name"),
        ("a..b:80", "neither an IP address nor a name"),
        ("é:80", "neither an IP address nor a name"),
        ("a" * 254 + ":80", "neither an IP address nor a name"),
    ],
)
def test_anything_else_is_refused_with_what_to_write(text, said):
    with pytest.raises(ValueError, match="write ") as caught:
        parse_endpoint(text)
    assert said in str(caught.value)
