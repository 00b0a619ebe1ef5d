"""What GET shows, over the stand-in and over the real control side."""

import asyncio
import json
import threading
from dataclasses import replace

import pytest

from tenantproxy import clock
from tenantproxy.admin import api as api_module
from tenantproxy.admin import views
from tenantproxy.config.document import parse_document
from tenantproxy.model.spec import Discovery, PolicySpec, UpstreamKey, UpstreamSpec
from tenantproxy.model.views import EndpointView, Totals, WorkerView
from tests.admin.conftest import serving
from tests.support_control import WEB, many, memory_control

WEB_PATH = "/tenants/acme/listeners/web"


async def test_tenants_are_listed_by_name_with_what_they_own(both):
    found = await both.get("/tenants", "TenantList")
    assert [one["tenant"] for one in found["items"]] == ["acme", "umbrella"]
    assert found["items"][0]["labels"] == {"team": "payments"}
    assert found["items"][0]["listeners"] == ["web"]
    assert found["items"][0]["upstreams"] == ["web-v1", "web-v2"]
    assert found["items"][0]["states"] == {"asleep": 1}


async def test_tenants_can_be_chosen_by_label(api):
    found = await api.get("/tenants?label=team=payments", "TenantList")
    assert [one["tenant"] for one in found["items"]] == ["acme"]
    assert (await api.get("/tenants?label=team=payments&label=x=y"))["items"] == []
    status, problem = await api.ask("GET", "/tenants?label=team")
    assert (status, problem["code"]) == (400, "bad_request")


async def test_a_tenant_shows_what_may_be_put_back(both):
    found = await both.get("/tenants/acme", "Tenant")
    assert found["source"] == "file"
    assert found["spec"]["listeners"]["web"]["split"] == {"web-v1": 95, "web-v2": 5}
    status, again = await both.ask("PUT", "/tenants/acme", found["spec"], shape="TenantWritten")
    assert (status, again["changes"]) == (200, [])


async def test_a_listener_shows_what_the_contract_names(both):
    found = await both.get(WEB_PATH, "Listener")
    contract = (
        "tenant listener port protocol state reason split connections connections_total "
        "bytes_in bytes_out last_activity generation"
    )
    assert set(contract.split()) <= set(found)
    assert found["port"] >= 21_000
    assert found["state"] == "asleep"
    assert found["split"] == {"web-v1": 95, "web-v2": 5}
    assert found["idle"] == {"after": "15m", "then": "sleep"}
    assert found["last_activity"] is None
    assert found["policy"] == "listener"
    assert found["source"] == found["split_source"] == "file"


async def test_a_listener_shows_what_it_counted(api, control):
    control.traffic.listeners[WEB] = Totals(
        1, 9, {"done": 7, "killed": 0}, {"no_endpoint": 1}, 5, 6, clock.monotonic_s()
    )
    found = await api.get(WEB_PATH, "Listener")
    assert found["connections"] == 1
    assert found["connections_total"] == 9
    assert found["closed"] == {"done": 7}
    assert found["rejected"] == {"no_endpoint": 1}
    assert (found["bytes_in"], found["bytes_out"]) == (5, 6)
    assert found["last_activity"][:16] == views.show_time(clock.wall_s())[:16]


async def test_listeners_are_listed_for_one_tenant_and_for_all(both):
    all_of_them = await both.get("/listeners", "ListenerList")
    assert [one["listener"] for one in all_of_them["items"]] == ["web", "lab"]
    of_one = await both.get("/tenants/umbrella/listeners", "ListenerList")
    assert [one["listener"] for one in of_one["items"]] == ["lab"]


async def test_upstreams_are_listed_for_one_tenant_and_for_all(both):
    all_of_them = await both.get("/upstreams", "UpstreamList")
    assert [one["upstream"] for one in all_of_them["items"]] == ["web-v1", "web-v2", "lab"]
    of_one = await both.get("/tenants/umbrella/upstreams", "UpstreamList")
    assert [one["upstream"] for one in of_one["items"]] == ["lab"]


async def test_an_upstream_shows_its_endpoints_and_who_uses_it(both):
    found = await both.get("/tenants/acme/upstreams/web-v1", "Upstream")
    endpoint = found["endpoints"][1]
    endpoint.pop("since")
    assert endpoint == {
        "address": "127.0.0.1:8081",
        "resolved": "127.0.0.1",
        "weight": 2,
        "priority": 0,
        "state": "unchecked",
        "usable": True,
        "reason": "",
        "connections": 0,
        "connections_total": 0,
        "failures": 0,
        "ejections": 0,
        "ejected_until": None,
    }
    assert found["usable_endpoints"] == 2
    assert found["listeners"] == ["web"]


