"""Routes of rollouts: looking, putting, taking away, and the commands."""

import json

import pytest
from structlog.testing import capture_logs

from tenantproxy import clock
from tenantproxy.admin.rollout_views import show_rollout
from tenantproxy.errors import Conflict
from tenantproxy.model.rollout import Phase
from tenantproxy.model.spec import ListenerKey, SplitMember
from tests.admin.conftest import serving
from tests.support_control import WEB, real_control
from tests.support_rollouts import running, view

WEB_PATH = "/tenants/acme/listeners/web"
PATH = f"{WEB_PATH}/rollout"
BODY = {"from": "web-v1", "to": "web-v2", "start": "manual", "steps": [{"weight": 5, "hold": "2m"}]}
OTHER = BODY | {"steps": [{"weight": 5, "hold": "2m"}, {"weight": 50, "hold": "10m"}]}
COMMANDS = ("start", "pause", "resume", "promote", "abort", "rollback")


@pytest.fixture
def rolling(control):
    """A rollout of acme/web in its second step."""
    control.rolling.views[WEB] = running(WEB, clock.wall_s())
    return control


async def test_a_rollout_is_made_replaced_and_taken_away(both):
    status, made = await both.ask("PUT", PATH, BODY, shape="RolloutWritten")
    assert (status, made["state"], made["to"]) == (201, "waiting", "web-v2")
    assert made["changes"][0]["name"] == "acme/web"
    tag = both.headers["ETag"]
    shown = await both.get(PATH, "Rollout")
    assert (both.headers["ETag"], shown["spec"]) == (tag, made["spec"])
    status, made = await both.ask("PUT", PATH, OTHER, shape="RolloutWritten")
    assert (status, len(made["steps"])) == (200, 2)
    assert both.headers["ETag"] != tag
    status, said = await both.ask("DELETE", PATH, shape="Changes")
    assert (status, said["dry_run"]) == (200, False)
    assert said["changes"]
    assert (await both.ask("GET", PATH))[0] == 404


async def test_what_get_shows_can_be_put_back(both):
    await both.ask("PUT", PATH, OTHER)
    shown = await both.get(PATH)
    status, again = await both.ask("PUT", PATH, shown["spec"], shape="RolloutWritten")
    assert (status, again["changes"]) == (200, [])


async def test_null_takes_it_away_as_in_a_document(both):
    await both.ask("PUT", PATH, BODY)
    status, said = await both.ask("PUT", PATH, data="null", headers=_JSON, shape="Changes")
    assert (status, said["dry_run"]) == (200, False)
    assert (await both.ask("GET", PATH))[0] == 404
    assert (await both.ask("PUT", PATH, data="null", headers=_JSON))[0] == 404


_JSON = {"Content-Type": "application/json"}


async def test_a_dry_run_says_what_would_change_and_changes_nothing(both, either):
    status, said = await both.ask("PUT", f"{PATH}?dry_run=true", BODY, shape="Changes")
    assert (status, said["dry_run"]) == (200, True)
    assert said["changes"]
    assert either.rollouts() == []
    await both.ask("PUT", PATH, BODY)
    before = either.rollout(WEB).phase
    status, said = await both.ask("DELETE", f"{PATH}?dry_run=true", shape="Changes")
    assert (status, said["dry_run"]) == (200, True)
    status, said = await both.ask("POST", f"{PATH}/start?dry_run=true", shape="Changes")
    assert (status, said["dry_run"]) == (200, True)
    assert said["changes"][0]["after"] == "start"
    assert either.rollout(WEB).phase is before


async def test_a_dry_run_finds_that_a_command_does_not_fit(both, either):
    await both.ask("PUT", PATH, BODY)
    status, problem = await both.ask("POST", f"{PATH}/pause?dry_run=true")
    assert (status, problem["code"]) == (409, "conflict")


async def test_a_version_that_is_not_the_present_one_is_refused(both, either):
    await both.ask("PUT", PATH, BODY)
    tag = both.headers["ETag"]
    old = {"headers": {"If-Match": '"something"'}}
    for method, body in (("PUT", OTHER), ("DELETE", None)):
        status, problem = await both.ask(method, PATH, body, **old)
        assert (status, problem["code"]) == (412, "stale_version")
    assert len(either.rollout(WEB).spec.steps) == 1
    new = {"headers": {"If-None-Match": "*"}}
    assert (await both.ask("PUT", PATH, OTHER, **new))[0] == 412
    assert (await both.ask("PUT", PATH, OTHER, headers={"If-Match": tag}))[0] == 200
    assert (await both.ask("DELETE", PATH, headers={"If-Match": tag}))[0] == 412


