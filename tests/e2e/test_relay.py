"""`proxy.relay: kernel`: bytes move in the kernel where it can, and are served where it cannot."""

import os

import pytest

from tests.e2e import programs
from tests.e2e.daemon import document, tenant, until
from tests.e2e.upstreams import echo, serving
from tests.e2e.wire import ask, dialled


def moved_by(samples, mover):
    return samples[f'tenantproxy_relay_connections{{mode="{mover}"}}']


@pytest.mark.parametrize("mover", ["kernel"], indirect=True)
async def test_a_chatty_connection_is_moved_by_the_kernel_and_counted(run_daemon):
    async with serving(echo) as upstream:
        doc = document({"acme": tenant({"up": upstream.port}, web={"split": {"up": 1}})})
        async with run_daemon(doc) as daemon, dialled(await daemon.port("acme/web")) as wire:
            for _ in range(20):
                await wire.send(b"x" * 500)
                assert await wire.exactly(500) == b"x" * 500

            async def counted():
                view = await daemon.listener("acme/web")
                samples = await daemon.metrics()
                return (view["bytes_in"], view["bytes_out"]) == (10_000, 10_000) and (
                    moved_by(samples, "kernel"),
                    moved_by(samples, "pump"),
                ) == (1, 0)

            await until(counted)


@pytest.mark.skipif(os.geteuid() != 0, reason="without capabilities anyway")
async def test_without_capabilities_it_serves_all_the_same_and_says_why(run_daemon):
    setpriv = programs.need("setpriv")
    async with serving(echo) as upstream:
        doc = document(
            {"acme": tenant({"up": upstream.port}, web={"split": {"up": 1}})}, relay="kernel"
        )
        prefix = (setpriv, "--bounding-set=-all", "--inh-caps=-all")
        async with run_daemon(doc, prefix=prefix) as daemon:
            port = await daemon.port("acme/web")
            for number in range(20):
                assert await ask(port, b"%d" % number) == b"%d" % number
            await until(lambda: "Operation not permitted (" in daemon.log())
