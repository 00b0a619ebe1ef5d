"""Every error the program raises on purpose.

* TenantProxyError
    * DocumentError          bad input; the last good state stays
        * NotSupportedYet    a key of the contract that a later version brings
    * PortError              a port cannot be had
        * PortTaken              a foreign process has it
        * PortClash              another listener, or our own admin or metrics port, has it
        * PortReserved           it cools down for its last owner
        * PortPrivileged         the process may not bind it
        * PortOutsideRange       not in `proxy.port_range`
        * PortRangeFull          no free number is left for an automatic port
    * ListenFailed           a socket cannot be had for another reason
        * FdLimit                the process has no file descriptors left
    * TlsFiles               certificates or keys that cannot be used
    * Unresolved             a name that gives no address or no service
    * NoVerdict              a judge or a gate of a rollout gave no answer that can be used
    * NotFound               no such tenant, listener or upstream
    * Conflict               the request does not fit the present state
        * StaleVersion           `If-Match` names an older version
        * WakeTimeout            the listener did not open in time
        * RolloutOwnsSplit       a rollout on its way decides about that split
    * GoingDown              the daemon takes no changes any more
    * Unauthorized           no token, or a wrong one
    * AddressRefused         the API may not be bound where it was asked to
    * ServerUnreachable      the command line cannot reach the daemon

`code` is stable: it is the API field, the metric label and the log key.
`blame` says who has to act; `hint` is the way out, one sentence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

Blame = Literal["user", "environment", "us"]


class TenantProxyError(Exception):
    """Root. `str(error)` is one sentence without a full stop."""

    code: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500
    blame: ClassVar[Blame] = "us"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a document, and where."""

    message: str
    path: str = ""
    """Dotted path inside the document, such as `tenants.acme.listeners.web.port`."""
    file: str | None = None
    line: int | None = None
    """Counted from 1."""
    column: int | None = None
    """Counted from 1."""
    hint: str | None = None
    code: str = "document_invalid"

    def __str__(self) -> str:
        """Return `file:line:column: path: message (hint)`, leaving out what is not known."""
        place = ":".join(str(p) for p in (self.file, self.line, self.column) if p is not None)
        head = ": ".join(p for p in (place, self.path) if p)
        tail = f" ({self.hint})" if self.hint else ""
        return f"{head}: {self.message}{tail}" if head else f"{self.message}{tail}"


class DocumentError(TenantProxyError):
    """A document is refused; carries every problem found, in document order."""

    code, http_status, blame = "document_invalid", 422, "user"

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(map(str, problems)) or "the document is invalid")
        self.problems = problems


class NotSupportedYet(DocumentError):
    """The document uses a key that the contract has and this version lacks."""

    code = "not_supported_yet"


class PortError(TenantProxyError):
    """A port cannot be had."""

    code, http_status = "port_error", 409
    blame: ClassVar[Blame] = "user"


class PortTaken(PortError):
    """A process that is not ours listens there."""

    code, blame, retryable = "port_taken", "environment", True


class PortClash(PortError):
    """Two of our own things want one port."""

    code = "port_clash"


class PortReserved(PortError):
    """The number still belongs to the tenant that had it last."""

    code = "port_reserved"


class PortPrivileged(PortError):
    """The process may not bind so low a number."""

    code = "port_privileged"


class PortOutsideRange(PortError):
    """The number is not in `proxy.port_range`."""

    code = "port_outside_range"


class PortRangeFull(PortError):
    """No number of `proxy.port_range` is free for an automatic port."""

    code = "port_range_full"


class ListenFailed(TenantProxyError):
    """A listening socket cannot be had for a reason other than its number."""

    code, http_status, blame, retryable = "listen_failed", 503, "environment", True


class FdLimit(ListenFailed):
    """The process has no file descriptors left for what was asked."""

    code = "fd_limit"


class TlsFiles(TenantProxyError):
    """A file of certificates or keys cannot be used."""

    code, http_status, blame = "tls_files", 422, "user"


class Unresolved(TenantProxyError):
    """A look-up of a name gave nothing; `why` is the part after the colon, for people."""

    code, http_status, blame, retryable = "unresolved", 502, "environment", True

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name.rstrip('.') or name} does not resolve: {why}")
        self.why = why


class NoVerdict(TenantProxyError):
    """A judge or a gate of a rollout gave no answer that can be used; the text says why."""

    code, http_status, blame, retryable = "no_verdict", 502, "environment", True


class NotFound(TenantProxyError):
    """No tenant, listener or upstream of that name."""

    code, http_status, blame = "not_found", 404, "user"


class Conflict(TenantProxyError):
    """The request does not fit the present state."""

    code, http_status = "conflict", 409
    blame: ClassVar[Blame] = "user"


class StaleVersion(Conflict):
    """`If-Match` names a version that is no longer the present one."""

    code, http_status = "stale_version", 412


class WakeTimeout(Conflict):
    """The listener did not open within its `wake.timeout`."""

    code, http_status, blame, retryable = "wake_timeout", 504, "environment", True


class RolloutOwnsSplit(Conflict):
    """A rollout that is on its way decides about the split that was to be changed."""

    code = "rollout_owns_split"


class GoingDown(TenantProxyError):
    """The daemon ends and takes no changes any more."""

    code, http_status, blame, retryable = "going_down", 503, "environment", True


class Unauthorized(TenantProxyError):
    """No token was sent, or a wrong one."""

    code, http_status, blame = "unauthorized", 401, "user"


class AddressRefused(TenantProxyError):
    """The API or metrics server may not, or cannot, be bound where it was asked to."""

    code, blame = "address_refused", "user"


class ServerUnreachable(TenantProxyError):
    """The command line cannot reach the daemon."""

    code, blame, retryable = "server_unreachable", "environment", True
