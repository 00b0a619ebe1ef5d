"""An address is served, or refused with the way out."""

import os
import socket

import aiohttp
import pytest
from aiohttp import web

from tenantproxy.errors import AddressRefused
from tenantproxy.metrics.site import start_site


async def test_the_port_really_bound_is_told():
    runner, port = await start_site(web.Application(), "127.0.0.1", 0, "admin")
    try:
        async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/") as answer:
            assert answer.status == 404
    finally:
        await runner.cleanup()


async def test_a_taken_port_is_refused_with_what_to_do():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressRefused) as refused:
            await start_site(web.Application(), "127.0.0.1", port, "admin")
    assert str(refused.value) == f"admin port {port} on 127.0.0.1 is taken"
    assert refused.value.hint == (
        "set proxy.admin.port to a free port or end the process that has it"
    )


async def test_an_address_of_another_host_is_refused():
    with pytest.raises(AddressRefused) as refused:
        await start_site(web.Application(), "192.0.2.1", 0, "metrics")
    assert refused.value.hint == "set proxy.metrics.address to an address of this host"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may bind any port")
async def test_a_privileged_port_is_refused():
    with pytest.raises(AddressRefused) as refused:
        await start_site(web.Application(), "127.0.0.1", 80, "metrics")
    assert "1024" in (refused.value.hint or "")


async def test_a_port_is_free_again_once_its_site_is_closed():
    runner, port = await start_site(web.Application(), "127.0.0.1", 0, "admin")
    await runner.cleanup()
    again, same = await start_site(web.Application(), "127.0.0.1", port, "admin")
    await again.cleanup()
    assert same == port


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no dual stack here")
async def test_the_wildcard_of_ipv6_serves_ipv4_too():
    runner, port = await start_site(web.Application(), "::", 0, "metrics")
    try:
        async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/") as answer:
            assert answer.status == 404
    finally:
        await runner.cleanup()
