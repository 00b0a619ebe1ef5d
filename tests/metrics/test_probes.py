"""`/livez` and `/readyz` on the metrics port: what the admin port answers, byte for byte."""

import aiohttp
import pytest

from tenantproxy.admin.app import make_app as make_admin_app
from tenantproxy.metrics.site import start_site


@pytest.fixture
async def admin_url(control):
    runner, port = await start_site(make_admin_app(control, token=None), "127.0.0.1", 0, "admin")
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


async def ask(http: aiohttp.ClientSession, url: str) -> tuple[int, str, bytes]:
    async with http.get(url) as answer:
        return answer.status, answer.headers["Content-Type"], await answer.read()


async def test_a_daemon_that_serves_is_alive_and_ready(url, http):
    assert await ask(http, f"{url}/livez") == (
        200,
        "application/json",
        b'{"status":"alive"}\n',
    )
    assert await ask(http, f"{url}/readyz") == (
        200,
        "application/json",
        b'{"ready":true,"reason":""}\n',
    )


async def test_a_daemon_that_goes_down_is_alive_and_not_ready(url, http, control):
    control.ready = False
    status, _, body = await ask(http, f"{url}/readyz")
    assert (status, body) == (503, b'{"ready":false,"reason":"starting or going down"}\n')
    assert (await ask(http, f"{url}/livez"))[0] == 200


@pytest.mark.parametrize("ready", [True, False])
@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_both_ports_answer_the_same(url, admin_url, http, control, path, ready):
    control.ready = ready
    assert await ask(http, url + path) == await ask(http, admin_url + path)


async def test_a_probe_by_head_is_answered(url, http):
    async with http.head(f"{url}/readyz") as answer:
        assert answer.status == 200
