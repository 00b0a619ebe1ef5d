"""What PUT, DELETE and POST change, and what they leave, over both control sides."""

import asyncio

import pytest
from structlog.testing import capture_logs

from tenantproxy.errors import DocumentError, PortTaken, Problem, WakeTimeout
from tenantproxy.model.spec import UpstreamKey
from tests.admin.conftest import serving
from tests.support_control import ACME, WEB

WEB_PATH = "/tenants/acme/listeners/web"
API_PATH = "/tenants/acme/listeners/api"
LISTENER = {"split": {"web-v1": 1}}
UPSTREAM = {"endpoints": ["127.0.0.1:8090"]}
TENANT = {"upstreams": {"one": UPSTREAM}, "listeners": {"web": {"split": {"one": 1}}}}


async def test_a_listener_is_made_and_then_replaced(both):
    status, made = await both.ask("PUT", API_PATH, LISTENER, shape="ListenerWritten")
    assert status == 201
    assert made["source"] == "api"
    assert made["state"] == "asleep"
    assert [(c["op"], c["kind"], c["name"]) for c in made["changes"]] == [
        ("add", "listener", "acme/api")
    ]
    status, again = await both.ask("PUT", API_PATH, LISTENER | {"drain": "5s"})
    assert (status, again["drain"], again["port"]) == (200, "5s", made["port"])


async def test_a_listener_is_removed(both):
    status, said = await both.ask("DELETE", f"{WEB_PATH}?connections=kill", shape="Changes")
    assert (status, said["dry_run"]) == (200, False)
    assert said["changes"][0]["op"] == "remove"
    assert (await both.ask("GET", WEB_PATH))[0] == 404


async def test_a_tenant_is_made_replaced_and_removed(both):
    status, made = await both.ask("PUT", "/tenants/new", TENANT, shape="TenantWritten")
    assert (status, made["source"], made["listeners"]) == (201, "api", ["web"])
    status, made = await both.ask("PUT", "/tenants/new", TENANT | {"labels": {"a": "b"}})
    assert (status, made["labels"]) == (200, {"a": "b"})
    status, said = await both.ask("DELETE", "/tenants/new", shape="Changes")
    assert (status, said["dry_run"]) == (200, False)
    assert (await both.ask("GET", "/tenants/new"))[0] == 404


async def test_an_upstream_is_made_replaced_and_removed(both, either):
    path = "/tenants/acme/upstreams/extra"
    status, made = await both.ask("PUT", path, UPSTREAM, shape="UpstreamWritten")
    assert (status, made["balance"]) == (201, "round_robin")
    status, made = await both.ask("PUT", path, UPSTREAM | {"balance": "least_connections"})
    assert (status, made["balance"]) == (200, "least_connections")
    assert either.upstream(UpstreamKey("acme", "extra")).spec.balance == "least_connections"
    assert (await both.ask("DELETE", path, shape="Changes"))[0] == 200
    assert (await both.ask("GET", path))[0] == 404


async def test_an_upstream_that_a_split_names_is_not_removed(both):
    status, problem = await both.ask("DELETE", "/tenants/acme/upstreams/web-v1")
    assert (status, problem["code"]) == (422, "document_invalid")
    assert problem["problems"][0]["code"] == "unknown_upstream"
    assert (await both.ask("GET", "/tenants/acme/upstreams/web-v1"))[0] == 200


async def test_a_split_is_reweighed_and_says_that_it_came_by_api(both):
    body = {"web-v1": 50, "web-v2": 50}
    status, shown = await both.ask("PUT", f"{WEB_PATH}/split", body, shape="ListenerWritten")
    assert (status, shown["split"]) == (200, body)
    assert (shown["split_source"], shown["source"]) == ("api", "file")
    assert [(c["kind"], c["before"], c["after"]) for c in shown["changes"]] == [
        ("split", "web-v1=95 web-v2=5", "web-v1=50 web-v2=50")
    ]


async def test_a_port_is_opened_put_to_sleep_and_closed(both):
    status, shown = await both.ask("POST", f"{WEB_PATH}/open", shape="ListenerWritten")
    assert (status, shown["state"]) == (200, "open")
    assert shown["changes"][0]["after"] == "state=open"
    assert (await both.ask("POST", f"{WEB_PATH}/open"))[1]["changes"] == []
    status, shown = await both.ask("POST", f"{WEB_PATH}/sleep", shape="ListenerWritten")
    assert (status, shown["state"]) == (200, "asleep")
    status, shown = await both.ask(
        "POST", f"{WEB_PATH}/close?connections=kill", shape="ListenerWritten"
    )
    assert (status, shown["state"]) == (200, "cooling")
    status, problem = await both.ask("POST", f"{WEB_PATH}/sleep")
    assert (status, problem["code"]) == (409, "conflict")


