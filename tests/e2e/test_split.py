"""Connections are shared by weight, over all workers, and a reweigh disturbs nobody."""

import asyncio

import pytest

from tests.e2e.apart import serving_apart
from tests.e2e.daemon import Refused, document, tenant
from tests.e2e.load import Rate, burst
from tests.e2e.sizes import sizes
from tests.e2e.statistics import chi_square_p
from tests.e2e.upstreams import identify, name_and_close, serving
from tests.e2e.wire import ask, dial


def test_the_statistic_knows_good_from_bad():
    assert chi_square_p({"a": 1000, "b": 19000}, {"a": 5, "b": 95}) > 0.99
    assert chi_square_p({"a": 1060, "b": 18940}, {"a": 5, "b": 95}) > 0.01
    assert chi_square_p({"a": 1100, "b": 18900}, {"a": 5, "b": 95}) < 0.01
    assert chi_square_p({"b": 20000}, {"a": 1, "b": 99}) < 1e-6


@sizes("count", 2_000, 20_000, timeout_s=120)
async def test_shares_equal_weights_and_reweighing_closes_nothing(run_daemon, count):
    """Each weighting carries `count` connections, turned round midway."""
    async with (
        serving_apart(name_and_close, "v1") as one,
        serving_apart(name_and_close, "v2") as two,
        serving(identify("held")) as held_by,
    ):
        doc = document(
            {
                "acme": tenant(
                    {"v1": one.port, "v2": two.port, "held": held_by.port},
                    web={"split": {"held": 1, "v1": 0, "v2": 0}},
                )
            }
        )
        async with run_daemon(doc) as daemon:
            port = await daemon.port("acme/web")
            held = [await dial(port) for _ in range(20)]
            for wire in held:
                assert await wire.exactly(4) == b"held"
            for low, high in ((1, 99), (10, 90), (50, 50)):
                for v1, v2 in ((low, high), (high, low)):
                    await daemon.set_split("acme/web", v1=v1, v2=v2, held=0)
                    weights = {"v1": v1, "v2": v2}
                    seen = await asyncio.to_thread(burst, port, count // 2)
                    assert set(seen) <= {"v1", "v2"}, seen
                    assert chi_square_p(seen, weights) > 0.01, (seen, weights)
            for wire in held:
                await wire.send(b"still here")
                assert await wire.exactly(10) == b"still here"
                wire.close()


@sizes("reweighs,rate", (20, 200), (200, 500), timeout_s=120)
async def test_reweighing_under_load_fails_no_connection(run_daemon, reweighs, rate):
    async with (
        serving_apart(name_and_close, "v1") as one,
        serving_apart(name_and_close, "v2") as two,
    ):
        doc = document(
            {"acme": tenant({"v1": one.port, "v2": two.port}, web={"split": {"v1": 1, "v2": 1}})}
        )
        async with run_daemon(doc) as daemon:
            port = await daemon.port("acme/web")
            async with Rate([port], rate) as running:
                for number in range(reweighs):
                    await daemon.set_split("acme/web", v1=number % 7, v2=7 - number % 7)
                    await asyncio.sleep(0.05)
                load = await running.stop()
            assert not load.failed, load.failures
            assert min(load.answers.values()) > 0.1 * sum(load.answers.values())


async def test_weight_zero_takes_nothing_and_comes_back(run_daemon):
    async with serving(name_and_close("v1")) as one, serving(name_and_close("v2")) as two:
        doc = document(
            {"acme": tenant({"v1": one.port, "v2": two.port}, web={"split": {"v1": 1, "v2": 0}})}
        )
        async with run_daemon(doc) as daemon:
            port = await daemon.port("acme/web")
            assert {await ask(port, b"") for _ in range(20)} == {b"v1"}
            await daemon.set_split("acme/web", v1=0, v2=1)
            view = await daemon.listener("acme/web")
            assert view["split"] == {"v1": 0, "v2": 1}
            assert {await ask(port, b"") for _ in range(20)} == {b"v2"}


async def test_a_split_that_names_nobody_is_refused_and_changes_nothing(run_daemon):
    async with serving(name_and_close("v1")) as one:
        doc = document({"acme": tenant({"v1": one.port}, web={"split": {"v1": 1}})})
        async with run_daemon(doc) as daemon:
            before = await daemon.generation()
            for bad in ({"nobody": 1}, {"v1": 0}, {"v1": -1}, {}, {"v1": "much"}):
                with pytest.raises(Refused) as refusal:
                    await daemon.api("PUT", "tenants/acme/listeners/web/split", bad)
                assert refusal.value.status in (400, 409, 422), refusal.value
            assert await daemon.generation() == before
            assert await ask(await daemon.port("acme/web"), b"") == b"v1"


async def test_a_member_without_an_endpoint_takes_its_share_and_is_refused(run_daemon):
    """As Gateway API says: the other member does not get more than its weight."""
    async with serving(name_and_close("v1")) as one:
        doc = document(
            {
                "acme": tenant(
                    {"v1": one.port, "gone": ["127.0.0.1:1"]},
                    web={"split": {"v1": 1, "gone": 1}, "wake": {"timeout": "1s"}},
                )
            }
        )
        async with run_daemon(doc) as daemon:
            port = await daemon.port("acme/web")
            await daemon.act("acme/web", "open")
            await asyncio.sleep(1.2)  # while it wakes, upstreams may still be on their way
            seen = await asyncio.to_thread(burst, port, 200)
            refused = sum(seen.values()) - seen["v1"]
            assert sum(seen.values()) == 200
            assert chi_square_p({"v1": seen["v1"], "gone": refused}, {"v1": 1, "gone": 1}) > 0.01
