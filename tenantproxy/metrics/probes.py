"""What `/livez` and `/readyz` answer, on the metrics port and on the admin port.

The admin API without a token is on the loopback only, where nobody outside of
this network namespace (a kubelet, a load balancer) can ask.
"""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from tenantproxy.control.facade import Control


def livez() -> web.Response:
    """Answer that the process is alive: who gets this answer knows it."""
    return _answer({"status": "alive"})


def readyz(control: Control) -> web.Response:
    """Answer 200 if it may be sent traffic, or 503 with the reason why not."""
    status = control.status()
    if status.ready:
        return _answer({"ready": True, "reason": ""})
    some = any(worker.state == "ready" for worker in status.workers)
    reason = "starting or going down" if some else "no worker is ready"
    return _answer({"ready": False, "reason": reason}, status=503)


def _answer(data: Any, *, status: int = 200) -> web.Response:
    body = msgspec.json.encode(data) + b"\n"
    return web.Response(status=status, body=body, content_type="application/json")