async def test_a_document_is_compared_and_then_put_whole(both, either):
    text = ACME.replace("web-v1: 95, web-v2: 5", "web-v1: 1, web-v2: 1")
    yaml = {"headers": {"Content-Type": "application/yaml"}, "data": text}
    status, said = await both.ask("POST", "/diff", shape="Diff", **yaml)
    assert (status, said["generation"]) == (200, 1)
    assert [c["kind"] for c in said["changes"]] == ["split"]
    assert (await both.get(f"{WEB_PATH}/split")) == {"web-v1": 95, "web-v2": 5}
    status, said = await both.ask("PUT", "/document", shape="DocumentWritten", **yaml)
    assert (status, said["generation"], said["dry_run"]) == (200, 2, False)
    assert (await both.get(f"{WEB_PATH}/split")) == {"web-v1": 1, "web-v2": 1}


async def test_what_get_document_shows_can_be_put_back(both):
    shown = await both.get("/document")
    status, said = await both.ask("PUT", "/document", shown)
    assert (status, said["changes"]) == (200, [])


async def test_a_document_with_another_proxy_part_is_a_conflict(both):
    shown = await both.get("/document")
    shown["proxy"]["workers"] = 7
    status, problem = await both.ask("PUT", "/document", shown)
    assert (status, problem["code"]) == (409, "conflict")
    assert "restart" in problem["hint"]


WRITES = [
    ("PUT", "/tenants/new", TENANT),
    ("DELETE", "/tenants/acme", None),
    ("PUT", API_PATH, LISTENER),
    ("PUT", WEB_PATH, LISTENER),
    ("DELETE", WEB_PATH, None),
    ("PUT", f"{WEB_PATH}/split", {"web-v1": 1}),
    ("POST", f"{WEB_PATH}/open", None),
    ("POST", f"{WEB_PATH}/close", None),
    ("PUT", "/tenants/acme/upstreams/extra", UPSTREAM),
    ("PUT", "/document", {"version": 1}),
]


async def test_a_dry_run_says_what_would_change_and_changes_nothing(both, either):
    proxy = (await both.get("/document"))["proxy"]
    before, views = either.document(), either.listeners()
    for method, path, body in WRITES:
        whole = path == "/document"
        sent = {**body, "proxy": proxy} if whole and body else body
        shape = "DocumentWritten" if whole else "Changes"
        status, said = await both.ask(method, f"{path}?dry_run=true", sent, shape=shape)
        assert (status, said["dry_run"]) == (200, True), path
        assert said["changes"], path
        assert either.document() == before, path
        assert either.status().generation == 1, path
        assert either.listeners() == views, path


async def test_a_dry_run_finds_what_is_wrong_too(both):
    status, problem = await both.ask("PUT", f"{API_PATH}?dry_run=true", {"split": {"gone": 1}})
    assert (status, problem["code"]) == (422, "document_invalid")


async def test_sleeping_again_changes_nothing(api):
    _, said = await api.ask("POST", f"{WEB_PATH}/sleep?dry_run=true")
    assert said == {"dry_run": True, "changes": []}


NOT_THERE = [
    ("PUT", "/tenants/nobody/listeners/web", LISTENER),
    ("PUT", "/tenants/nobody/upstreams/web", UPSTREAM),
    ("PUT", "/tenants/acme/listeners/nothing/split", {"web-v1": 1}),
    ("DELETE", "/tenants/nobody", None),
    ("DELETE", "/tenants/acme/listeners/nothing", None),
    ("DELETE", "/tenants/acme/upstreams/nothing", None),
    ("POST", "/tenants/acme/listeners/nothing/open", None),
    ("POST", "/tenants/acme/listeners/nothing/sleep", None),
    ("POST", "/tenants/acme/listeners/nothing/close", None),
]


async def test_what_is_not_there_cannot_be_changed(both):
    for method, path, body in NOT_THERE:
        status, problem = await both.ask(method, path, body)
        assert (status, problem["code"]) == (404, "not_found"), path


async def test_an_unsound_listener_is_refused_with_all_its_problems(both, either):
    body = {"split": {"web-v1": -1}, "prot": "tcp", "drain": 5}
    status, problem = await both.ask("PUT", WEB_PATH, body)
    assert (status, problem["code"]) == (422, "document_invalid")
    assert len(problem["problems"]) == 3
    assert either.status().generation == 1


async def test_a_key_of_a_later_version_is_refused_as_such(both):
    status, problem = await both.ask("PUT", WEB_PATH, LISTENER | {"mirror": {"to": "web-v2"}})
    assert status == 422
    assert problem["problems"][0]["code"] == "not_supported_yet"


async def test_problems_of_a_document_have_line_and_column(both):
    text = ACME.replace("web-v1: 95", "web-v9: 95")
    more = {"headers": {"Content-Type": "application/yaml"}, "data": text}
    status, problem = await both.ask("PUT", "/document", **more)
    line = next(n for n, row in enumerate(text.splitlines(), 1) if "web-v9" in row)
    assert status == 422
    assert problem["problems"][0]["line"] == line
    assert problem["problems"][0]["column"] > 1


