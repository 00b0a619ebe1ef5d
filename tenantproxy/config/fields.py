"""The kinds of value a document holds: each checks one and says what to write instead.

Every class here is metadata of an `Annotated` type. It replaces pydantic's own
check of the type, so nothing is converted in silence (strict) and no message
is pydantic's; the JSON schema of the same rule stands beside the check.
"""

from __future__ import annotations

import ipaddress
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from tenantproxy.config.suggest import did_you_mean
from tenantproxy.config.units import (
    MAX_DURATION_S,
    format_duration,
    format_share,
    parse_duration_s,
    parse_share,
)

NAME_PATTERN = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
DURATION_PATTERN = r"^[0-9]{1,20}(\.[0-9]{1,400})?(ms|s|m|h|d)$"
SHARE_PATTERN = r"^(100(\.0{1,2})?|[0-9]{1,2}(\.[0-9]{1,2})?)%$"
PART_PATTERN = r"^(1000(\.0{1,2})?|[0-9]{1,3}(\.[0-9]{1,2})?)%$"
RANGE_PATTERN = "^[0-9]{1,5}-[0-9]{1,5}$"
ENDPOINT_PATTERN = r"^(\[[0-9a-fA-F:.%\w]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}$"
MAX_PORT = 65_535

Schema = dict[str, Any]


def fault(
    message: str,
    hint: str | None = None,
    *,
    code: str = "document_invalid",
    key: str | None = None,
    inside: tuple[str | int, ...] = (),
) -> PydanticCustomError:
    """Return the error that tells pydantic what is wrong, in our words.

    Where something is checked as a whole, `key` is the key of it that is at fault, or `inside`
    the path to the value that is.
    """
    context = {"message": message, "hint": hint, "code": code, "key": key, "inside": inside}
    return PydanticCustomError("fault", "{message}", context)


def shown(value: object) -> str:
    """Return a short name of a value for a message: `the text "x"`, `the number 5`, `a list`."""
    if value is None:
        return "an empty value"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return f'the text "{value[:60]}…"' if len(value) > 60 else f'the text "{value}"'  # noqa: PLR2004
    return "a list" if isinstance(value, list) else "a mapping"


class Rule(ABC):
    """Base of the metadata: a check and the schema of what passes it."""

    @abstractmethod
    def check(self, value: Any) -> Any:
        """Return the value for the model; raise `fault(...)`."""

    @abstractmethod
    def schema(self) -> Schema:
        """Return the JSON schema of what passes."""

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> Schema:
        return self.schema()


@dataclass(frozen=True)
class NameRule(Rule):
    """A name of a tenant, listener, upstream or policy."""

    def check(self, value: Any) -> str:
        if not isinstance(value, str):
            raise fault(f"a name is text, not {shown(value)}", "put it in quotes")
        if _NAME.fullmatch(value) is None:
            better = re.sub(r"[^a-z0-9]+", "-", value.lower()).strip("-")[:63].strip("-")
            rule = "1 to 63 of a-z, 0-9 and -, with no - at either end"
            hint = f"{rule}; write for example {better}" if better else rule
            raise fault(f"{shown(value).removeprefix('the text ')} is not a name", hint)
        return value

    def schema(self) -> Schema:
        return {"type": "string", "pattern": NAME_PATTERN}


@dataclass(frozen=True)
class DurationRule(Rule):
    """A duration in seconds, written with its unit."""

    zero: bool = False
    least_s: float = 0.0
    most_s: float = MAX_DURATION_S

    def check(self, value: Any) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            raise fault("a duration needs a unit", f"write {value}s")
        if not isinstance(value, str):
            raise fault(f"needs a duration, not {shown(value)}", "write for example 5s")
        try:
            seconds = parse_duration_s(value)
        except ValueError as error:
            message, _, hint = str(error).partition(", ")
            raise fault(message, hint or None) from None
        if seconds == 0 and not self.zero:
            raise fault("must be longer than 0s", "write for example 5s")
        least, most = format_duration(self.least_s), format_duration(self.most_s)
        if seconds < self.least_s:
            raise fault(f"{value} is shorter than {least}", f"write {least} to {most}")
        if seconds > self.most_s:
            raise fault(f"{value} is longer than {most}", f"write {most} or less")
        return seconds

    def schema(self) -> Schema:
        """A pattern cannot say which of two durations is longer: the bounds stand in words."""
        return {"type": "string", "pattern": DURATION_PATTERN, "examples": ["5s", "15m"]}