async def test_an_upstream_that_nothing_was_asked_of_says_so(both):
    found = await both.get("/tenants/acme/upstreams/web-v1", "Upstream")
    assert found["discovery"] is None
    assert found["discovery_reason"] == ""
    assert (found["awake"], found["panic"]) == (False, False)
    assert found["limits"] == {"max_connections": None, "slots": 0, "waiting": 0}
    assert found["checks"] == {"passed": 0, "failed": 0}
    counts = ("spares", "retries", "retries_denied", "ejections")
    assert [found[name] for name in counts] == [0, 0, 0, 0]


async def test_an_upstream_in_trouble_shows_which_endpoint_since_when_why_and_for_how_long(
    api, control
):
    ill = EndpointView(
        address="10.0.0.2:80",
        resolved="10.0.0.2",
        reason="5 failures in a row",
        weight=7,
        priority=3,
        state="ejected",
        since_s=1_700_000_000,
        connections=4,
        connections_total=40,
        failures=6,
        ejections=2,
        ejected_until_s=1_700_000_060,
    )
    control.traffic.seen[UpstreamKey("acme", "web-v1")] = {
        "spec": UpstreamSpec(
            "acme", "web-v1", discovery=Discovery("srv", "_web._tcp.acme.svc"), max_connections=50
        ),
        "endpoints": (ill, replace(ill, state="healthy"), replace(ill, state="unhealthy")),
        "awake": True,
        "panic": True,
        "discovery_reason": "SERVFAIL",
        "shortened": "1024 of 4000 addresses are used",
        "slots": 50,
        "waiting": 8,
        "spares": 9,
        "retries": 10,
        "retries_denied": 11,
        "ejections": 12,
        "checks": {"passed": 13, "failed": 14},
    }
    found = (await api.get("/tenants/acme/upstreams", "UpstreamList"))["items"][0]
    assert found["endpoints"][0] == {
        "address": "10.0.0.2:80",
        "resolved": "10.0.0.2",
        "weight": 7,
        "priority": 3,
        "state": "ejected",
        "since": "2023-11-14T22:13:20.000Z",
        "usable": False,
        "reason": "5 failures in a row",
        "connections": 4,
        "connections_total": 40,
        "failures": 6,
        "ejections": 2,
        "ejected_until": "2023-11-14T22:14:20.000Z",
    }
    assert [one["usable"] for one in found["endpoints"]] == [False, True, False]
    assert found["usable_endpoints"] == 1
    assert found["discovery"] == {"srv": "_web._tcp.acme.svc"}
    assert found["discovery_reason"] == "SERVFAIL"
    assert found["shortened"] == "1024 of 4000 addresses are used"
    assert (found["awake"], found["panic"]) == (True, True)
    assert found["limits"] == {"max_connections": 50, "slots": 50, "waiting": 8}
    assert found["spares"] == 9
    assert (found["retries"], found["retries_denied"], found["ejections"]) == (10, 11, 12)
    assert found["checks"] == {"passed": 13, "failed": 14}


async def test_connect_errors_of_an_upstream_are_shown_by_reason(api, control):
    control.traffic.errors[UpstreamKey("acme", "web-v1")] = {"refused": 3, "timeout": 0}
    found = await api.get("/tenants/acme/upstreams/web-v1", "Upstream")
    assert found["connect_errors"] == {"refused": 3}


async def test_the_split_is_what_may_be_put(both):
    assert await both.get(f"{WEB_PATH}/split", "Split") == {"web-v1": 95, "web-v2": 5}


async def test_the_document_can_be_read_back_as_the_same(either, both):
    shown = await both.get("/document", "Document")
    async with both.http.get(f"{both.url}/api/v1/document") as answer:
        assert parse_document(await answer.text()) == either.document()
    assert shown["tenants"]["acme"]["labels"] == {"team": "payments"}


NOT_THERE = [
    "/tenants/nobody",
    "/tenants/nobody/listeners",
    "/tenants/nobody/upstreams",
    "/tenants/acme/listeners/nothing",
    "/tenants/acme/listeners/nothing/split",
    "/tenants/nobody/listeners/web",
    "/tenants/acme/upstreams/nothing",
]


async def test_what_is_not_there_is_not_found_and_the_answer_says_what_is(both):
    for path in NOT_THERE:
        status, problem = await both.ask("GET", path)
        assert (status, problem["code"]) == (404, "not_found"), path
        assert "acme" in problem["hint"]


async def test_status_tells_of_workers_ports_and_the_document(both):
    found = await both.get("/status", "Status")
    assert found["ready"] is True
    assert found["workers"][0]["state"] == "ready"
    assert found["ports"] == {"used": 2, "capacity": 9000}
    assert found["document"] == "/etc/tenantproxy.yaml"


async def test_status_tells_how_each_worker_moves_bytes(api, control):
    control.workers = (*control.workers, replace(control.workers[0], index=1, relay=None))
    found = await api.get("/status", "Status")
    pump = {"mode": "pump", "reason": "asked for the pump"}
    assert [worker["relay"] for worker in found["workers"]] == [pump, None]