@pytest.mark.parametrize(
    ("error", "status"),
    [(PortTaken("port 21001 is taken"), 409), (WakeTimeout("not open in time"), 504)],
)
async def test_why_a_port_does_not_open_is_told(api, control, monkeypatch, error, status):
    async def failing(key):
        raise error

    monkeypatch.setattr(control, "open", failing)
    got, problem = await api.ask("POST", f"{WEB_PATH}/open")
    assert (got, problem["code"], problem["retryable"]) == (status, error.code, True)


@pytest.mark.parametrize("query", ["dry_run=yes", "dry_run=", "connections=slowly"])
async def test_a_parameter_with_an_unknown_value_is_refused(api, control, query):
    status, problem = await api.ask("DELETE", f"{WEB_PATH}?{query}")
    assert (status, problem["code"]) == (400, "bad_request")
    assert control.listener(WEB)


async def test_what_becomes_of_connections_is_passed_on(api, control, monkeypatch):
    seen = []

    def noting(real):
        async def call(key, **more):
            seen.append(more.get("connections"))
            return await real(key, **more)

        return call

    for name in ("sleep", "close", "delete_listener"):
        monkeypatch.setattr(control, name, noting(getattr(control, name)))
    await api.ask("POST", f"{WEB_PATH}/sleep?connections=keep")
    await api.ask("POST", f"{WEB_PATH}/close?connections=kill")
    await api.ask("DELETE", WEB_PATH)
    assert seen == ["keep", "kill", "drain"]


async def test_reload_reads_the_document_again(control):
    calls = []

    async def reload():
        calls.append("read")

    async with serving(control, reload=reload) as api:
        assert await api.ask("POST", "/reload", shape="Reloaded") == (200, {"generation": 1})
    assert calls == ["read"]


async def test_reload_of_a_broken_document_tells_its_problems(control):
    async def reload():
        raise DocumentError((Problem("unknown key", "tenants.x", "a.yaml", 3, 1),))

    async with serving(control, reload=reload) as api:
        status, problem = await api.ask("POST", "/reload")
    assert (status, problem["problems"][0]["line"]) == (422, 3)


async def test_reload_that_only_notes_the_problems_is_refused_all_the_same(control):
    async def reload():
        control.refuse_source(["a.yaml:3:1: unknown key"], source="file")

    async with serving(control, reload=reload) as api:
        status, problem = await api.ask("POST", "/reload")
    assert (status, problem["problems"][0]["message"]) == (422, "a.yaml:3:1: unknown key")


async def test_reload_without_a_document_is_a_conflict(api):
    assert (await api.ask("POST", "/reload"))[1]["code"] == "conflict"


async def test_each_change_is_logged_with_who_made_it_and_reads_are_not(control):
    with capture_logs() as lines:
        async with serving(control, token="secret") as api:
            api.http.headers["Authorization"] = "Bearer secret"
            await api.ask("GET", WEB_PATH)
            await api.ask("PUT", f"{WEB_PATH}/split?dry_run=true", {"web-v2": 1})
            await api.ask("PUT", f"{WEB_PATH}/split", {"web-v2": 1})
    (line,) = [line for line in lines if line["event"] == "api_change"]
    assert (line["who"], line["method"]) == ("token", "PUT")
    assert line["path"] == "/api/v1/tenants/acme/listeners/web/split"
    assert line["changes"] == ["change split acme/web"]
    assert "secret" not in str(lines)


async def test_changes_that_come_together_are_all_made(both, either):
    paths = [f"/tenants/acme/listeners/l{n}" for n in range(20)]
    answers = await asyncio.gather(*(both.ask("PUT", path, LISTENER) for path in paths))
    assert {status for status, _ in answers} == {201}
    assert len(either.listeners("acme")) == 21


async def test_a_change_of_one_port_does_not_look_at_all_ports_of_its_tenant(
    api, control, monkeypatch
):
    """With 10,000 listeners the sums of a tenant hold the loop up for 180 ms."""

    def dear(name):
        raise AssertionError("sums over every listener")

    monkeypatch.setattr(control, "tenant", dear)
    assert (await api.ask("PUT", API_PATH, LISTENER))[0] == 201
    assert (await api.ask("PUT", "/tenants/acme/upstreams/extra", UPSTREAM))[0] == 201
    assert (await api.ask("PUT", f"{WEB_PATH}/split", {"web-v1": 1}))[0] == 200
    assert (await api.ask("GET", "/tenants/acme/listeners"))[0] == 200
    assert (await api.ask("GET", "/tenants/acme/upstreams"))[0] == 200
    assert (await api.ask("DELETE", WEB_PATH))[0] == 200
    assert (await api.ask("DELETE", "/tenants/acme"))[0] == 200
