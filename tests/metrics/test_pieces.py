"""Long answers go out whole, with their length."""

import aiohttp
from aiohttp import web

from tenantproxy.metrics.pieces import send_pieces
from tenantproxy.metrics.site import start_site


async def test_pieces_arrive_whole_and_in_order_with_their_length():
    sent = [bytes([n]) * 100_000 for n in range(50)]

    async def handle(request):
        return await send_pieces(request, sent, {"Content-Type": "text/x-test"})

    app = web.Application()
    app.router.add_get("/", handle)
    runner, port = await start_site(app, "127.0.0.1", 0, "metrics")
    try:
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"http://127.0.0.1:{port}/") as answer,
        ):
            assert answer.headers["Content-Length"] == "5000000"
            assert answer.headers["Content-Type"] == "text/x-test"
            assert await answer.read() == b"".join(sent)
    finally:
        await runner.cleanup()
