"""Asks one question over HTTP and hears one answer, or says why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from tenantproxy import __version__
from tenantproxy.errors import NoVerdict
from tenantproxy.rollout.words import one_line

MOST_BYTES = 64 * 1024
"""Of an answer; the rest is not read."""
_BAD_URL = "its url cannot be used"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back; `status` is not of class 3."""

    status: int
    body: bytes
    whole: bool
    """False: it was longer than `MOST_BYTES`."""

    @property
    def text(self) -> str:
        """Return the body; what is not UTF-8 is replaced."""
        return self.body.decode("utf-8", "replace")


class Http:
    """One client for all questions, made when the first is asked.

    It follows no redirect, keeps no cookie, and asks nobody on the way: the
    environment's proxies are not ours. Every question has a connection of its
    own: one that was kept may be ended by the server just then, and a canary
    is not paused because of that.
    """

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def ask(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        json: Any = None,
    ) -> Reply:
        """Return the answer; the time that it may take is the caller's to bound.

        Raises:
            NoVerdict: there is none.
        """
        target = address(url)
        try:
            async with self._client().request(
                method, target, params=params, data=form, json=json, allow_redirects=False
            ) as answer:
                if 300 <= answer.status < 400:  # noqa: PLR2004 - RFC 9110, section 15.4
                    raise NoVerdict(f"gave a redirect ({answer.status}), and none is followed")
                body, whole = await _body(answer.content)
                return Reply(answer.status, body, whole)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NoVerdict(_why(error)) from None

    async def close(self) -> None:
        """Close every connection; the next question would make a new client."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=True, limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                # Nothing is unpacked, so nothing small becomes large.
                headers={
                    "User-Agent": f"tenantproxy/{__version__}",
                    "Accept-Encoding": "identity",
                },
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                trust_env=False,
            )
        return self._session


def address(url: str) -> URL:
    """Return a URL that can be asked.

    Raises:
        NoVerdict: it cannot.
    """
    try:
        made = URL(url)
    except ValueError:
        raise NoVerdict(_BAD_URL) from None
    if made.scheme not in ("http", "https") or not made.host:
        raise NoVerdict(_BAD_URL)
    return made


async def _body(stream: aiohttp.StreamReader) -> tuple[bytes, bool]:
    pieces, left = [], MOST_BYTES + 1
    while left > 0 and (piece := await stream.read(left)):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)[:MOST_BYTES], left > 0


def _why(error: Exception) -> str:
    """Return a reason without the URL, which may hold what not everybody should read."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            why = f"{one_line(error.host, 80)} does not resolve"
        case aiohttp.ClientConnectorCertificateError():
            why = f"its certificate is refused: {one_line(str(error.certificate_error), 120)}"
        case aiohttp.ClientSSLError():
            why = "TLS does not come about"
        case aiohttp.ClientConnectorError():
            why = f"cannot connect to {one_line(error.host, 80)}:{error.port}: {_cause(error)}"
        case aiohttp.ServerDisconnectedError():
            why = "ended the connection without an answer"
        case aiohttp.ClientPayloadError():
            why = "its answer broke off"
        case aiohttp.ClientResponseError():
            why = "its answer is not HTTP"
        case aiohttp.InvalidURL():
            why = _BAD_URL
        case OSError():
            why = f"the connection broke: {_cause(error)}"
        case _:
            why = f"could not be asked: {type(error).__name__}"
    return why


def _cause(error: OSError) -> str:
    return one_line(error.strerror or type(error).__name__, 80)
