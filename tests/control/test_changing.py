"""Changes while rollouts are on their way: the split is theirs, all else is as ever."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from tenantproxy.control.books import Blocks
from tenantproxy.errors import Conflict, GoingDown, NotFound, RolloutOwnsSplit
from tenantproxy.model.lifecycle import State
from tenantproxy.model.rollout import Phase
from tenantproxy.model.rollout_spec import Analysis, RolloutSpec, Step
from tenantproxy.model.spec import Document, SplitMember
from tests.control.support import (
    ask,
    control,
    events,
    free_port,
    key,
    listener,
    naming_server,
    reload,
    tenant,
    until,
    upstream,
)

PREVIEW = key("web.preview")
PLAN = RolloutSpec("v1", "v2", (Step("weight", 25), Step("pause"), Step("weight", 50)))
IN_FORCE = (SplitMember("v1", 75), SplitMember("v2", 25))
OTHER = (SplitMember("v1", 1), SplitMember("v2", 9))


@pytest.fixture
async def pair(v1):
    async with naming_server(b"v2") as number:
        yield [v1, upstream("v2", number)]


@asynccontextmanager
async def rolling(pair, plan=PLAN, **more):
    """A rollout that is in its first step, and a listener without one."""
    web = listener("web", ("v1", 1), rollout=plan, **more)
    async with control(tenant([web, listener("b")], pair)) as running:
        assert running.rollout(key()).phase is Phase.RUNNING
        assert running.listener(key()).spec.split == IN_FORCE
        yield running


def declared(running, name="web"):
    return running.document().tenants["acme"].listeners[name]


def with_web(running, **changes):
    """The whole document, with other values in its first listener."""
    acme = running.document().tenants["acme"]
    listeners = {**acme.listeners, "web": replace(acme.listeners["web"], **changes)}
    return replace(acme, listeners=listeners)


# Whose the split is -----------------------------------------------------------------------


@pytest.mark.parametrize("dry_run", [False, True])
async def test_nobody_else_changes_the_split_of_a_rollout_on_its_way(pair, dry_run):
    async with rolling(pair) as running:
        acme = with_web(running, split=OTHER)
        for change in (
            lambda: running.set_split(key(), OTHER, dry_run=dry_run),
            lambda: running.put_listener(acme.listeners["web"], dry_run=dry_run),
            lambda: running.put_tenant(acme, dry_run=dry_run),
            lambda: running.put_document(Document(running.proxy, {"acme": acme}), dry_run=dry_run),
        ):
            with pytest.raises(RolloutOwnsSplit, match="from v1 to v2 is running") as caught:
                await change()
            assert caught.value.hint == "`tenantproxy rollout abort acme/web` ends it first"
        assert running.status().generation == 1
        assert declared(running).split == (SplitMember("v1", 1),)


async def test_whoever_reads_the_split_in_force_and_writes_it_back_changes_nothing_of_it(pair):
    async with rolling(pair) as running:
        read = running.listener(key()).spec
        assert read.split == IN_FORCE
        written = replace(declared(running), split=read.split, drain_s=5.0)
        [line] = await running.put_listener(written)
        assert (line.before, line.after) == ("drain_s=600.0", "drain_s=5.0")
        document = Document(running.proxy, {"acme": with_web(running, split=read.split)})
        assert running.diff(document) == []
        assert await running.put_document(document) == []
        assert await running.put_tenant(document.tenants["acme"]) == []
        assert declared(running).split == (SplitMember("v1", 1),)
        assert running.listener(key()).spec.split == IN_FORCE


async def test_a_change_that_changes_nothing_may_be_tried(pair):
    async with rolling(pair) as running:
        assert await running.put_document(running.document(), dry_run=True) == []


async def test_the_split_of_a_rollout_may_be_set_to_what_it_is_and_to_nothing_else(pair):
    async with rolling(pair) as running:
        assert await running.set_split(key(), IN_FORCE) == []
        assert declared(running).split == (SplitMember("v1", 1),)
        with pytest.raises(RolloutOwnsSplit):
            await running.set_split(key(), declared(running).split)


@pytest.mark.parametrize("dry_run", [False, True])
async def test_the_declared_split_can_be_asked_for_after_a_rollout_has_ended(pair, dry_run):
    """It is declared all the while, but the rollout left its canary at nothing."""
    given = (SplitMember("v1", 4), SplitMember("v2", 1))
    web = listener("web", ("v1", 4), ("v2", 1), rollout=PLAN)
    async with control(tenant([web], pair)) as running:
        await running.command_rollout(key(), "abort")
        await until(lambda: running.rollout(key()).phase is Phase.ABORTED)
        held = running.listener(key()).spec.split
        assert {one.upstream: one.weight > 0 for one in held} == {"v1": True, "v2": False}
        [line] = await running.set_split(key(), given, dry_run=dry_run)
        assert (line.kind, line.after) == ("split", "v1=4 v2=1")
        assert running.listener(key()).spec.split == (held if dry_run else given)


async def test_an_aborted_rollout_gives_the_split_back(pair):
    async with rolling(pair) as running:
        await running.command_rollout(key(), "abort")
        await until(lambda: running.rollout(key()).phase is Phase.ABORTED)
        await running.set_split(key(), OTHER)
        assert running.listener(key()).spec.split == OTHER


async def test_the_splits_of_others_are_free_and_so_is_all_else_of_this_listener(pair):
    async with rolling(pair) as running:
        await running.set_split(key("b"), OTHER)
        await running.put_listener(replace(declared(running), idle_timeout_s=5.0))
        view = running.listener(key())
        assert (view.spec.idle_timeout_s, view.spec.split) == (5.0, IN_FORCE)
        assert running.listener(PREVIEW).spec.idle_timeout_s == 5.0
        assert running.rollout(key()).phase is Phase.RUNNING


@pytest.mark.parametrize("whole", [False, True])
async def test_a_listener_may_be_removed_with_its_rollout_on_its_way(pair, whole):
    async with rolling(pair) as running:
        await (running.delete_tenant("acme") if whole else running.delete_listener(key()))
        assert running.rollouts() == []
        assert not {"web", "web.preview"} & {view.spec.name for view in running.listeners()}
        assert events(running, "rollout_aborted")


async def test_a_listener_that_comes_back_while_the_one_before_drains_counts_nothing_for_it(pair):
    async with rolling(pair) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.listener(key()).port)
        writer.write(b"hello")
        await reader.read(1)
        await running.delete_listener(key())
        assert running._registry.counted(key())
        await running.put_listener(listener("web"))
        assert not running._registry.counted(key())
        assert running._registry.by_key[key()].signals is None
        writer.close()
        await until(lambda: not running._registry.retired)


async def test_a_preview_that_could_not_be_had_leaves_no_counters_behind(pair):
    number = free_port()
    plan = replace(PLAN, steps=(Step("experiment"), *PLAN.steps), preview=number, start="manual")
    web = listener("web", ("v1", 1), rollout=plan)
    b = listener("b", port=number, tenant="other")
    other = tenant([b], [replace(pair[0], tenant="other")], name="other")
    async with control(tenant([web], pair), other) as running:
        await running.command_rollout(key(), "start")
        assert events(running, "failed")[0].object == "listener/web.preview"
        await running.command_rollout(key(), "abort")
        assert not running._registry.counted(PREVIEW)
        assert not running._registry.counted(key())


async def test_a_canary_that_is_not_counted_is_not_promoted_unseen(pair):
    plan = RolloutSpec(
        "v1",
        "v2",
        (Step("weight", 25, 0.02),),
        preview=None,
        no_traffic="pass",
        start="manual",
        analysis=Analysis(every_s=0.02),
    )
    async with control(tenant([listener("web", ("v1", 1), rollout=plan)], pair)) as running:
        running._books._signals = Blocks(1, "signal")
        await running.command_rollout(key(), "start")
        await until(lambda: running.rollout(key()).phase is not Phase.RUNNING)
        assert running.rollout(key()).phase is Phase.PAUSED
        assert "nothing is counted" in running.rollout(key()).cause
        running._books._signals = Blocks(2, "signal")
        await running.command_rollout(key(), "resume")
        await until(lambda: running.rollout(key()).phase is Phase.SUCCEEDED)


async def test_a_file_that_changes_the_split_is_taken_and_the_pair_stays_the_rollouts(pair):
    async with rolling(pair) as running:
        web = listener("web", ("v1", 3), ("v2", 1), rollout=PLAN)
        await reload(running, tenant([web, listener("b")], pair))
        assert declared(running).split == web.split
        assert running.listener(key()).spec.split == IN_FORCE
        assert running.rollout(key()).phase is Phase.RUNNING


# Nothing of it is declared ---------------------------------------------------------------


async def test_documents_diffs_and_tenants_say_what_is_declared(pair):
    async with rolling(pair, sticky="source_ip") as running:
        web = declared(running)
        assert (web.split, web.salt, web.preview_of) == ((SplitMember("v1", 1),), "", None)
        assert set(running.document().tenants["acme"].listeners) == {"web", "b"}
        assert set(running.tenant("acme").spec.listeners) == {"web", "b"}
        assert running.tenants()[0].spec.listeners["web"].split == web.split
        assert running.diff(running.document()) == []
        assert await running.put_document(running.document()) == []
        assert running.listener(key()).spec.salt
        assert running.status().generation == 1
        assert running.listener(key()).source == running.listener(PREVIEW).source == "file"


async def test_a_preview_is_written_by_nobody_and_is_opened_and_closed_by_all(pair):
    async with rolling(pair) as running:
        spec = running.listener(PREVIEW).spec
        for change in (
            lambda: running.put_listener(spec),
            lambda: running.delete_listener(PREVIEW),
            lambda: running.set_split(PREVIEW, OTHER),
            lambda: running.put_rollout(PREVIEW, PLAN),
        ):
            with pytest.raises(Conflict, match="preview port of the rollout of acme/web"):
                await change()
        assert (await running.open(PREVIEW)).state is State.OPEN
        assert await ask(running.listener(PREVIEW).port) == b"v2 hello"
        assert (await running.close(PREVIEW)).state is State.COOLING


async def test_a_closed_port_stays_closed_through_all_that_a_rollout_does(pair):
    plan = replace(PLAN, steps=PLAN.steps[1:])
    async with rolling(pair) as running:
        await running.close(key())
        await running.put_rollout(key(), plan)
        await running.command_rollout(key(), "abort")
        await running.put_rollout(key(), None)
        assert running.listener(key()).state is State.COOLING
        await running.put_listener(replace(declared(running), drain_s=5.0))
        assert running.listener(key()).state is State.ASLEEP


# Rollouts through the facade --------------------------------------------------------------


async def test_a_rollout_that_is_put_begins_and_one_that_is_taken_away_ends(pair):
    async with control(tenant([listener("web", ("v1", 1))], pair)) as running:
        with pytest.raises(NotFound):
            running.rollout(key())
        await running.put_rollout(key(), PLAN, dry_run=True)
        assert running.rollouts("acme") == []
        [line] = await running.put_rollout(key(), PLAN)
        assert (line.kind, line.name) == ("rollout", "acme/web")
        assert [view.key for view in running.rollouts("acme")] == [key()]
        assert [view.weight for view in running.rollout_snapshots()] == [25]
        assert running.listener(key()).spec.split == IN_FORCE
        await running.put_rollout(key(), None)
        assert running.rollouts() == []
        assert running.listener(key()).spec.split == (SplitMember("v1", 1),)
        assert [view.spec.name for view in running.listeners()] == ["web"]


async def test_a_command_is_done_when_it_is_answered(pair):
    async with rolling(pair) as running:
        view = await running.command_rollout(key(), "abort")
        assert view.phase in (Phase.ROLLING_BACK, Phase.ABORTED)
        assert running.listener(key()).spec.split == (SplitMember("v1", 100), SplitMember("v2", 0))


async def test_a_command_that_is_only_tried_is_held_against_the_phase(pair):
    async with rolling(pair) as running:
        view = await running.command_rollout(key(), "abort", dry_run=True)
        assert view.phase is Phase.RUNNING
        assert running.listener(key()).spec.split == IN_FORCE
        with pytest.raises(Conflict):
            await running.command_rollout(key(), "resume", dry_run=True)


async def test_a_promotion_makes_the_document_say_what_is(pair):
    quick = Analysis(every_s=0.1)
    steps = (Step("weight", 25, hold_s=60.0),)
    plan = RolloutSpec("v1", "v2", steps, analysis=quick, no_traffic="pass")
    async with rolling(pair, plan) as running:
        await running.command_rollout(key(), "promote")
        await until(lambda: running.rollout(key()).phase is Phase.SUCCEEDED)
        assert declared(running).split == (SplitMember("v1", 0), SplitMember("v2", 100))
        assert running.listener(key()).split_source == "api"
        assert await ask(running.listener(key()).port) == b"v2 hello"


async def test_unknown_names_are_told(pair):
    async with rolling(pair) as running:
        for look in (
            lambda: running.rollouts("nobody"),
            lambda: running.rollout(key("nothing")),
            lambda: running.rollout(key("b")),
        ):
            with pytest.raises(NotFound):
                look()
        for change in (
            lambda: running.command_rollout(key("nothing"), "pause"),
            lambda: running.command_rollout(key("b"), "pause"),
            lambda: running.put_rollout(key("nothing"), PLAN),
        ):
            with pytest.raises(NotFound):
                await change()


async def test_a_daemon_that_goes_down_decides_nothing_any_more(pair):
    async with rolling(pair) as running:
        await running.shutdown(keep_accepting_s=0.0, drain_s=0.0)
        assert running.rollout(key()).phase is Phase.RUNNING
        with pytest.raises(GoingDown):
            await running.command_rollout(key(), "abort")
        assert running._rollouts._all[key()]._timer is None
