"""Where the kernel relay works, tests marked `both_movers` run with it too."""

from __future__ import annotations

from functools import cache

import pytest

from tenantproxy.dataplane.relay.probe import Verdict, probe

MAY_NOT = ("Operation not permitted", "Function not implemented")
"""What a machine says that does not let us; anything else may be a fault of ours."""


def skip_without_kernel_relay() -> None:
    """Skip the running test, with the reason, where the kernel relay may not be used."""
    verdict = _verdict()
    if not verdict.works:
        end = pytest.skip if verdict.reason.startswith(MAY_NOT) else pytest.fail
        end(f"no kernel relay here: {verdict.reason}")


@cache
def _verdict() -> Verdict:
    return probe()
