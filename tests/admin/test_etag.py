"""Versions: they change with what can be written and with nothing else, and guard writes."""

import asyncio

import pytest

from tenantproxy.admin.etag import etag, etag_of_document
from tenantproxy.config.document import parse_document
from tenantproxy.model.lifecycle import State
from tenantproxy.model.spec import SplitMember
from tenantproxy.model.views import Totals
from tests.admin.conftest import serving
from tests.support_control import ACME, WEB, many

WEB_PATH = "/tenants/acme/listeners/web"
LISTENER = {"split": {"web-v1": 1}}
UPSTREAM = {"endpoints": ["127.0.0.1:8090"]}

TAGGED = [
    ("/tenants/acme", {"labels": {"a": "b"}}),
    (WEB_PATH, LISTENER),
    (f"{WEB_PATH}/split", {"web-v1": 1}),
    ("/tenants/acme/upstreams/web-v2", UPSTREAM),
    ("/document", None),
]


async def tag_of(api, path):
    await api.get(path)
    tag = api.headers["ETag"]
    assert tag.startswith('"')
    assert tag.endswith('"')
    return tag


async def body_for(api, path, body):
    return await api.get("/document") if body is None else body


@pytest.mark.parametrize(("path", "body"), TAGGED)
async def test_a_write_on_the_version_that_was_read_is_done(api, path, body):
    tag = await tag_of(api, path)
    body = await body_for(api, path, body)
    status, _ = await api.ask("PUT", path, body, headers={"If-Match": tag})
    assert status == 200
    assert api.headers["ETag"] == await tag_of(api, path)


@pytest.mark.parametrize(("path", "body"), TAGGED)
async def test_a_write_on_an_older_version_is_refused(api, control, path, body):
    tag = await tag_of(api, path)
    body = await body_for(api, path, body)
    await control.set_split(WEB, (SplitMember("web-v2", 7),))
    await control.put_upstream(
        parse_document(ACME.replace("8082", "8083")).tenants["acme"].upstreams["web-v2"]
    )
    before = control.status().generation
    status, problem = await api.ask("PUT", path, body, headers={"If-Match": tag})
    assert (status, problem["code"]) == (412, "stale_version")
    assert control.status().generation == before


@pytest.mark.parametrize("path", ["/tenants/acme", WEB_PATH])
async def test_a_removal_of_an_older_version_is_refused(api, control, path):
    tag = await tag_of(api, path)
    await control.set_split(WEB, (SplitMember("web-v2", 7),))
    status, problem = await api.ask("DELETE", path, headers={"If-Match": tag})
    assert (status, problem["code"]) == (412, "stale_version")
    now = await tag_of(api, path)
    assert (await api.ask("DELETE", path, headers={"If-Match": now}))[0] == 200


async def test_a_dry_run_is_held_against_the_version_too(api):
    more = {"headers": {"If-Match": '"of another time"'}}
    status, _ = await api.ask("PUT", f"{WEB_PATH}?dry_run=true", LISTENER, **more)
    assert status == 412


async def test_if_match_any_needs_something_to_be_there(api):
    any_version = {"headers": {"If-Match": "*"}}
    assert (await api.ask("PUT", WEB_PATH, LISTENER, **any_version))[0] == 200
    status, problem = await api.ask("PUT", f"{WEB_PATH}2", LISTENER, **any_version)
    assert (status, problem["code"]) == (412, "stale_version")
    assert "does not exist" in problem["detail"]


async def test_one_of_several_versions_is_enough_and_a_weak_one_is_not(api):
    tag = await tag_of(api, WEB_PATH)
    weak = {"headers": {"If-Match": f"W/{tag}"}}
    assert (await api.ask("PUT", f"{WEB_PATH}?dry_run=true", LISTENER, **weak))[0] == 412
    several = {"headers": {"If-Match": f'"x", {tag}'}}
    assert (await api.ask("PUT", f"{WEB_PATH}?dry_run=true", LISTENER, **several))[0] == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/tenants/{}", {}),
        ("/tenants/acme/listeners/{}", LISTENER),
        ("/tenants/acme/upstreams/{}", UPSTREAM),
    ],
)
async def test_if_none_match_makes_and_never_replaces(api, path, body):
    only_new = {"headers": {"If-None-Match": "*"}}
    assert (await api.ask("PUT", path.format("new"), body, **only_new))[0] == 201
    status, problem = await api.ask("PUT", path.format("new"), body, **only_new)
    assert (status, problem["code"]) == (412, "stale_version")


async def test_counters_and_states_are_no_part_of_a_version(api, control):
    before = [await tag_of(api, path) for path, _ in TAGGED]
    control.traffic.listeners[WEB] = Totals(connections_total=9)
    control._ports[WEB].state = State.OPEN
    assert [await tag_of(api, path) for path, _ in TAGGED] == before


async def test_of_writers_that_read_the_same_version_one_wins(api):
    tag = await tag_of(api, WEB_PATH)
    bodies = [LISTENER | {"drain": f"{n}s"} for n in range(10)]
    answers = await asyncio.gather(
        *(api.ask("PUT", WEB_PATH, body, headers={"If-Match": tag}) for body in bodies)
    )
    assert sorted(status for status, _ in answers) == [200] + [412] * 9


async def test_a_large_tenant_has_a_version_that_guards_too():
    async with serving(many(1, 300)) as api:
        tag = await tag_of(api, "/tenants/tenant-00000")
        made = {"headers": {"If-Match": tag}}
        assert (await api.ask("DELETE", "/tenants/tenant-00000?dry_run=true", **made))[0] == 200
        await api.ask("PUT", "/tenants/tenant-00000/upstreams/new", UPSTREAM)
        assert (await api.ask("DELETE", "/tenants/tenant-00000", **made))[0] == 412


def test_the_order_in_which_things_were_added_is_no_difference():
    assert etag({"a": 1, "b": {"x": 1, "y": 2}}) == etag({"b": {"y": 2, "x": 1}, "a": 1})
    assert etag({"a": [1, 2]}) != etag({"a": [2, 1]})


def test_every_part_of_a_document_is_in_its_version():
    base = etag_of_document(parse_document(ACME))
    for old, new in (
        ("payments", "p"),
        ("8082", "8083"),
        ("web-v1: 95", "web-v1: 94"),
        ("workers: 1", "workers: 2"),
        ("umbrella", "parasol"),
    ):
        assert etag_of_document(parse_document(ACME.replace(old, new))) != base, old
    assert etag_of_document(parse_document(ACME)) == base
