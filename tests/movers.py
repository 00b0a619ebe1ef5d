"""Where the kernel relay works, tests marked `both_movers` run with it too."""

from __future__ import annotations

from functools import cache

import pytest

from tenantproxy.dataplane.relay.probe import Verdict, probe


def skip_without_kernel_relay() -> None:
    """Skip the running test, with the reason, where the kernel relay does not work."""
    verdict = _verdict()
    if not verdict.works:
        pytest.skip(f"no kernel relay here: {verdict.reason}")


@cache
def _verdict() -> Verdict:
    return probe()
