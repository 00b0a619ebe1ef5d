"""Sends a long answer piece by piece, so that neither the loop nor a slow reader holds it up."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from aiohttp import web

SEND_TIMEOUT_S = 30.0
"""A reader that takes longer is cut: three times Prometheus' own default of 10."""


async def send_pieces(
    request: web.Request, pieces: Sequence[bytes], headers: Mapping[str, str]
) -> web.StreamResponse:
    """Answer 200 with the pieces; a reader that is too slow finds the connection cut."""
    response = web.StreamResponse(headers=headers)
    response.content_length = sum(map(len, pieces))
    try:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await response.prepare(request)
            if request.method != "HEAD":
                for piece in pieces:
                    await response.write(piece)
            await response.write_eof()
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
    return response
