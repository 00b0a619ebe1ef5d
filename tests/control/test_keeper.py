"""Policies in force: what they say is done, counted and told; a dry run does nothing."""

import asyncio

from tenantproxy.model.lifecycle import State
from tenantproxy.model.spec import IdleRule, PolicyMatch, PolicySpec
from tests.control.support import (
    ask,
    control,
    events,
    key,
    listener,
    naming_server,
    reload,
    tenant,
    until,
    upstream,
)


def policy(name="nap", after_s=0.1, then="sleep", **more):
    return PolicySpec(name, "idle", after_s, then, **more)


async def test_a_policy_puts_the_ports_it_matches_to_sleep():
    async with naming_server(b"v1") as number:
        acme = tenant([listener("a"), listener("b")], [upstream("v1", number)])
        rules = [policy(match=PolicyMatch(listeners=("a",)))]
        async with control(acme, policies=rules) as running:
            for name in ("a", "b"):
                await ask(running.listener(key(name)).port)
            await until(lambda: running.listener(key("a")).state is State.ASLEEP)
            assert running.listener(key("b")).state is State.OPEN
            assert running.listener(key("a")).policy == "policy nap"
            assert running.listener(key("b")).policy is None
            [event] = events(running, "policy")
            assert event.details["policy"] == "nap"
            assert running.status().policy_actions == {("nap", "sleep"): 1}


async def test_a_dry_run_says_what_it_would_do():
    async with naming_server(b"v1") as number:
        acme = tenant([listener()], [upstream("v1", number)])
        async with control(acme, policies=[policy(dry_run=True)]) as running:
            await ask(running.listener(key()).port)
            await until(lambda: events(running, "policy"))
            await asyncio.sleep(0.2)
            assert running.listener(key()).state is State.OPEN
            assert ("nap", "would sleep") in running.status().policy_actions


async def test_the_listeners_own_rule_wins():
    async with naming_server(b"v1") as number:
        own = listener(idle=IdleRule(0.1, "never"))
        acme = tenant([own], [upstream("v1", number)])
        async with control(acme, policies=[policy(after_s=0.05)]) as running:
            await ask(running.listener(key()).port)
            await asyncio.sleep(0.3)
            assert running.listener(key()).state is State.OPEN


async def test_new_policies_look_at_ports_that_are_open_already():
    async with naming_server(b"v1") as number:
        acme = tenant([listener()], [upstream("v1", number)])
        async with control(acme) as running:
            await ask(running.listener(key()).port)
            await reload(running, acme, policies=[policy()])
            await until(lambda: running.listener(key()).state is State.ASLEEP)


async def test_a_rule_given_by_api_applies_to_a_port_that_is_open_already():
    async with naming_server(b"v1") as number:
        acme = tenant([listener()], [upstream("v1", number)])
        async with control(acme) as running:
            await ask(running.listener(key()).port)
            await running.put_listener(listener(idle=IdleRule(0.1, "sleep")))
            await until(lambda: running.listener(key()).state is State.ASLEEP)


async def test_new_labels_bring_a_policy_to_ports_that_are_open_already():
    async with naming_server(b"v1") as number:
        rules = [policy(match=PolicyMatch(labels={"nap": "yes"}))]
        parts = [listener()], [upstream("v1", number)]
        async with control(tenant(*parts), policies=rules) as running:
            await ask(running.listener(key()).port)
            await running.put_tenant(tenant(*parts, labels={"nap": "yes"}))
            await until(lambda: running.listener(key()).state is State.ASLEEP)
