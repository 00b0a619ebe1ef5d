"""Where the dashboards are: uids, which never change, and addresses that take choices along."""

from __future__ import annotations

FLEET = "tenantproxy-fleet"
TENANT = "tenantproxy-tenant"
CANARY = "tenantproxy-canary"
IDLE = "tenantproxy-idle"

_SOURCE = "${datasource:queryparam}"
_TIME = "${__url_time_range}"


def links(here: str, *, takes: str = "") -> dict[str, str]:
    """Return the links in the head of a dashboard: title -> address.

    `takes` is a variable for Tenant and Canary, which show one tenant: what shows many must not
    pass "all" on.
    """
    single = f"{_SOURCE}&${{{takes}:queryparam}}" if takes else _SOURCE
    every = {
        "Fleet": f"/d/{FLEET}?{_SOURCE}",
        "Tenant": f"/d/{TENANT}?{single}",
        "Canary": f"/d/{CANARY}?{single}",
        "Idle and wake": f"/d/{IDLE}?{_SOURCE}",
    }
    return {title: url for title, url in every.items() if f"/{here}?" not in url}


TO_TENANT = f"/d/{TENANT}?var-tenant=${{__data.fields.Tenant}}&{_SOURCE}&{_TIME}"
"""From the line of a tenant in a table."""
TO_CANARY = (
    f"/d/{CANARY}?var-tenant=${{tenant}}&var-listener=${{__data.fields.Listener}}&{_SOURCE}&{_TIME}"
)
"""From the line of a listener in a table on the dashboard of its tenant."""