async def test_the_version_stays_while_the_rollout_moves_on(both, either):
    await both.ask("PUT", PATH, BODY)
    tag = both.headers["ETag"]
    await both.ask("POST", f"{PATH}/start")
    await both.get(PATH)
    assert both.headers["ETag"] == tag


async def test_an_unsound_rollout_is_refused(both, either):
    status, problem = await both.ask("PUT", PATH, {"from": "web-v1"})
    assert (status, problem["code"]) == (422, "document_invalid")
    assert either.rollouts() == []


async def test_rollouts_are_listed_for_one_tenant_and_for_all(api, rolling):
    lab = ListenerKey("umbrella", "lab")
    rolling.rolling.views = {lab: view(lab), **rolling.rolling.views}
    every = (await api.get("/rollouts", "RolloutList"))["items"]
    assert [(one["tenant"], one["listener"]) for one in every] == [WEB, lab]
    of_one = (await api.get("/tenants/umbrella/rollouts", "RolloutList"))["items"]
    assert [one["listener"] for one in of_one] == ["lab"]
    assert every[0] == show_rollout(rolling.rollout(WEB))
    assert (await api.ask("GET", "/tenants/nobody/rollouts"))[0] == 404


async def test_without_a_rollout_there_is_nothing_to_look_at_or_to_command(both):
    for method, path in (
        ("GET", PATH),
        ("DELETE", PATH),
        *(("POST", f"{PATH}/{command}") for command in COMMANDS),
        ("GET", "/tenants/acme/listeners/nothing/rollout"),
        ("DELETE", "/tenants/acme/listeners/nothing/rollout"),
    ):
        status, problem = await both.ask(method, path)
        assert (status, problem["code"]) == (404, "not_found"), path
    for path in ("/tenants/acme/listeners/no/rollout", "/tenants/no/listeners/web/rollout"):
        assert (await both.ask("PUT", path, BODY))[0] == 404


async def test_every_command_is_passed_on_and_answered_with_the_rollout(api, control, monkeypatch):
    control.rolling.views[WEB] = running(WEB, clock.wall_s())
    asked = []

    async def noting(key, command, *, dry_run):
        asked.append((key, command, dry_run))
        return control.rolling.set(key, phase=Phase.PAUSED, reason=f"asked to {command}")

    monkeypatch.setattr(control, "command_rollout", noting)
    for command in COMMANDS:
        control.rolling.set(WEB, phase=Phase.RUNNING)
        status, shown = await api.ask("POST", f"{PATH}/{command}", shape="RolloutWritten")
        assert (status, shown["state"]) == (200, "paused")
        assert shown["reason"] == f"asked to {command}"
        assert [(one["before"], one["after"]) for one in shown["changes"]] == [
            ("running, step 2 of 4, 25%", "paused, step 2 of 4, 25%")
        ]
    assert asked == [(WEB, command, False) for command in COMMANDS]


async def test_a_rollout_takes_its_commands_and_owns_the_split_meanwhile(both, either):
    await both.ask("PUT", PATH, BODY)
    for verb, state in (
        ("start", "running"),
        ("pause", "paused"),
        ("resume", "running"),
        ("abort", None),
    ):
        status, shown = await both.ask("POST", f"{PATH}/{verb}", shape="RolloutWritten")
        assert status == 200, shown
        assert state in (None, shown["state"]), verb
        listener = await both.get(WEB_PATH, "Listener")
        assert listener["rollout"] == shown["state"]
    assert shown["state"] in ("rolling_back", "aborted")
    assert (await both.ask("POST", f"{PATH}/pause"))[0] == 409
    assert (await both.get("/rollouts", "RolloutList"))["items"][0]["state"] == shown["state"]


async def test_the_real_control_side_keeps_the_split_of_a_rollout_on_its_way():
    async with real_control() as control, serving(control) as api:
        await api.get(f"{WEB_PATH}/split")
        tag = api.headers["ETag"]
        await api.ask("PUT", PATH, BODY)
        await api.ask("POST", f"{PATH}/start")
        status, problem = await api.ask("PUT", f"{WEB_PATH}/split", {"web-v1": 1, "web-v2": 1})
        assert (status, problem["code"]) == (409, "rollout_owns_split")
        assert "abort" in problem["hint"]
        split = await api.get(f"{WEB_PATH}/split")
        assert split["web-v2"] * 95 == split["web-v1"] * 5
        assert api.headers["ETag"] == tag
        items = (await api.get("/tenants/acme/listeners", "ListenerList"))["items"]
        previews = {one["listener"]: one["preview_of"] for one in items}
        assert previews == {"web": None, "web.preview": "web"}
        shown = await api.get(PATH, "Rollout")
        assert shown["preview"]["listener"] == "web.preview"
        status, problem = await api.ask("PUT", f"{PATH.replace('web', 'web.preview')}", BODY)
        assert status in (404, 409), problem