@dataclass(frozen=True)
class ShareRule(Rule):
    """A share of a whole as a number from 0 to 1, written in percent.

    With `most` above 1 it is a part of something else than its whole, up to 1000 %.
    """

    most: float = 1.0

    def check(self, value: Any) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            raise fault("a share needs a percent sign", self._better(value))
        if not isinstance(value, str):
            raise fault(f"needs a share, not {shown(value)}", "write for example 10%")
        try:
            share = parse_share(value, max(self.most, 1.0))
        except ValueError as error:
            message, _, hint = str(error).partition(", ")
            raise fault(message, hint) from None
        if share > self.most:
            most = format_share(self.most)
            raise fault(f"{value} is above {most}", f"write {most} or less")
        if (_SHARE if self.most <= 1 else _PART).fullmatch(value) is None:
            better = f"write {format_share(round(share, 4))}, with two decimals at most"
            raise fault(f'"{value[:40]}" is not how a share is written', better)
        return share

    def _better(self, value: float) -> str:
        """Below 1 it was meant as a fraction: nobody writes half a percent without its sign."""
        percent = value * 100 if 0 < value < 1 else value
        return f"write {percent:g}%" if 0 <= percent <= self.most * 100 else "write for example 10%"

    def schema(self) -> Schema:
        pattern = SHARE_PATTERN if self.most <= 1 else PART_PATTERN
        return {"type": "string", "pattern": pattern, "examples": ["10%"]}


