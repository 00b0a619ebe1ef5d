"""The admin API as a command sees it: answers, or errors of `tenantproxy.errors`."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
from yarl import URL

from tenantproxy.cli.settings import Settings
from tenantproxy.errors import (
    DocumentError,
    NotFound,
    Problem,
    ServerUnreachable,
    TenantProxyError,
    Unauthorized,
)

PATIENCE_S = 30.0
"""For an answer; commands that wait for a port to open are more patient."""
CONNECT_S = 5.0
SILENCE_S = 45.0
"""A watch beats every 15 seconds; three missed beats mean that the daemon is gone."""
_LINE_BYTES = 4 << 20

_T = TypeVar("_T")


class Refused(TenantProxyError):
    """The daemon said no, in words that this program has no class for."""


def path_of(*parts: str) -> str:
    """Return `/api/v1/...` with every part quoted."""
    return "/".join(("/api/v1", *(quote(part, safe="") for part in parts)))


class Client:
    """One conversation with a daemon; made by `connected`."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str) -> None:
        self._session = session
        self.base_url = base_url

    async def get(self, path: str, **params: str | int) -> Any:
        """Return the answer to a GET.

        Raises:
            TenantProxyError: refused, or no answer.
        """
        return await self.send("GET", path, params=params)

    async def send(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        yaml: str | None = None,
        params: Mapping[str, str | int] | None = None,
        patience_s: float = PATIENCE_S,
    ) -> Any:
        """Return the answer; `body` is sent as JSON, `yaml` as it is.

        Raises:
            TenantProxyError: refused, or no answer in time.
        """
        request: dict[str, Any] = {"params": dict(params or {})}
        if yaml is not None:
            request["data"] = yaml.encode()
            request["headers"] = {"Content-Type": "application/yaml"}
        elif body is not None:
            request["json"] = body
        timeout = aiohttp.ClientTimeout(total=patience_s, sock_connect=CONNECT_S)
        with _reaching(self.base_url):
            async with self._session.request(
                method, self._url(path), timeout=timeout, **request
            ) as answer:
                return await _content(answer)

    async def events(
        self, *, after: int | None = None, tenant: str | None = None
    ) -> AsyncGenerator[dict[str, Any] | None, None]:
        """Yield events as they happen, from the one after `after`; None: some were missed.

        With `tenant` only those of that one.

        The first item is always None, as soon as the stream stands: from
        there on nothing is lost, so look at the whole at every None.

        Raises:
            TenantProxyError: the stream cannot be had, or broke.
        """
        timeout = aiohttp.ClientTimeout(sock_connect=CONNECT_S, sock_read=SILENCE_S)
        params = {} if after is None else {"after": str(after)}
        params |= {} if tenant is None else {"tenant": tenant}
        with _reaching(self.base_url):
            async with self._session.get(
                self._url("/api/v1/watch"), params=params, timeout=timeout
            ) as answer:
                if answer.status != 200:  # noqa: PLR2004 - HTTP's word for "here it comes"
                    await _content(answer)
                yield None
                async for kind, data in _server_sent(answer.content):
                    yield None if kind == "missed" else json.loads(data)
        raise ServerUnreachable(
            f"{self.base_url} ended the stream of events", hint="is the daemon going down?"
        )

    def _url(self, path: str) -> URL:
        return URL(self.base_url + path, encoded=True)


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Client]:
    """Give a client for the daemon that the settings name."""
    token = settings.read_token()
    headers = {"Accept": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    async with aiohttp.ClientSession(headers=headers, read_bufsize=_LINE_BYTES) as session:
        yield Client(session, settings.base_url)


def call(settings: Settings, work: Callable[[Client], Awaitable[_T]]) -> _T:
    """Run `work` with a client on a loop of its own, and return its result."""

    async def talk() -> _T:
        async with connected(settings) as client:
            return await work(client)

    return asyncio.run(talk())


async def _server_sent(stream: aiohttp.StreamReader) -> AsyncIterator[tuple[str, str]]:
    """Yield (event, data) of a text/event-stream; comments are left out."""
    kind, data = "message", ""
    async for raw in stream:
        line = raw.decode().rstrip("\r\n")
        field, _, value = line.partition(":")
        if not line and data:
            yield kind, data
            kind, data = "message", ""
        elif field == "data":
            data += value.removeprefix(" ")
        elif field == "event":
            kind = value.removeprefix(" ")


async def _content(answer: aiohttp.ClientResponse) -> Any:
    text = await answer.text()
    try:
        content = json.loads(text)
    except ValueError:
        raise Refused(
            f"{answer.url} does not answer as an admin API does (HTTP {answer.status})",
            hint="name the admin address with --server, not a tenant's or the metrics port",
        ) from None
    if answer.ok:
        return content
    raise error_of(content if isinstance(content, dict) else {}, answer.status)


def error_of(problem: Mapping[str, Any], status: int) -> TenantProxyError:
    """Return the error that a problem+json tells of."""
    code, hint = problem.get("code"), problem.get("hint")
    message = str(problem.get("detail") or problem.get("title") or f"HTTP {status}")
    if found := problem.get("problems"):
        known = Problem.__dataclass_fields__
        return DocumentError(
            tuple(Problem(**{k: v for k, v in one.items() if k in known}) for one in found)
        )
    if code == Unauthorized.code:
        hint = hint or "send the daemon's token: --token-file FILE, or TENANTPROXY_TOKEN"
        return Unauthorized(message, hint=hint)
    if code == NotFound.code:
        return NotFound(message, hint=hint)
    return Refused(message, hint=hint)


@contextmanager
def _reaching(base_url: str) -> Iterator[None]:
    """Turn every way of not reaching the daemon into `ServerUnreachable`."""
    try:
        yield
    except aiohttp.InvalidURL as error:
        raise ServerUnreachable(
            f"{base_url} is not a URL", hint="--server http://HOST:PORT"
        ) from error
    except aiohttp.ClientConnectorError as error:
        raise ServerUnreachable(
            f"cannot connect to {base_url}: {os.strerror(error.errno) if error.errno else error}",
            hint="start a daemon (`tenantproxy run -c FILE`), or name one: --server URL",
        ) from error
    except TimeoutError as error:
        raise ServerUnreachable(f"{base_url} did not answer in time") from error
    except aiohttp.ClientPayloadError as error:
        raise ServerUnreachable(
            f"{base_url} ended in the middle of an answer", hint="has the daemon died?"
        ) from error
    except (aiohttp.ClientError, ConnectionError) as error:
        raise ServerUnreachable(f"the connection to {base_url} broke: {error}") from error
