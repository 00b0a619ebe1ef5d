"""One file for each kind of policy; the table of all of them."""

from __future__ import annotations

from tenantproxy.policy.api import Kinds
from tenantproxy.policy.kinds.idle import Idle

KINDS = Kinds()
KINDS.add("idle", Idle.of)
