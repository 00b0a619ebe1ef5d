"""The examples of rollouts do what their comments say, with the real programs."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path

import pytest
from aiohttp import web

from tests.e2e import ports
from tests.e2e.canaries import command, office, rollout, until_state, versions
from tests.e2e.daemon import until
from tests.e2e.examples import example
from tests.e2e.load import Rate
from tests.e2e.programs import prometheus, redis
from tests.e2e.wire import dial, dialled

SECONDS = {"10m": "1s", "5m": "1s", "1m": "1s", "10s": "300ms", "30s": "300ms"}


async def _ping(port: int) -> None:
    async with dialled(port) as wire:
        await wire.send(b"PING\r\n")
        assert await wire.receive() == b"+PONG\r\n"


async def test_a_redis_takes_over_from_another(run_daemon, tmp_path: Path):
    """Connections that stay are among the clients; none of the short ones fails."""
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    async with redis(tmp_path / "old") as old, redis(tmp_path / "new") as new:
        doc = example(
            "redis.yaml", {6406: old, 6407: new}, SECONDS | {"min_samples: 30": "min_samples: 20"}
        )
        async with run_daemon(doc) as daemon:
            port = await daemon.port("acme/redis")
            stays = [await dial(port) for _ in range(10)]
            await command(daemon, "start", "acme/redis")

            async def paused() -> dict | None:
                view = await rollout(daemon, "acme/redis")
                return view if view["state"] == "paused" else None

            view = await until(paused)
            await _ping(view["preview"]["port"])
            async with Rate([port], 150, question=b"PING\r\n") as load:
                await asyncio.sleep(0.5)
                await command(daemon, "resume", "acme/redis")

                async def ended() -> dict | None:
                    view = await rollout(daemon, "acme/redis")
                    return view if view["state"] not in ("running", "promoting") else None

                view = await until(ended, within_s=60)
                assert view["state"] == "succeeded", view
                seen = await load.stop()
            assert seen.failed == {}
            for wire in stays:
                with contextlib.suppress(ConnectionError):
                    await wire.send(b"PING\r\n")
                    assert await wire.receive() in (b"+PONG\r\n", b"")
                wire.close()


async def test_gates_are_asked_before_the_rollout_goes_on(run_daemon):
    said: list[tuple[str, dict]] = []
    answers = {"/check": 200, "/tell": 204, "/tests-passed": 409, "/approved": 409}
    async with versions() as (one, two), office(said, answers) as gate:
        doc = example("gates.yaml", {8081: one, 8082: two, 8090: gate}, SECONDS)
        async with run_daemon(doc) as daemon:
            port = await daemon.port("acme/web")
            async with Rate([port], 150, question=b"?") as load:
                await until(lambda: len([s for s in said if s[0] == "/tests-passed"]) >= 2)
                view = await rollout(daemon)
                assert view["state"] == "waiting", view
                assert "not yet" in view["waits_for"]
                assert load.load.answers["v2"] == 0
                answers["/tests-passed"] = 200
                await until_state(daemon, "running", step=2, within_s=30)
                await until(lambda: any(s[0] == "/approved" for s in said), within_s=30)
                assert (await rollout(daemon))["weight"] == 50
                answers["/approved"] = 201
                await until_state(daemon, "succeeded", within_s=30)
                assert (await load.stop()).failed == {}
            await until(lambda: any(s[0] == "/tell" for s in said))
    body = next(body for path, body in said if path == "/tests-passed")
    assert {body["tenant"], body["listener"], body["stable"], body["canary"]} == {
        "acme", "web", "web-v1", "web-v2",
    }  # fmt: skip
    assert next(body for path, body in said if path == "/tell")["state"] == "succeeded"
    assert next(body for path, body in said if path == "/check")["check"] == "smoke"


@pytest.mark.parametrize("good", [True, False], ids=["good", "bad"])
async def test_a_prometheus_judges_by_what_the_service_says_of_itself(
    run_daemon, tmp_path: Path, good: bool
):
    """The service counts orders that failed; nothing of it shows on the wire."""
    failed = 0.0

    async def metrics(_: web.Request) -> web.Response:
        nonlocal failed
        failed += 0 if good else 5
        lines = [
            'orders_failed_total{version="web-v1"} 0',
            f'orders_failed_total{{version="web-v2"}} {failed}',
            'process_cpu_usage{version="web-v1"} 0.2',
            'process_cpu_usage{version="web-v2"} 0.9',
        ]
        return web.Response(text="\n".join(lines) + "\n")

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", target := ports.block(1)).start()
        async with versions() as (one, two), prometheus(tmp_path, target) as judge:
            times = SECONDS | {"30s": "500ms", "10m": "2s", "5m": "2s"}
            doc = example("prometheus.yaml", {8081: one, 8082: two, 9090: judge}, times)
            doc = json.loads(json.dumps(doc).replace("[1m]", "[5s]").replace("[1s]", "[5s]"))
            async with run_daemon(doc) as daemon:
                view = await until_state(daemon, "succeeded", "rolled_back", "paused", within_s=60)
                if good:
                    assert view["state"] == "succeeded", view
                    found = {check["name"]: check for check in view["checks"]}
                    total = view["checks_total"]
                    assert "cpu" in found
                    assert total["cpu"]["would_fail"]
                else:
                    assert view["state"] == "rolled_back", view
                    assert "failed_orders" in view["cause"]
    finally:
        await runner.cleanup()
