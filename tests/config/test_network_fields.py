"""Names, endpoints and servers: the check, what it says, and the schema beside it."""

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from tenantproxy.config.network_fields import (
    DnsRule,
    DnsServerRule,
    EndpointRule,
    ServerNameRule,
    SrvRule,
)
from tenantproxy.model.spec import Discovery, EndpointSpec

# rule, value, part of the message, hint
REFUSED = [
    (EndpointRule(), 8080, "an endpoint is text, not the number 8080", 'write "10.0.0.1:8080"'),
    (EndpointRule(), "fd00::1:80", "needs brackets", "write [fd00::1]:80"),
    (DnsRule(), 80, "needs a name and a port, not the number 80", "write web.acme.svc:8080"),
    (DnsRule(), "web.acme.svc", "has no port", "write for example web.acme.svc:8080"),
    (DnsRule(), "10.0.0.1:80", "needs no looking up", 'write endpoints: ["10.0.0.1:80"] instead'),
    (DnsRule(), "[::1]:80", "needs no looking up", 'write endpoints: ["[::1]:80"] instead'),
    (DnsRule(), "a:0", "is not a number from 1 to 65535", "write for example"),
    (DnsRule(), "a b:80", "neither an IP address nor a name", "write for example"),
    (DnsRule(), "dns://a:80", "is a URL", "write for example"),
    (SrvRule(), None, "needs a name, not an empty value", "write for example _web._tcp.acme.svc"),
    (SrvRule(), "_web._tcp.a:80", "has a port", "write _web._tcp.a, its records say the ports"),
    (SrvRule(), "a b", '"a b" is not a name', "write for example _web._tcp.acme.svc"),
    (SrvRule(), "10.0.0.1", '"10.0.0.1" is not a name', "write for example _web._tcp.acme.svc"),
    (SrvRule(), "", "is not a name", "write for example _web._tcp.acme.svc"),
    (SrvRule(), "a" * 64, "is not a name", "write for example _web._tcp.acme.svc"),
    (SrvRule(), "a." * 127, "is not a name", "write for example _web._tcp.acme.svc"),
    (ServerNameRule(), True, "needs a name, not true", "write for example web.example.com"),
    (ServerNameRule(), "10.0.0.1", "is an address, not a name", "leave it out, and certificates"),
    (ServerNameRule(), "[::1]", "is an address, not a name", "leave it out, and certificates"),
    (ServerNameRule(), "web:443", '"web:443" is not a name', "write for example web.example.com"),
    (ServerNameRule(), "*.a.com", '"*.a.com" is not a name', "write for example web.example.com"),
    (ServerNameRule(), "a.com.", "ends with a dot", "write a.com"),
    (DnsServerRule(), 1, "a name server is text, not the number 1", "write for example 10.0.0.2"),
    (DnsServerRule(), "dns.example", "is not an IP address", "names need a server first"),
    (DnsServerRule(), "dns.example:53", "has no IP address", "names need a server first"),
    (DnsServerRule(), "[::1]", "has brackets and no port", 'write "[::1]:53"'),
    (DnsServerRule(), "[fe80::1%eth0]:53", "has a zone", "or use resolv.conf"),
    (DnsServerRule(), "10.0.0.300", "no port or no host", "write for example"),
    (DnsServerRule(), "10.0.0.2:0", "is not a number from 1 to 65535", "write for example"),
    (DnsServerRule(), "", "has no port or no host", "write for example"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "value", "message", "hint"), REFUSED)
def test_what_is_refused_comes_with_what_to_write(rule, value, message, hint):
    with pytest.raises(PydanticCustomError) as caught:
        rule.check(value)
    assert message in caught.value.context["message"]
    assert hint in caught.value.context["hint"]


@pytest.mark.parametrize(
    ("rule", "value", "found"),
    [
        (EndpointRule(), "[fd00::1]:80", EndpointSpec("fd00::1", 80)),
        (DnsRule(), "web.acme.svc:8080", Discovery("dns", "web.acme.svc", 8080)),
        (DnsRule(), "Web_1.:1", Discovery("dns", "Web_1.", 1)),
        (DnsRule(), "localhost:65535", Discovery("dns", "localhost", 65_535)),
        (SrvRule(), "_web._tcp.acme.svc", Discovery("srv", "_web._tcp.acme.svc")),
        (SrvRule(), "acme.svc.", Discovery("srv", "acme.svc.")),
        (ServerNameRule(), "xn--bcher-kva.example", "xn--bcher-kva.example"),
        (DnsServerRule(), "10.0.0.2", "10.0.0.2"),
        (DnsServerRule(), "10.0.0.2:53", "10.0.0.2:53"),
        (DnsServerRule(), "fd00::1", "fd00::1"),
        (DnsServerRule(), "[fd00::1]:53", "[fd00::1]:53"),
    ],
)
def test_what_passes_becomes_a_value_and_fits_the_schema(rule, value, found):
    assert rule.check(value) == found
    jsonschema.Draft202012Validator(rule.schema()).validate(value)


@pytest.mark.parametrize(
    "rule", [DnsRule(), SrvRule(), ServerNameRule(), DnsServerRule()], ids=repr
)
@given(text=st.text("a_-.:[]%1 ", max_size=12) | st.ip_addresses().map(str))
def test_the_schema_takes_what_the_check_takes(rule, text):
    try:
        rule.check(text)
    except PydanticCustomError as error:
        assert error.context["hint"]
        return
    jsonschema.Draft202012Validator(rule.schema()).validate(text)
