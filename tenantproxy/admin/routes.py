"""Every route of the API in one table: the router and the OpenAPI document are made from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tenantproxy.admin import changing, looking, rollouts
from tenantproxy.admin.api import Handler

_T = "/api/v1/tenants/{tenant}"
_L = _T + "/listeners/{listener}"
_R = _L + "/rollout"
_U = _T + "/upstreams/{upstream}"

_WRITES = ("dry_run",)
_ENDS = ("connections", "dry_run")


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path."""

    method: Literal["GET", "PUT", "POST", "DELETE"]
    path: str
    handler: Handler
    summary: str
    answer: str
    """Name of a shape in `shapes`; `XList` is `{"items": [X]}`."""
    query: tuple[str, ...] = ()
    """Parameters that it takes; any other is refused, for a typo in `dry_run` must not write."""
    body: str | None = None
    """Name of a shape of the document: tenant, listener, upstream, split, rollout, document."""
    errors: tuple[int, ...] = ()
    """Statuses that it answers besides those that any route may."""
    tagged: bool = False
    """Answers carry an ETag; if it writes, it takes If-Match and If-None-Match."""

    @property
    def operation(self) -> str:
        """The stable name for generated clients, such as `putListener`."""
        first, *rest = self.handler.__name__.replace("show_", "get_").split("_")
        name = first + "".join(word.capitalize() for word in rest)
        if self.path.startswith(_T) and name in (
            "listListeners",
            "listRollouts",
            "listUpstreams",
        ):
            return name.replace("list", "listTenant")
        return name


