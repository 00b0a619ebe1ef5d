"""Looks at a rollout: at once, after its events, by the clock, and no more when it is gone."""

import asyncio
from contextlib import aclosing, asynccontextmanager

import pytest

from tenantproxy import clock
from tenantproxy.admin.app import make_app
from tenantproxy.cli.client import connected
from tenantproxy.cli.rollout_follow import looks
from tenantproxy.cli.settings import Settings
from tenantproxy.errors import NotFound, ServerUnreachable
from tenantproxy.metrics.site import start_site
from tenantproxy.model.rollout import Phase
from tests.support_control import WEB, memory_control
from tests.support_rollouts import running

LONG_S, SHORT_S = 600.0, 0.05


@pytest.fixture
def control():
    made = memory_control()
    made.rolling.views[WEB] = running(WEB, clock.wall_s())
    yield made
    made.end()


@asynccontextmanager
async def looking(control, every_s):
    runner, port = await start_site(make_app(control, token=None), "127.0.0.1", 0, "admin")
    try:
        async with (
            connected(Settings(server=f"http://127.0.0.1:{port}")) as client,
            aclosing(looks(client, *WEB, every_s=every_s)) as found,
            asyncio.timeout(30),
        ):
            yield found
    finally:
        await runner.cleanup()


def add(control, event, *, about="listener/web", tenant="acme"):
    control.log.add(event, "so it was", tenant=tenant, about=about)


async def test_the_first_look_comes_at_once_with_all_events_that_are_kept(control):
    for about in ("listener/web", "listener/other", "upstream/web"):
        add(control, "rollout_step", about=about)
    add(control, "opened")
    async with looking(control, LONG_S) as found:
        look = await anext(found)
    assert look.item["state"] == "running"
    assert look.event is None
    assert [(one["event"], one["object"]) for one in look.past] == [
        ("rollout_step", "listener/web")
    ]


async def test_each_of_its_events_leads_to_a_look_and_no_other_does(control):
    async with looking(control, LONG_S) as found:
        await anext(found)
        add(control, "opened")
        add(control, "rollout_step", about="listener/other")
        add(control, "rollout_step", tenant="umbrella")
        control.rolling.set(WEB, phase=Phase.PAUSED)
        add(control, "rollout_paused")
        look = await anext(found)
    assert look.event["event"] == "rollout_paused"
    assert look.item["state"] == "paused"
    assert look.past is None


async def test_without_an_event_it_looks_by_the_clock(control):
    async with looking(control, SHORT_S) as found:
        await anext(found)
        control.rolling.set(WEB, looks=77)
        while (look := await anext(found)).item["looks"] != 77:
            pass
    assert look.event is None


async def test_a_rollout_that_is_taken_away_is_not_found(control):
    async with looking(control, LONG_S) as found:
        await anext(found)
        control.rolling.follow(WEB, None)
        add(control, "rollout_aborted")
        with pytest.raises(NotFound):
            await anext(found)


async def test_a_daemon_that_goes_away_is_told(control):
    async with looking(control, LONG_S) as found:
        await anext(found)
        control.end()
        with pytest.raises(ServerUnreachable, match="ended the stream"):
            await anext(found)