async def test_a_command_that_does_not_fit_is_a_conflict_with_a_way_out(api, rolling):
    before = rolling.rollout(WEB)
    status, problem = await api.ask("POST", f"{PATH}/resume")
    assert (status, problem["code"]) == (409, "conflict")
    assert "running" in problem["detail"]
    assert problem["hint"]
    assert rolling.rollout(WEB) is before


async def test_a_command_takes_no_parameter_but_dry_run(api, rolling):
    status, problem = await api.ask("POST", f"{PATH}/pause?dryrun=true")
    assert (status, problem["code"]) == (400, "bad_request")
    assert rolling.rollout(WEB).phase is Phase.RUNNING


async def test_changes_and_commands_are_logged_and_dry_runs_are_not(control):
    with capture_logs() as lines:
        async with serving(control) as api:
            await api.ask("PUT", f"{PATH}?dry_run=true", BODY)
            await api.ask("PUT", PATH, BODY)
            await api.ask("POST", f"{PATH}/start?dry_run=true")
            await api.ask("POST", f"{PATH}/start")
            await api.ask("DELETE", f"{PATH}?dry_run=true")
            await api.ask("DELETE", PATH)
    paths = [(one["method"], one["path"]) for one in lines if one["event"] == "api_change"]
    assert paths == [
        (method, f"/api/v1{path}")
        for method, path in (("PUT", PATH), ("POST", f"{PATH}/start"), ("DELETE", PATH))
    ]


async def test_a_split_that_a_rollout_owns_is_a_conflict_with_its_own_code(
    api, control, monkeypatch
):
    class Owned(Conflict):
        code = "rollout_owns_split"

    async def owned(key, split, *, dry_run):
        raise Owned("the rollout of acme/web is running", hint="abort it first")

    monkeypatch.setattr(control, "set_split", owned)
    status, problem = await api.ask("PUT", f"{WEB_PATH}/split", {"web-v1": 1})
    assert (status, problem["code"]) == (409, "rollout_owns_split")
    assert problem["hint"] == "abort it first"


async def test_a_listener_says_how_far_its_rollout_is(api, rolling):
    assert (await api.get(WEB_PATH, "Listener"))["rollout"] == "running"
    for path in ("/tenants/acme/listeners", "/listeners"):
        items = (await api.get(path, "ListenerList"))["items"]
        assert {one["listener"]: one["rollout"] for one in items if one["tenant"] == "acme"} == {
            "web": "running"
        }
    assert (await api.get("/tenants/umbrella/listeners/lab", "Listener"))["rollout"] is None
    _, shown = await api.ask("POST", f"{WEB_PATH}/open", shape="ListenerWritten")
    assert shown["rollout"] == "running"


async def test_versions_are_of_what_is_declared_while_a_rollout_moves_the_split(api, rolling):
    """Else no `If-Match` could ever hold, for what is declared is what a writer replaces."""
    declared = {"web-v1": 95, "web-v2": 5}
    tags = {}
    for path in (WEB_PATH, f"{WEB_PATH}/split", "/tenants/acme"):
        await api.get(path)
        tags[path] = api.headers["ETag"]
    rolling.in_force[WEB] = (SplitMember("web-v1", 75), SplitMember("web-v2", 25))
    assert await api.get(f"{WEB_PATH}/split") == {"web-v1": 75, "web-v2": 25}
    shown = await api.get(WEB_PATH)
    assert shown["split"] == shown["spec"]["split"] == {"web-v1": 75, "web-v2": 25}
    tenant = await api.get("/tenants/acme")
    assert tenant["spec"]["listeners"]["web"]["split"] == declared
    for path, tag in tags.items():
        await api.get(path)
        assert api.headers["ETag"] == tag, path
    more = {"headers": {"If-Match": tags[f"{WEB_PATH}/split"]}}
    assert (await api.ask("PUT", f"{WEB_PATH}/split", declared, **more))[0] == 200


async def test_its_events_come_with_the_watch(api, rolling):
    async with api.http.get(f"{api.url}/api/v1/watch") as stream:
        await stream.content.readuntil(b"\n\n")
        await api.ask("POST", f"{PATH}/pause")
        frame = await stream.content.readuntil(b"\n\n")
    event = json.loads(frame.partition(b"data: ")[2])
    assert (event["event"], event["object"]) == ("rollout_paused", "listener/web")
