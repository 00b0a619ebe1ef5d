"""Four workers on one port: connections spread evenly, and every counter is exact."""

from __future__ import annotations

import pytest

from tests.e2e.apart import serving_apart
from tests.e2e.crowd import crowding
from tests.e2e.daemon import Daemon, document, tenant, until
from tests.e2e.upstreams import echo

WORKERS = 4
UNEVEN = 1.3
"""Most that the busiest worker may have over the least busy one."""


def whole(*values):
    return pytest.param(*values, marks=[pytest.mark.trial, pytest.mark.timeout(180)])


@pytest.mark.parametrize(
    ("accept", "count", "how"),
    [
        ("shared", 1000, {"rate": 1000}),
        whole("shared", 1000, {"burst": 200}),
        whole("shared", 10_000, {"rate": 1000}),
        whole("shared", 10_000, {"burst": 200}),
        whole("shared", 10_000, {"burst": 2000}),
        # Chance alone decides here: 1,000 would be past 1.3 once in 300 times.
        whole("reuseport", 10_000, {"rate": 1000}),
        whole("reuseport", 10_000, {"burst": 200}),
        whole("reuseport", 10_000, {"burst": 2000}),
    ],
)
async def test_connections_spread_evenly_and_are_counted_exactly(run_daemon, accept, count, how):
    async with serving_apart(echo) as up:
        doc = document(
            {"acme": tenant({"up": up.port}, web={"split": {"up": 1}, "open": "always"})},
            workers=WORKERS,
            accept=accept,
        )
        async with run_daemon(doc) as daemon:
            port = await daemon.port("acme/web")
            await until(lambda: all_ready(daemon))
            async with crowding(port, count, **how) as end:
                shares = await until(lambda: workers_hold(daemon, count))
                print(f"{accept} {count} {how}: {sorted(shares)}")
                assert max(shares) <= UNEVEN * min(shares), shares
                await open_now(daemon, count)
                sent = await end()
            await until(lambda: workers_hold(daemon, 0))
            await all_ended(daemon, port, count, sent)


async def all_ready(daemon: Daemon) -> bool:
    workers = (await daemon.api("GET", "status"))["workers"]
    return [worker["state"] for worker in workers] == ["ready"] * WORKERS


async def workers_hold(daemon: Daemon, count: int) -> list[int] | None:
    """Return the connections of each worker once they are `count` together."""
    workers = (await daemon.api("GET", "status"))["workers"]
    shares = [worker["connections"] for worker in workers]
    return shares if sum(shares) == count else None


async def open_now(daemon: Daemon, count: int) -> None:
    view, samples = await daemon.listener("acme/web"), await daemon.metrics()
    assert (view["connections"], view["connections_total"]) == (count, count)
    assert one(samples, "listener_connections") == count
    assert one(samples, "upstream_connections") == count
    assert one(samples, "relay_connections", 'mode="pump"') == count


async def all_ended(daemon: Daemon, port: int, count: int, sent: int) -> None:
    view, samples = await daemon.listener("acme/web"), await daemon.metrics()
    assert (view["connections"], view["connections_total"]) == (0, count)
    assert (view["closed"], view["rejected"]) == ({"done": count}, {})
    assert (view["bytes_in"], view["bytes_out"]) == (sent, sent)
    for whose in ("listener", "upstream"):
        assert one(samples, f"{whose}_connections") == 0
        assert one(samples, f"{whose}_connections_total") == count
        assert one(samples, f"{whose}_bytes_total", 'direction="in"') == sent
        assert one(samples, f"{whose}_bytes_total", 'direction="out"') == sent
    assert one(samples, "listener_connections_closed_total", 'reason="done"') == count
    assert one(samples, "listener_connections_total", f'port="{port}"') == count


def one(samples: dict[str, float], name: str, label: str = "") -> float:
    """Return the value of the only series of that name, and with that label."""
    [value] = [
        v for k, v in samples.items() if k.startswith(f"tenantproxy_{name}{{") and label in k
    ]
    return value
