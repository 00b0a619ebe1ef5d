"""The shape of what is wrong with an endpoint: active checks, and ejection of outliers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import ConfigDict, model_validator

from tenantproxy.config.fields import (
    Duration,
    DurationRule,
    Port,
    Rule,
    Schema,
    Share,
    ShareRule,
    WholeRule,
    fault,
    shown,
)
from tenantproxy.config.strict import Strict, one_of
from tenantproxy.config.units import format_duration
from tenantproxy.model.spec import HealthRule, HttpCheck, OutlierRule, TcpCheck

CODES_PATTERN = "^[1-5][0-9]{2}-[1-5][0-9]{2}$"
PATH_PATTERN = "^/[!-~]*$"
HOST_PATTERN = r"^([A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?$"
LOWEST_CODE, HIGHEST_CODE = 100, 599
MAX_BYTES = 4096
MAX_PATH = 2048
MAX_HOST = 260
MAX_RANGES = 16

_HEALTH = HealthRule()
_HTTP = HttpCheck()
_OUTLIER = OutlierRule()

Codes = tuple[int, int]


@dataclass(frozen=True)
class BytesRule(Rule):
    """Text whose bytes in UTF-8 travel; control characters are part of many protocols."""

    def check(self, value: Any) -> bytes:
        if not isinstance(value, str):
            raise fault(f"needs text, not {shown(value)}", 'write for example "PING\\r\\n"')
        if not value:
            raise fault("is empty", "leave it out")
        try:
            found = value.encode()
        except UnicodeEncodeError:
            raise fault("has half of a character", "write whole characters") from None
        if len(found) > MAX_BYTES:
            raise fault(f"is longer than {MAX_BYTES} bytes")
        return found

    def schema(self) -> Schema:
        return {"type": "string", "minLength": 1, "maxLength": MAX_BYTES}


@dataclass(frozen=True)
class CodesRule(Rule):
    """Codes of HTTP as ranges: `200-399`, `200`, or a list of such."""

    def check(self, value: Any) -> tuple[Codes, ...]:
        if not isinstance(value, list):
            return (_codes(value),)
        if not 1 <= len(value) <= MAX_RANGES:
            raise fault(f"needs 1 to {MAX_RANGES} ranges, not {len(value)}", "write [200, 301-302]")
        return tuple(_codes(one) for one in value)

    def schema(self) -> Schema:
        code = {"type": "integer", "minimum": LOWEST_CODE, "maximum": HIGHEST_CODE}
        one = [code, {"type": "string", "pattern": CODES_PATTERN}]
        many = {"type": "array", "items": {"anyOf": one}, "minItems": 1, "maxItems": MAX_RANGES}
        return {"anyOf": [*one, many]}


def _codes(value: Any) -> Codes:
    example = "write for example 200-399, 204 or [200, 301-302]"
    if isinstance(value, int) and not isinstance(value, bool):
        low = high = value
    elif isinstance(value, str) and value.isascii() and value.isdigit():
        raise fault("a single code is a number, not text", "remove the quotes")
    elif isinstance(value, str) and (match := _RANGE.fullmatch(value)):
        low, high = int(match[1]), int(match[2])
    else:
        raise fault(f"needs codes of HTTP, not {shown(value)}", example)
    if not (LOWEST_CODE <= low <= HIGHEST_CODE and LOWEST_CODE <= high <= HIGHEST_CODE):
        raise fault(f"a code of HTTP is a number from {LOWEST_CODE} to {HIGHEST_CODE}", example)
    if low > high:
        raise fault(f"{low} is above {high}", f"write {high}-{low}")
    return low, high


@dataclass(frozen=True)
class PathRule(Rule):
    """What is asked for, as it stands in the request (RFC 9112, section 3.2.1)."""

    def check(self, value: Any) -> str:
        if not isinstance(value, str):
            raise fault(f"a path is text, not {shown(value)}", "write for example /healthz")
        if "://" in value:
            raise fault(f"{_quoted(value)} is a URL", "write the path only, such as /healthz")
        if not value.startswith("/"):
            better = f"/{value}" if _PATH.fullmatch(f"/{value}") else "for example /healthz"
            raise fault(f"{_quoted(value)} does not begin with /", f"write {better}")
        if _PATH.fullmatch(value) is None:
            raise fault(
                f"{_quoted(value)} has a character that no path has",
                "write spaces and letters beyond ASCII as %20 and the like",
            )
        if len(value) > MAX_PATH:
            raise fault(f"a path is no longer than {MAX_PATH} characters")
        return value

    def schema(self) -> Schema:
        return {"type": "string", "pattern": PATH_PATTERN, "maxLength": MAX_PATH}


@dataclass(frozen=True)
class HostRule(Rule):
    """What stands in the Host header: a name or an address, with or without a port."""

    def check(self, value: Any) -> str:
        example = "write for example web.example.com"
        if not isinstance(value, str):
            raise fault(f"a host is text, not {shown(value)}", example)
        if len(value) > MAX_HOST or _HOST.fullmatch(value) is None:
            raise fault(f"{_quoted(value)} is not a host", example)
        return value

    def schema(self) -> Schema:
        return {"type": "string", "pattern": HOST_PATTERN, "maxLength": MAX_HOST}


def _quoted(text: str) -> str:
    return shown(text).removeprefix("the text ")


_RANGE = re.compile(r"([0-9]{1,5})-([0-9]{1,5})")
_PATH = re.compile(PATH_PATTERN[1:-1])
_HOST = re.compile(HOST_PATTERN[1:-1])


class TcpCheckDoc(Strict):
    """Connect, and perhaps talk."""

    send: Annotated[bytes, BytesRule()] | None = None
    """Text that is sent after connecting; `"PING\\r\\n"` in double quotes ends with a line end."""
    expect: Annotated[bytes, BytesRule()] | None = None
    """Text that the answer must hold; without `send` the endpoint is expected to speak first."""

    def to_spec(self) -> TcpCheck:
        return TcpCheck(self.send or b"", self.expect or b"")


class HttpCheckDoc(Strict):
    """GET a path and look at the code of the answer."""

    path: Annotated[str, PathRule()] = _HTTP.path
    """What is asked for."""
    host: Annotated[str, HostRule()] | None = None
    """The Host header; left out: the endpoint as it is written here."""
    expect: Annotated[tuple[Codes, ...], CodesRule()] = _HTTP.expect
    """Codes that are well: a range, a number, or a list of both."""

    def to_spec(self) -> HttpCheck:
        return HttpCheck(self.path, self.host, self.expect)


class HealthDoc(Strict):
    """How endpoints are checked while a listener that uses them is awake."""

    model_config = ConfigDict(json_schema_extra=one_of("tcp", "http"))
    tcp: TcpCheckDoc | None = None
    """Connect, and perhaps talk; `{}`: connecting is enough."""
    http: HttpCheckDoc | None = None
    """GET a path and look at the code of the answer."""
    every: Annotated[float, DurationRule(least_s=0.1, most_s=3600.0)] = _HEALTH.every_s
    """Time from one check of an endpoint to the next, `100ms` to `1h`."""
    timeout: Annotated[float, DurationRule(most_s=60.0)] = _HEALTH.timeout_s
    """Longest time that one check may take, connecting included; `1m` at most."""
    fall: Annotated[int, WholeRule(1, 100)] = _HEALTH.fall
    """So many failed checks in a row make an endpoint unhealthy."""
    rise: Annotated[int, WholeRule(1, 100)] = _HEALTH.rise
    """So many passed checks in a row make it healthy again."""
    jitter: Annotated[float, ShareRule(0.5)] = _HEALTH.jitter
    """Share of `every` by which a check may come earlier or later."""
    port: Port | None = None
    """Port to check; left out: the endpoint's own."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.tcp is None and self.http is None:
            raise fault("needs tcp or http", "write {tcp: {}} or {http: {path: /healthz}}")
        if self.tcp is not None and self.http is not None:
            raise fault("a check is tcp or http, not both", "remove one of the two", key="http")
        return self

    def to_spec(self) -> HealthRule:
        return HealthRule(
            tcp=None if self.tcp is None else self.tcp.to_spec(),
            http=None if self.http is None else self.http.to_spec(),
            every_s=self.every,
            timeout_s=self.timeout,
            fall=self.fall,
            rise=self.rise,
            jitter=self.jitter,
            port=self.port,
        )