ROUTES: tuple[Route, ...] = (
    Route("GET", "/", looking.index, "Where things are", "Index"),
    Route("GET", "/livez", looking.livez, "Is the process alive?", "Live"),
    Route("GET", "/readyz", looking.readyz, "May it be sent traffic?", "Ready", errors=(503,)),
    Route("GET", "/api/v1/status", looking.show_status, "The daemon itself", "Status"),
    # Tenants
    Route(
        "GET", "/api/v1/tenants", looking.list_tenants, "All tenants", "TenantList", ("label",)
    ),
    Route("GET", _T, looking.show_tenant, "One tenant", "Tenant", errors=(404,), tagged=True),
    Route(
        "PUT", _T, changing.put_tenant, "Make or replace a tenant with all that it owns",
        "TenantWritten", _WRITES, "tenant", (409, 412, 413, 415, 422, 503), tagged=True,
    ),
    Route(
        "DELETE", _T, changing.delete_tenant, "Remove a tenant and all its ports",
        "Changes", _ENDS, None, (404, 412), tagged=True,
    ),
    # Listeners
    Route("GET", "/api/v1/listeners", looking.list_listeners, "All listeners", "ListenerList"),
    Route(
        "GET", _T + "/listeners", looking.list_listeners, "The listeners of a tenant",
        "ListenerList", errors=(404,),
    ),
    Route(
        "GET", _L, looking.show_listener, "One listener", "Listener", errors=(404,), tagged=True
    ),
    Route(
        "PUT", _L, changing.put_listener, "Make or replace a listener",
        "ListenerWritten", _WRITES, "listener", (404, 409, 412, 413, 415, 422, 503), tagged=True,
    ),
    Route(
        "DELETE", _L, changing.delete_listener, "Remove a listener and close its port",
        "Changes", _ENDS, None, (404, 412), tagged=True,
    ),
    Route(
        "POST", _L + "/open", changing.open_listener,
        "Open the port; answers when clients are accepted",
        "ListenerWritten", _WRITES, None, (404, 409, 503, 504),
    ),
    Route(
        "POST", _L + "/sleep", changing.sleep_listener,
        "Put the port to sleep; the next connection wakes it",
        "ListenerWritten", _ENDS, None, (404, 409, 503),
    ),
    Route(
        "POST", _L + "/close", changing.close_listener,
        "Close the port; the number stays reserved, `open` opens it again",
        "ListenerWritten", _ENDS, None, (404, 409, 503),
    ),
    Route(
        "GET", _L + "/split", looking.show_split, "The weights of a listener", "Split",
        errors=(404,), tagged=True,
    ),
    Route(
        "PUT", _L + "/split", changing.put_split, "Reweigh a listener; connections stay",
        "ListenerWritten", _WRITES, "split", (404, 409, 412, 413, 415, 422), tagged=True,
    ),
    # Rollouts
    Route("GET", "/api/v1/rollouts", rollouts.list_rollouts, "All rollouts", "RolloutList"),
    Route(
        "GET", _T + "/rollouts", rollouts.list_rollouts, "The rollouts of a tenant",
        "RolloutList", errors=(404,),
    ),
    Route(
        "GET", _R, rollouts.show_rollout, "How far a rollout is, and why", "Rollout",
        errors=(404,), tagged=True,
    ),
    Route(
        "PUT", _R, rollouts.put_rollout,
        "Give a listener a rollout; another one than before begins anew",
        "RolloutWritten", _WRITES, "rollout", (404, 409, 412, 413, 415, 422, 503), tagged=True,
    ),
    Route(
        "DELETE", _R, rollouts.delete_rollout,
        "Take the rollout away; one on its way ends, and the declared split is in force",
        "Changes", _WRITES, None, (404, 409, 412), tagged=True,
    ),
    Route(
        "POST", _R + "/start", rollouts.start_rollout, "Start it, or start again after its end",
        "RolloutWritten", _WRITES, None, (404, 409, 503),
    ),
    Route(
        "POST", _R + "/pause", rollouts.pause_rollout, "Keep the weight, and do not judge",
        "RolloutWritten", _WRITES, None, (404, 409, 503),
    ),
    Route(
        "POST", _R + "/resume", rollouts.resume_rollout, "Go on after a pause",
        "RolloutWritten", _WRITES, None, (404, 409, 503),
    ),
    Route(
        "POST", _R + "/promote", rollouts.promote_rollout,
        "Give the canary everything; steps and gates that are left are skipped",
        "RolloutWritten", _WRITES, None, (404, 409, 503),
    ),
    Route(
        "POST", _R + "/abort", rollouts.abort_rollout, "End it; stable gets everything at once",
        "RolloutWritten", _WRITES, None, (404, 409, 503),
    ),
    Route(
        "POST", _R + "/rollback", rollouts.rollback_rollout,
        "After success, within its window: back to what was stable before",
        "RolloutWritten", _WRITES, None, (404, 409, 503),
    ),
    # Upstreams
    Route("GET", "/api/v1/upstreams", looking.list_upstreams, "All upstreams", "UpstreamList"),
    Route(
        "GET", _T + "/upstreams", looking.list_upstreams, "The upstreams of a tenant",
        "UpstreamList", errors=(404,),
    ),
    Route(
        "GET", _U, looking.show_upstream, "One upstream", "Upstream", errors=(404,), tagged=True
    ),
    Route(
        "PUT", _U, changing.put_upstream, "Make or replace an upstream",
        "UpstreamWritten", _WRITES, "upstream", (404, 409, 412, 413, 415, 422, 503), tagged=True,
    ),
    Route(
        "DELETE", _U, changing.delete_upstream, "Remove an upstream that no split names",
        "Changes", _WRITES, None, (404, 409, 412, 422), tagged=True,
    ),
    # The whole
    Route(
        "GET", "/api/v1/document", looking.show_document, "The desired state in force",
        "Document", tagged=True,
    ),
    Route(
        "PUT", "/api/v1/document", changing.put_document, "Replace the desired state as a whole",
        "DocumentWritten", _WRITES, "document", (409, 412, 413, 415, 422, 503), tagged=True,
    ),
    Route(
        "POST", "/api/v1/diff", looking.diff, "What a document would change", "Diff",
        (), "document", (413, 415, 422),
    ),
    Route(
        "POST", "/api/v1/reload", changing.reload, "Read the document file again", "Reloaded",
        errors=(409, 422),
    ),
    # What happened
    Route(
        "GET", "/api/v1/events", looking.list_events, "The newest decisions, oldest first",
        "EventList", ("after", "limit", "tenant"),
    ),
    Route(
        "GET", "/api/v1/watch", looking.watch, "Decisions as they are made, as server-sent events",
        "Event", ("after", "tenant"),
    ),
    Route(
        "GET", "/api/v1/generations", looking.list_generations,
        "Versions of the desired state, newest first", "GenerationList",
    ),
    Route("GET", "/api/v1/policies", looking.list_policies, "All policies", "PolicyList"),
)  # fmt: skip