async def test_status_tells_why_the_newest_document_was_refused(both, either):
    either.refuse_source(["tenantproxy.yaml:3:1: unknown key"], source="file")
    found = await both.get("/status", "Status")
    assert found["document_problems"] == ["tenantproxy.yaml:3:1: unknown key"]
    assert found["reloads"][-1] == {"source": "file", "result": "refused", "count": 1}


async def test_policies_are_listed_with_their_file(control):
    policy = PolicySpec("idle-sleep", "idle", 900.0, "sleep", file="policies/idle.yaml")
    made = memory_control(policies=[policy])
    async with serving(made) as api:
        (found,) = (await api.get("/policies", "PolicyList"))["items"]
    assert (found["name"], found["after"], found["file"]) == (
        "idle-sleep",
        "15m",
        "policies/idle.yaml",
    )


async def test_generations_come_newest_first(both):
    await both.ask("PUT", f"{WEB_PATH}/split", {"web-v1": 1})
    found = (await both.get("/generations", "GenerationList"))["items"]
    assert [one["number"] for one in found] == [2, 1]
    assert found[0]["source"] == "api"
    assert found[0]["summary"] == "~1 split"


async def test_events_come_oldest_first_and_can_be_cut(api, control):
    for number in range(300):
        control.log.add("opened", "x", tenant="acme" if number % 2 else None)
    items = (await api.get("/events?limit=3", "EventList"))["items"]
    newest = control.log.after(0, 1)[0].number
    assert [one["number"] for one in items] == [newest - 2, newest - 1, newest]
    assert (await api.get("/events?limit=0"))["items"] == []
    after = (await api.get(f"/events?after={newest - 1}"))["items"]
    assert [one["number"] for one in after] == [newest]
    mine = (await api.get("/events?tenant=acme&limit=2"))["items"]
    assert [one["tenant"] for one in mine] == ["acme", "acme"]


@pytest.mark.parametrize("query", ["after=-1", "after=x", "limit=1.5", "limit=" + "9" * 30])
async def test_numbers_that_are_none_are_refused(api, query):
    status, problem = await api.ask("GET", f"/events?{query}")
    assert (status, problem["code"]) == (400, "bad_request")


async def test_a_parameter_that_a_route_does_not_take_is_refused(api):
    status, problem = await api.ask("PUT", f"{WEB_PATH}/split?dryrun=true", {"web-v1": 1})
    assert (status, problem["code"]) == (400, "bad_request")
    assert problem["hint"] == "it takes dry_run"
    assert await api.get(f"{WEB_PATH}/split") == {"web-v1": 95, "web-v2": 5}


async def test_live_and_ready_while_it_runs(both):
    assert await both.get("/livez", "Live") == {"status": "alive"}
    assert await both.get("/readyz", "Ready") == {"ready": True, "reason": ""}


async def test_not_ready_says_why(api, control):
    control.ready = False
    status, shown = await api.ask("GET", "/readyz")
    assert (status, shown["reason"]) == (503, "starting or going down")
    control.workers = (WorkerView(0, None, "backing_off", 3, 0.0, 0, None),)
    _, shown = await api.ask("GET", "/readyz")
    assert shown["reason"] == "no worker is ready"
    assert await api.get("/livez") == {"status": "alive"}


async def test_the_front_page_names_routes(api):
    async with api.http.get(api.url) as answer:
        assert "/openapi.json" in (await answer.json())["routes"]


async def test_thousands_are_shown_and_encoded_beside_the_loop(monkeypatch):
    threads = set()
    real = views.show_listener

    def noting(view, phase):
        threads.add(threading.get_ident())
        return real(view, phase)

    monkeypatch.setattr(views, "show_listener", noting)
    async with serving(many(3, 300)) as api:
        found = await api.get("/listeners")
        assert len(found["items"]) == 900
        names = [(one["tenant"], one["listener"]) for one in found["items"]]
        assert names == sorted(names)
        assert len((await api.get("/tenants/tenant-00001/listeners"))["items"]) == 300
    assert threads
    assert threading.get_ident() not in threads


async def test_a_list_of_thousands_does_not_hold_up_the_loop():
    """50 ms are asked for; the guard is generous, for the machine may be busy.

    The best of three: what holds the loop up does so each time.
    """
    async with serving(many(20, 100)) as api:

        async def worst_s(path):
            async def raw():
                async with api.http.get(f"{api.url}/api/v1{path}") as answer:
                    return await answer.read()

            worst_s, loop = 0.0, asyncio.get_running_loop()
            asking = asyncio.ensure_future(raw())
            while not asking.done():
                before_s = loop.time()
                await asyncio.sleep(0.001)
                worst_s = max(worst_s, loop.time() - before_s)
            assert len(asking.result()) > 10_000
            return worst_s

        for path in ("/listeners", "/upstreams", "/document", "/tenants"):
            assert min([await worst_s(path) for _ in range(3)]) < 0.25, path


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 200, 201])
def test_pieces_join_to_one_list_at_any_length(count):
    pieces = api_module._pieces(range(count), lambda n: n, None)
    assert json.loads(b"".join(pieces)) == {"items": list(range(count))}
