"""Bodies are bounded, typed and strict."""

import asyncio
import io

import pytest

from tenantproxy.admin import bodies
from tenantproxy.metrics.site import LINGER_S
from tests.support_control import ACME, WEB

PATH = "/tenants/acme/listeners/web"
JSON = {"Content-Type": "application/json"}


async def put(api, data, path=PATH, headers=JSON):
    if isinstance(data, bytes):
        data = io.BytesIO(data)  # aiohttp's client warns of large bytes
    return await api.ask("PUT", path, data=data, headers=headers)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "text/json"])
async def test_a_body_of_another_type_is_refused_with_how_to_send_it(api, kind):
    status, problem = await put(api, b"{}", headers={"Content-Type": kind})
    assert (status, problem["code"]) == (415, "unsupported_media_type")
    assert problem["hint"] == "with curl: -H 'Content-Type: application/json'"


async def test_a_body_without_a_type_is_refused(api):
    assert (await api.ask("PUT", PATH))[0] == 415


async def test_yaml_is_taken_for_documents_only(api):
    yaml = {"Content-Type": "application/yaml"}
    assert (await put(api, b"split: {web-v1: 1}", headers=yaml))[0] == 415
    assert (await put(api, ACME.encode(), "/document", headers=yaml))[0] == 200
    with_charset = {"Content-Type": "application/yaml; charset=utf-8"}
    assert (await put(api, ACME.encode(), "/document", headers=with_charset))[0] == 200


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not JSON"),
        (b'{"split": {', "line 1, column"),
        (b'{"a": 1, "a": 2}', "'a' stands twice"),
        (b'{"split": {"web-v1": 1, "web-v1": 2}}', "'web-v1' stands twice"),
        (b'{"a": NaN}', "NaN"),
        (b"\xff\xfe", "not UTF-8 at byte 0"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON that can be used"),
    ],
)
async def test_what_is_not_strict_json_is_refused_and_told_why(api, control, data, says):
    status, problem = await put(api, data)
    assert (status, problem["code"]) == (400, "bad_request")
    assert says in problem["detail"]
    assert control.status().generation == 1


@pytest.mark.parametrize("data", [b"[]", b"null", b'"x"', b"1"])
async def test_json_that_is_no_object_is_an_unsound_listener(api, data):
    assert (await put(api, data))[0] == 422


async def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_read(api):
    reader, writer = await asyncio.open_connection("127.0.0.1", int(api.url.rpartition(":")[2]))
    writer.write(
        b"PUT /api/v1/tenants/acme HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        b"Content-Type: application/json\r\nContent-Length: 1048577\r\n\r\n"
    )
    assert b" 413 " in await reader.readline()
    assert b"body_too_large" in await reader.read()
    writer.close()
    await writer.wait_closed()


async def test_a_body_of_unknown_length_is_cut_off_at_the_limit(api, control, monkeypatch):
    monkeypatch.setattr(bodies, "OBJECT_BYTES", 100_000)

    async def endless():
        for _ in range(50):
            yield b" " * 10_000

    status, problem = await put(api, endless())
    assert (status, problem["code"]) == (413, "body_too_large")
    assert control.listener(WEB)
    await asyncio.sleep(LINGER_S + 0.1)


async def test_a_body_just_below_the_limit_is_taken(api):
    assert (await put(api, b'{"split":{"web-v1":1}}'.ljust(bodies.OBJECT_BYTES)))[0] == 200
    assert (await put(api, b"{}".ljust(bodies.OBJECT_BYTES + 1)))[0] == 413
    await asyncio.sleep(LINGER_S + 0.1)


async def test_documents_may_be_larger(api):
    text = ACME + "# " + "x" * bodies.OBJECT_BYTES + "\n"
    yaml = {"Content-Type": "application/yaml"}
    assert (await put(api, text.encode(), "/document", headers=yaml))[0] == 200


async def test_a_document_with_a_byte_order_mark_is_taken(api):
    yaml = {"Content-Type": "application/yaml"}
    assert (await put(api, b"\xef\xbb\xbf" + ACME.encode(), "/document", headers=yaml))[0] == 200


async def test_a_document_in_broken_yaml_is_told_with_its_line(api):
    yaml = {"Content-Type": "application/yaml"}
    status, problem = await put(api, b"version: 1\ntenants: [", "/document", headers=yaml)
    assert (status, problem["code"]) == (422, "document_invalid")
    assert problem["problems"][0]["line"] >= 2
