"""The API on a port of its own; `control` is a stand-in, `either` the stand-in and the real one."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from jsonschema import Draft202012Validator

from tenantproxy.admin.app import make_app
from tenantproxy.admin.openapi import openapi
from tenantproxy.control.facade import Control
from tenantproxy.metrics.site import start_site
from tests.support_control import MemoryControl, memory_control, real_control


class Client:
    """Asks the API, and holds every JSON answer against the shape that OpenAPI promises."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url, self.http = url, http
        self.headers = {}

    async def ask(self, method, path, body=None, *, shape=None, **more):
        """Return (status, JSON); `headers` has those of the answer afterwards."""
        if body is not None:
            more.setdefault("data", json.dumps(body))
            more["headers"] = {"Content-Type": "application/json"} | more.get("headers", {})
        if not path.startswith(("/api", "/openapi", "/livez", "/readyz")):
            path = f"/api/v1{path}"
        async with self.http.request(method, self.url + path, **more) as answer:
            self.headers = answer.headers
            data = json.loads(await answer.read())
            if answer.status >= 400 and not path.startswith("/readyz"):
                assert answer.content_type == "application/problem+json"
                assert data["status"] == answer.status
                hold(data, "Problem")
            elif shape:
                hold(data, shape)
            return answer.status, data

    async def get(self, path, shape=None, **more):
        status, data = await self.ask("GET", path, shape=shape, **more)
        assert status == 200, data
        return data


def hold(data, shape):
    """Hold an answer against a component schema; closed, so a key too many fails too."""
    whole = openapi()
    schema = {"$ref": f"#/components/schemas/{shape}", "components": whole["components"]}
    Draft202012Validator(schema).validate(data)


@asynccontextmanager
async def serving(control, *, token=None, reload=None) -> AsyncIterator[Client]:
    app = make_app(control, token=token, reload=reload)
    runner, port = await start_site(app, "127.0.0.1", 0, "admin")
    try:
        async with aiohttp.ClientSession() as http:
            yield Client(f"http://127.0.0.1:{port}", http)
    finally:
        await runner.cleanup()


@pytest.fixture
def control() -> Iterator[MemoryControl]:
    made = memory_control()
    yield made
    made.end()


@pytest.fixture
async def api(control) -> AsyncIterator[Client]:
    async with serving(control) as client:
        yield client


@pytest.fixture(params=["stand-in", "real"])
async def either(request) -> AsyncIterator[Control]:
    if request.param == "real":
        async with real_control() as running:
            yield running
    else:
        made = memory_control()
        yield made
        made.end()


@pytest.fixture
async def both(either) -> AsyncIterator[Client]:
    """The API over the stand-in, and again over the real control side."""
    async with serving(either) as client:
        yield client