@dataclass(frozen=True)
class WholeRule(Rule):
    """A whole number between two bounds, both included."""

    low: int
    high: int

    def check(self, value: Any) -> int:
        span = f"a whole number from {self.low} to {self.high}"
        if isinstance(value, str) and value.isascii() and value.isdigit():
            raise fault(f"needs {span}, not text", "remove the quotes")
        if isinstance(value, bool) or not isinstance(value, int):
            raise fault(f"needs {span}, not {shown(value)}")
        if not self.low <= value <= self.high:
            raise fault(f"needs {span}, not {value}")
        return value

    def schema(self) -> Schema:
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True)
class SwitchRule(Rule):
    """True or false."""

    def check(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise fault(f"needs true or false, not {shown(value)}", "write true or false, unquoted")
        return value

    def schema(self) -> Schema:
        return {"type": "boolean"}


@dataclass(frozen=True)
class ChoiceRule(Rule):
    """One of some words; `later` are words of the contract that this version lacks."""

    names: tuple[str, ...]
    later: tuple[str, ...] = ()

    def check(self, value: Any) -> str:
        if isinstance(value, str):
            if value in self.names:
                return value
            if value in self.later:
                raise fault(
                    f'"{value}" is not supported yet',
                    f"this version knows {listed(self.names)}",
                    code="not_supported_yet",
                )
        raise fault(
            f"needs {listed(self.names)}, not {shown(value)}", did_you_mean(value, self.names)
        )

    def schema(self) -> Schema:
        return {"enum": list(self.names)}


@dataclass(frozen=True)
class TextRule(Rule):
    """Printable text with a longest length."""

    longest: int
    what: str
    example: str
    empty: bool = False

    def check(self, value: Any) -> str:
        if not isinstance(value, str):
            hint = f'put it in quotes: "{value}"'
            if value is None or isinstance(value, list | dict | bool):
                hint = f'write for example "{self.example}"'
            raise fault(f"{self.what} is text, not {shown(value)}", hint)
        if not value and not self.empty:
            raise fault(f"{self.what} is empty", f"write for example {self.example}")
        if len(value) > self.longest:
            raise fault(f"{self.what} is longer than {self.longest} characters")
        if not value.isprintable():
            raise fault(f"{self.what} has a character that cannot be printed")
        return value

    def schema(self) -> Schema:
        least = {} if self.empty else {"minLength": 1}
        return {"type": "string", "maxLength": self.longest, **least}


@dataclass(frozen=True)
class AddressRule(Rule):
    """An IP address to bind."""

    def check(self, value: Any) -> str:
        if not isinstance(value, str):
            raise fault(f"needs an IP address, not {shown(value)}", "write for example 127.0.0.1")
        try:
            ipaddress.ip_address(value)
        except ValueError:
            raise fault(f'"{value}" is not an IP address', _better_address(value)) from None
        return value

    def schema(self) -> Schema:
        return {"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]}


@dataclass(frozen=True)
class RangeRule(Rule):
    """First and last port number, both included."""

    def check(self, value: Any) -> tuple[int, int]:
        hint = 'write it as "20000-29999"'
        if not isinstance(value, str):
            raise fault(f"needs a range of ports, not {shown(value)}", hint)
        match = _RANGE.fullmatch(value)
        if match is None:
            raise fault(f'"{value}" is not a range of ports', hint)
        first, last = int(match[1]), int(match[2])
        if not (1 <= first <= MAX_PORT and 1 <= last <= MAX_PORT):
            raise fault(f"a port is a number from 1 to {MAX_PORT}", hint)
        if first > last:
            raise fault(f"{first} is above {last}", f"write {last}-{first}")
        return first, last

    def schema(self) -> Schema:
        return {"type": "string", "pattern": RANGE_PATTERN, "examples": ["20000-29999"]}


@dataclass(frozen=True)
class WorkersRule(Rule):
    """`auto` (None) or a number of processes."""

    high: int = 256

    def check(self, value: Any) -> int | None:
        if value == "auto":
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= self.high:
            raise fault(f"needs auto or a whole number from 1 to {self.high}, not {shown(value)}")
        return value

    def schema(self) -> Schema:
        number = {"type": "integer", "minimum": 1, "maximum": self.high}
        return {"anyOf": [{"const": "auto"}, number]}


@dataclass(frozen=True)
class VersionRule(Rule):
    """The number of the document's format; there is one so far."""

    def check(self, value: Any) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and value == 1:
            return value
        raise fault(f"{shown(value)} is not a version this program reads", "write version: 1")

    def schema(self) -> Schema:
        return {"const": 1}


def listed(names: tuple[str, ...]) -> str:
    """Return `a`, `a or b`, `a, b or c`."""
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _better_address(value: str) -> str:
    if value == "localhost":
        return "write 127.0.0.1"
    if value in ("", "*"):
        return "write 0.0.0.0 for every IPv4 address, or :: for IPv4 and IPv6"
    if value.startswith("["):
        return "write it without the brackets"
    return "write an address of this host, such as 127.0.0.1 or 0.0.0.0; names are not looked up"


_NAME = re.compile(NAME_PATTERN[:-1])
_SHARE = re.compile(SHARE_PATTERN[1:-1])
_PART = re.compile(PART_PATTERN[1:-1])
_RANGE = re.compile(r"([0-9]{1,5}) ?- ?([0-9]{1,5})")

Check = Callable[[Any], Any]
Name = Annotated[str, NameRule()]
Duration = Annotated[float, DurationRule()]
DurationOrZero = Annotated[float, DurationRule(zero=True)]
Share = Annotated[float, ShareRule()]
Port = Annotated[int, WholeRule(1, MAX_PORT)]
OwnPort = Annotated[int, WholeRule(0, MAX_PORT)]
"""0 lets the kernel choose, which tests and several daemons on one host need."""
Switch = Annotated[bool, SwitchRule()]
Address = Annotated[str, AddressRule()]
