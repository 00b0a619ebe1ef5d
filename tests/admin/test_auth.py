"""Who is let in: with a token, without one, and never a foreign page."""

import asyncio

import pytest

from tenantproxy.admin.auth import _is_literal
from tests.admin.conftest import serving

PATH = "/tenants/acme/listeners/web"


@pytest.fixture
async def guarded(control):
    async with serving(control, token="s3cret-ü") as client:
        yield client


def bearer(token):
    return {"headers": {"Authorization": f"Bearer {token}"}}


async def test_the_right_token_lets_in(guarded):
    assert (await guarded.ask("GET", PATH, **bearer("s3cret-ü")))[0] == 200
    more = {"headers": {"Authorization": "bearer s3cret-ü"}}
    assert (await guarded.ask("GET", PATH, **more))[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer s3cret-"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic s3cret-ü"},
        {"Authorization": "s3cret-ü"},
    ],
)
async def test_anything_else_is_refused_with_how_to_do_it(guarded, headers):
    status, problem = await guarded.ask("GET", PATH, headers=headers)
    assert (status, problem["code"]) == (401, "unauthorized")
    assert guarded.headers["WWW-Authenticate"] == "Bearer"
    assert problem["hint"]
    assert "s3cret" not in str(problem)


async def test_a_route_that_is_not_there_is_not_told_without_a_token(guarded):
    assert (await guarded.ask("GET", "/nothing"))[0] == 401
    assert (await guarded.ask("GET", "/nothing", **bearer("s3cret-ü")))[0] == 404


async def test_openapi_needs_the_token_and_probes_do_not(guarded):
    assert (await guarded.ask("GET", "/openapi.json"))[0] == 401
    assert (await guarded.ask("GET", "/livez"))[0] == 200
    assert (await guarded.ask("GET", "/readyz"))[0] == 200


async def test_with_a_token_any_host_and_origin_will_do(guarded):
    headers = {"Host": "proxy.example", "Origin": "https://ui.example"}
    headers |= bearer("s3cret-ü")["headers"]
    assert (await guarded.ask("GET", PATH, headers=headers))[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9900", "127.0.0.1.evil.example"])
async def test_without_a_token_a_name_that_could_be_rebound_is_refused(api, host):
    status, problem = await api.ask("GET", PATH, headers={"Host": host})
    assert (status, problem["code"]) == (403, "forbidden_host")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost:9900", "[::1]:9900", "[::1]", "LOCALHOST"]
)
async def test_without_a_token_addresses_and_localhost_are_taken(api, host):
    assert (await api.ask("GET", PATH, headers={"Host": host}))[0] == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", ""])
async def test_without_a_token_pages_of_another_origin_are_refused(api, control, origin):
    more = {"headers": {"Origin": origin}}
    status, problem = await api.ask("POST", f"{PATH}/open", **more)
    assert (status, problem["code"]) == (403, "forbidden_origin")
    assert control.status().generation == 1


async def test_without_a_token_our_own_page_may(api):
    assert (await api.ask("GET", PATH, headers={"Origin": api.url}))[0] == 200


async def test_probes_may_use_any_host(api):
    assert (await api.ask("GET", "/readyz", headers={"Host": "pod.example"}))[0] == 200


async def test_a_request_without_a_host_is_refused(api):
    port = int(api.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /api/v1/tenants HTTP/1.0\r\n\r\n")
    assert b" 403 " in await reader.readline()
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("host", ["", ":", ":80", "[::1", "1.2.3.4:x", "localhost.evil", "a:b:c"])
def test_what_is_no_address_is_none(host):
    assert not _is_literal(host) or host == "[::1"
