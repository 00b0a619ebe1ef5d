"""Kinds of value of a rollout: bounds of signals, URLs of judges, queries, pace, preview port.

As in `config.fields`, each checks one value and says what to write instead.
What a bound may be depends on the signal that stands beside it in the mapping.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import GetCoreSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, core_schema

from tenantproxy.config.endpoints import MAX_PORT, is_address, is_name
from tenantproxy.config.fields import (
    DURATION_PATTERN,
    PART_PATTERN,
    SHARE_PATTERN,
    DurationRule,
    Rule,
    Schema,
    ShareRule,
    WholeRule,
    fault,
    shown,
)
from tenantproxy.config.suggest import did_you_mean
from tenantproxy.config.units import (
    format_size,
    parse_share_rate,
    parse_size_bytes,
)
from tenantproxy.model.sides import BYTE_BOUNDS, TIME_BOUNDS_S
from tenantproxy.model.signal_names import SHARES, SIGNAL_NAMES, SIZES, parse_signal

SIZE_PATTERN = r"^[0-9]{1,20}(\.[0-9]{1,400})?([KMGT]iB|[kKMGT]?B)$"
PACE_PATTERN = r"^(100(\.0{1,2})?|[0-9]{1,2}(\.[0-9]{1,2})?)%/(s|m|h)$"
CHECK_PATTERN = "^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$"
_HOST = r"([A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?"
URL_PATTERN = rf'^https?://{_HOST}([/?][!"$-~]*)?$'
QUERY_PATH = "/api/v1/query"
MAX_URL = 2048
MAX_QUERY = 8192
MOST_PART = 10.0
"""A quantile of the canary may be allowed to be so many times above that of stable."""
BUILT_IN = "endpoints"
"""Name of the check that every rollout has."""
FILLED_IN = ("tenant", "listener", "stable", "canary", "interval")
"""What is filled in where a query has it in double braces."""

Kind = Literal["share", "time", "size", "shape"]


def kind_of(signal: str) -> Kind:
    """Return what the value of a signal is, by its whole name."""
    found = parse_signal(signal)
    if found is None:
        raise ValueError(f"{signal} is not a signal")
    if found[0] in SHARES:
        return "share"
    if found[1] is None:
        return "shape"
    return "size" if found[0] in SIZES else "time"


@dataclass(frozen=True)
class SignalRule(Rule):
    """The name of something that the proxy sees by itself."""

    def check(self, value: Any) -> str:
        if not isinstance(value, str):
            raise fault(f"a signal is text, not {shown(value)}", "write for example resets")
        if value.startswith("http_"):
            raise fault(
                f'"{value[:40]}" is not supported yet: it comes with HTTP ports',
                "of TCP there are for example connect_failures, resets and first_byte_p99",
                code="not_supported_yet",
            )
        if parse_signal(value) is None:
            known = f"known signals: {', '.join(SIGNAL_NAMES)}"
            hint = did_you_mean(value, SIGNAL_NAMES) or known
            raise fault(f"{_quoted(value)} is not a signal", hint)
        return value

    def schema(self) -> Schema:
        return {"enum": list(SIGNAL_NAMES)}


@dataclass(frozen=True)
class SizeRule(Rule):
    """A size in bytes, written with its unit."""

    most_bytes: int = BYTE_BOUNDS[-1]

    def check(self, value: Any) -> float:
        if isinstance(value, int) and not isinstance(value, bool):
            raise fault("a size needs a unit", f"write {value}B")
        if not isinstance(value, str):
            raise fault(f"needs a size, not {shown(value)}", "write for example 64KiB")
        try:
            size = parse_size_bytes(value)
        except ValueError as error:
            message, _, hint = str(error).partition(", ")
            raise fault(message, hint) from None
        if size > self.most_bytes:
            most = format_size(self.most_bytes)
            raise fault(f"{value[:40]} is more than {most}", f"write {most} or less")
        return float(size)

    def schema(self) -> Schema:
        return {"type": "string", "pattern": SIZE_PATTERN, "examples": ["64KiB"]}


class OfSignal(Rule):
    """Base of values that the signal beside them gives a meaning; None stays None.

    Without a signal the value is not looked at: the mapping as a whole refuses it then, and a
    signal that is wrong has been told of already.
    """

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(self._beside)

    def _beside(self, value: Any, info: ValidationInfo) -> Any:
        signal = info.data.get("signal")
        return value if value is None or signal is None else self.of(signal, value)

    def check(self, value: Any) -> Any:
        """Return it as it is: what it has to be is not known without its signal."""
        return value

    def of(self, signal: str, value: Any) -> float:
        """Return the value for the model; raise `fault(...)`."""
        raise NotImplementedError


class BoundRule(OfSignal):
    """`max`: a share, a time or a size; of a shape there is none."""

    def of(self, signal: str, value: Any) -> float:
        match kind_of(signal):
            case "share":
                return ShareRule().check(value)
            case "size":
                return SizeRule().check(value)
            case "time":
                return _TIME.check(value)
            case "shape":
                raise fault(
                    f"{signal} has no bound of its own: a shape is held against that of stable",
                    "write for example over_stable: 30%",
                )

    def schema(self) -> Schema:
        pattern = {"anyOf": [{"pattern": one} for one in _BOUNDS]}
        return {"type": ["string", "null"], **pattern, "examples": ["1%", "250ms", "64KiB"]}


class OverStableRule(OfSignal):
    """`over_stable`: points of a share, a part of a quantile, a distance of shapes."""

    def of(self, signal: str, value: Any) -> float:
        quantile = kind_of(signal) in {"time", "size"}
        return ShareRule(MOST_PART if quantile else 1.0).check(value)

    def schema(self) -> Schema:
        return {"type": ["string", "null"], "pattern": PART_PATTERN, "examples": ["2%", "50%"]}


class UnderRule(OfSignal):
    """`under`: the age of a connection that counts as closed early."""

    def of(self, signal: str, value: Any) -> float:
        if signal != "early_closes":
            raise fault("`under` belongs to early_closes only", "leave it out")
        return _TIME.check(value)

    def schema(self) -> Schema:
        return {"type": ["string", "null"], "pattern": DURATION_PATTERN, "examples": ["500ms"]}


@dataclass(frozen=True)
class CheckNameRule(Rule):
    """A name of a check: a metric label, so it may look as those of signals do."""

    def check(self, value: Any) -> str:
        if not isinstance(value, str):
            raise fault(f"a name is text, not {shown(value)}", "put it in quotes")
        if _CHECK.fullmatch(value) is None:
            rule = "1 to 63 of a-z, 0-9, - and _, with a letter or digit at either end"
            raise fault(f"{_quoted(value)} is not a name of a check", rule)
        if value == BUILT_IN:
            hint = "take another name"
            raise fault(f'"{value}" is the check that every rollout has by itself', hint)
        return value

    def schema(self) -> Schema:
        return {"type": "string", "pattern": CHECK_PATTERN, "not": {"const": BUILT_IN}}


@dataclass(frozen=True)
class UrlRule(Rule):
    """Where a judge or a gate is asked. `base`: the path of a query will be added to it."""

    base: bool = False

    def check(self, value: Any) -> str:
        example = f"write for example {self._example}"
        if not isinstance(value, str):
            raise fault(f"a URL is text, not {shown(value)}", example)
        scheme, found, rest = value.partition("://")
        host = re.split(r"[/?#]", rest, maxsplit=1)[0]
        if "@" in host:  # not shown: what stands before it is a secret
            raise fault(
                "a URL here has no user and no password",
                "take them out: many can read a document; ask something beside the daemon that "
                "knows them",
            )
        if not found:
            raise fault(f"{_quoted(value)} has no scheme", f"write http://{value[:40].lstrip('/')}")
        if scheme not in {"http", "https"}:
            raise fault(f"{_quoted(value)} is neither http nor https", example)
        if "#" in rest:
            raise fault("what stands behind # is never sent", "take it out")
        path = rest.partition("?")[0].rstrip("/")
        if self.base and path.endswith(QUERY_PATH):
            better = f"{scheme}://{path.removesuffix(QUERY_PATH)}"
            raise fault(f"{QUERY_PATH} is added to the URL", f"write {better}")
        if _URL.fullmatch(value) is None or not _is_host(host):
            raise fault(f"{_quoted(value)} is not a URL", example)
        if len(value) > MAX_URL:
            raise fault(f"a URL is no longer than {MAX_URL} characters")
        return value

    @property
    def _example(self) -> str:
        return "http://prometheus:9090" if self.base else "http://qa.acme.svc/check"

    def schema(self) -> Schema:
        url = {"type": "string", "pattern": URL_PATTERN, "maxLength": MAX_URL}
        return {**url, "examples": [self._example]}


@dataclass(frozen=True)
class QueryRule(Rule):
    """A query of PromQL with words in double braces that are filled in."""

    def check(self, value: Any) -> str:
        if not isinstance(value, str):
            raise fault(f"a query is text, not {shown(value)}", "write it in quotes, or below `|`")
        if not value.strip():
            raise fault("the query is empty", 'write for example sum(errors{job="{{canary}}"})')
        if len(value) > MAX_QUERY:
            raise fault(f"the query is longer than {MAX_QUERY} characters")
        if not value.replace("\n", "").replace("\t", "").isprintable():
            raise fault("the query has a character that cannot be printed")
        for match in _TEMPLATE.finditer(value):
            word = match[1]
            if word is None:
                raise fault("the query has {{ without }}", "write for example {{canary}}")
            if word not in FILLED_IN:
                known = ", ".join(f"{{{{{name}}}}}" for name in FILLED_IN)
                near = did_you_mean(word, FILLED_IN)
                hint = f"{near} Known are {known}" if near else f"known are {known}"
                raise fault(f"{{{{{word[:40]}}}}} is not something to fill in", hint)
        return value

    def schema(self) -> Schema:
        words = "|".join(FILLED_IN)
        # Without looking ahead, which engines such as Helm's cannot.
        pattern = rf"^([^{{]|\{{[^{{]|\{{\{{\s*({words})\s*\}}\}})*\{{?$"
        return {"type": "string", "minLength": 1, "maxLength": MAX_QUERY, "pattern": pattern}


@dataclass(frozen=True)
class NumberRule(Rule):
    """Any number."""

    def check(self, value: Any) -> float:
        if isinstance(value, str) and value.endswith("%"):
            raise fault(f"needs a number, not {shown(value)}", "write 0.01 for one percent")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise fault(f"needs a number, not {shown(value)}", "write for example 0.01, unquoted")
        if not math.isfinite(value):
            raise fault(f"{value} is not a number to compare with", "leave it out")
        return float(value)

    def schema(self) -> Schema:
        return {"type": "number"}


@dataclass(frozen=True)
class PaceRule(Rule):
    """A share of a time, `5%/m`, as a part in a second."""

    def check(self, value: Any) -> float:
        if not isinstance(value, str):
            raise fault(f"needs a share of a time, not {shown(value)}", "write for example 5%/m")
        try:
            pace = parse_share_rate(value)
        except ValueError as error:
            message, _, hint = str(error).partition(", ")
            raise fault(message, hint) from None
        if pace == 0:
            raise fault("a pace of nothing moves nothing", "leave it out, or write null")
        if _PACE.fullmatch(value) is None:
            better = "write for example 5%/m, with two decimals at most"
            raise fault(f"{_quoted(value)} is not how a pace is written", better)
        return pace

    def schema(self) -> Schema:
        return {
            "type": "string",
            "pattern": PACE_PATTERN,
            "not": {"pattern": r"^0{1,2}(\.0{1,2})?%"},
            "examples": ["5%/m"],
        }


@dataclass(frozen=True)
class PreviewRule(Rule):
    """`auto`, a port, or null for none."""

    def check(self, value: Any) -> Literal["auto"] | int | None:
        if value is None:
            return None
        if value == "auto":
            return "auto"
        if isinstance(value, bool) or not isinstance(value, int):
            raise fault(
                f"needs auto, a port or null, not {shown(value)}", did_you_mean(value, ("auto",))
            )
        return _PORT.check(value)

    def schema(self) -> Schema:
        return {"anyOf": [{"const": "auto"}, _PORT.schema(), {"type": "null"}]}


@dataclass(frozen=True)
class OnlyTrueRule(Rule):
    """`true`: what the key says is so because the key is there."""

    def check(self, value: Any) -> bool:
        if value is not True:
            raise fault(f"needs true, not {shown(value)}", "write true, or take the step out")
        return True

    def schema(self) -> Schema:
        return {"const": True}


def _is_host(authority: str) -> bool:
    """Say whether `host` or `host:port`, which look right, could be connected to."""
    host, colon, port = authority.rpartition(":")
    if not colon or authority.endswith("]"):
        host = authority
    elif not 1 <= int(port) <= MAX_PORT:
        return False
    if host.startswith("["):
        return is_address(host[1:-1]) and ":" in host
    return is_address(host) or is_name(host)


def _quoted(text: str) -> str:
    return shown(text).removeprefix("the text ")


_BOUNDS = (SHARE_PATTERN, DURATION_PATTERN, SIZE_PATTERN)
_CHECK = re.compile(CHECK_PATTERN[1:-1])
_URL = re.compile(URL_PATTERN[1:-1])
_PACE = re.compile(PACE_PATTERN[1:-1])
_TEMPLATE = re.compile(r"\{\{(?:\s*(.*?)\s*\}\})?", re.DOTALL)
_PORT = WholeRule(1, MAX_PORT)
_TIME = DurationRule(least_s=TIME_BOUNDS_S[0], most_s=TIME_BOUNDS_S[-1])
"""What is longer, or shorter, falls in the last, or first, bucket and cannot be told apart."""