class OutlierDoc(Strict):
    """When an endpoint that fails connections is left out for a while."""

    consecutive_failures: Annotated[int, WholeRule(1, 1000)] = _OUTLIER.consecutive_failures
    """Failed connects, or resets before the first byte, in a row."""
    eject_for: Duration = _OUTLIER.eject_for_s
    """Length of the first ejection; the next ones are 2, 3, ... times as long."""
    eject_for_most: Duration = _OUTLIER.eject_for_most_s
    """Longest ejection; left out: `eject_for` if that is longer."""
    max_ejected: Share = _OUTLIER.max_ejected
    """Share of the endpoints that may be ejected at once; one always may, the last never."""

    @model_validator(mode="after")
    def _longest_is_longer(self) -> Self:
        most = self.eject_for_most
        if "eject_for_most" in self.model_fields_set and most < self.eject_for:
            first = format_duration(self.eject_for)
            raise fault(
                f"{format_duration(most)} is shorter than eject_for, which is {first}",
                f"write {first} or longer",
                key="eject_for_most",
            )
        return self

    def to_spec(self) -> OutlierRule:
        """Return the one default object for defaults: it is kept by the thousand."""
        rule = OutlierRule(
            self.consecutive_failures,
            self.eject_for,
            max(self.eject_for, self.eject_for_most),
            self.max_ejected,
        )
        return _OUTLIER if rule == _OUTLIER else rule
