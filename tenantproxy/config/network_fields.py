"""Kinds of value that name something in the network: endpoints, names, servers.

As in `config.fields`, each checks one value and says what to write instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from tenantproxy.config.endpoints import MAX_NAME, is_address, is_name, parse_endpoint
from tenantproxy.config.fields import ENDPOINT_PATTERN, Rule, Schema, fault, shown
from tenantproxy.model.spec import Discovery, EndpointSpec

_LABEL = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
NAME_PATTERN = rf"^{_LABEL}(\.{_LABEL})*\.?$"
_V6 = r"[0-9a-fA-F.]*:[0-9a-fA-F:.]*"
SERVER_PATTERN = rf"^([0-9.]+(:[0-9]{{1,5}})?|\[{_V6}\]:[0-9]{{1,5}}|{_V6})$"


@dataclass(frozen=True)
class EndpointRule(Rule):
    """`host:port` as an `EndpointSpec` of weight 1."""

    def check(self, value: Any) -> EndpointSpec:
        if not isinstance(value, str):
            raise fault(f"an endpoint is text, not {shown(value)}", 'write "10.0.0.1:8080"')
        return EndpointSpec(*_endpoint(value))

    def schema(self) -> Schema:
        return {"type": "string", "pattern": ENDPOINT_PATTERN, "examples": ["10.0.0.1:8080"]}


@dataclass(frozen=True)
class DnsRule(Rule):
    """`name:port`, whose addresses are the endpoints."""

    def check(self, value: Any) -> Discovery:
        if not isinstance(value, str):
            raise fault(f"needs a name and a port, not {shown(value)}", "write web.acme.svc:8080")
        if is_name(value):
            raise fault(f'"{value}" has no port', f"write for example {value}:8080")
        host, port = _endpoint(value)
        if is_address(host):
            raise fault(
                f'"{value}" is an address, which needs no looking up',
                f'write endpoints: ["{value}"] instead of discovery',
            )
        return Discovery("dns", host, port)

    def schema(self) -> Schema:
        return {"type": "string", "pattern": ENDPOINT_PATTERN, "examples": ["web.acme.svc:8080"]}


@dataclass(frozen=True)
class SrvRule(Rule):
    """A name that has SRV records (RFC 2782)."""

    def check(self, value: Any) -> Discovery:
        example = "write for example _web._tcp.acme.svc"
        if not isinstance(value, str):
            raise fault(f"needs a name, not {shown(value)}", example)
        name, colon, _ = value.partition(":")
        if colon and is_name(name):
            raise fault(f'"{value}" has a port', f"write {name}, its records say the ports")
        if not is_name(value):
            raise fault(f"{_quoted(value)} is not a name", example)
        return Discovery("srv", value)

    def schema(self) -> Schema:
        return _name_schema("_web._tcp.acme.svc")


@dataclass(frozen=True)
class ServerNameRule(Rule):
    """A name for SNI, and to hold a certificate against; no address (RFC 6066, section 3)."""

    def check(self, value: Any) -> str:
        example = "write for example web.example.com"
        if not isinstance(value, str):
            raise fault(f"needs a name, not {shown(value)}", example)
        if is_address(_inner(value)):
            raise fault(
                f"{_quoted(value)} is an address, not a name",
                "leave it out, and certificates are held against the endpoints' own addresses",
            )
        if not is_name(value):
            raise fault(f"{_quoted(value)} is not a name", example)
        if value.endswith("."):
            raise fault(f'"{value}" ends with a dot', f"write {value[:-1]}")
        return value

    def schema(self) -> Schema:
        return _name_schema("web.example.com")


@dataclass(frozen=True)
class DnsServerRule(Rule):
    """`address` or `address:port` of a name server."""

    def check(self, value: Any) -> str:
        example = "write for example 10.0.0.2 or 10.0.0.2:53"
        if not isinstance(value, str):
            raise fault(f"a name server is text, not {shown(value)}", example)
        if "%" in value:
            # c-ares takes a zone without a port only, and ignores one that is not there.
            raise fault(f'"{value}" has a zone', "write an address without, or use resolv.conf")
        if is_address(value):
            return value
        if is_address(_inner(value)):
            raise fault(f'"{value}" has brackets and no port', f'write "{value}:53"')
        if is_name(value):
            raise fault(f'"{value}" is not an IP address', f"{example}, names need a server first")
        if not is_address(_endpoint(value)[0]):
            raise fault(f'"{value}" has no IP address', f"{example}, names need a server first")
        return value

    def schema(self) -> Schema:
        return {"type": "string", "pattern": SERVER_PATTERN, "examples": ["10.0.0.2:53"]}


def _endpoint(text: str) -> tuple[str, int]:
    """Return host and port; raise our kind of error."""
    try:
        return parse_endpoint(text)
    except ValueError as error:
        message, _, hint = str(error).rpartition(", write ")
        raise fault(message, f"write {hint}") from None


def _inner(text: str) -> str:
    """Take away the brackets around an address."""
    return text[1:-1] if text.startswith("[") and text.endswith("]") else text


def _quoted(text: str) -> str:
    return shown(text).removeprefix("the text ")


def _name_schema(example: str) -> Schema:
    return {
        "type": "string",
        "pattern": NAME_PATTERN,
        "maxLength": MAX_NAME,
        "examples": [example],
    }


EndpointText = Annotated[EndpointSpec, EndpointRule()]
DnsText = Annotated[Discovery, DnsRule()]
SrvText = Annotated[Discovery, SrvRule()]
ServerName = Annotated[str, ServerNameRule()]
DnsServer = Annotated[str, DnsServerRule()]
