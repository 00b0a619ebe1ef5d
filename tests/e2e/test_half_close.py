"""An end of input is passed on when it comes, and slow readers cost little."""

import asyncio
import hashlib

import pytest

from tests.e2e import procfs, upstreams
from tests.e2e.apart import apart, serving_apart
from tests.e2e.daemon import document, tenant, until
from tests.e2e.integrity import MIB
from tests.e2e.sizes import sizes
from tests.e2e.wire import dial, dialled

pytestmark = pytest.mark.both_movers


async def ask_and_finish(port, count, length, at_once):
    """Send, FIN, and hash the answer; return how many were whole."""
    turns = asyncio.Semaphore(at_once)

    async def one(number):
        async with turns, asyncio.timeout(120), dialled(port) as wire:
            question = b"question %d" % number
            await wire.send(question)
            wire.finish()
            assert await wire.exactly(32) == hashlib.sha256(question).digest()
            digest = hashlib.sha256()
            while data := await wire.receive():
                digest.update(data)
            return digest.digest() == expected

    expected = upstreams.pool_hash(length)
    return sum(await asyncio.gather(*(one(number) for number in range(count))))


async def read_and_answer(port, count, length, at_once):
    """Read to the upstream's end, then send `length` bytes; return how many ends were seen."""
    turns = asyncio.Semaphore(at_once)

    async def one():
        async with turns, asyncio.timeout(120), dialled(port) as wire:
            first = await wire.rest()
            await upstreams.send_pool(wire, length)
            wire.finish()
            return first == upstreams.POOL[:1000]

    return sum(await asyncio.gather(*(one() for _ in range(count))))


@sizes("count,length", (10, 4 * MIB), (200, 64 * MIB))
async def test_an_answer_after_the_end_of_input_is_whole(run_daemon, count, length):
    async with serving_apart(upstreams.answer_after_end, length) as upstream:
        doc = document({"acme": tenant({"up": upstream.port}, web={"split": {"up": 1}})})
        async with run_daemon(doc) as daemon:
            port = await daemon.port("acme/web")
            assert await apart(ask_and_finish, port, count, length, 8) == count


@sizes("count,length", (10, 4 * MIB), (200, 64 * MIB))
async def test_a_client_may_answer_after_the_upstream_ended(run_daemon, count, length):
    async with serving_apart(upstreams.end_then_read, 1000) as upstream:
        doc = document({"acme": tenant({"up": upstream.port}, web={"split": {"up": 1}})})
        async with run_daemon(doc) as daemon:
            port = await daemon.port("acme/web")
            assert await apart(read_and_answer, port, count, length, 8) == count
            records = []

            async def all_ended():  # the server's end comes after the client's
                records.extend((await upstream.state())["records"])
                return len(records) == count

            await until(all_ended, within_s=20)
            assert records == [(length, upstreams.pool_hash(length).hex())] * count


@sizes("readers", 20, 100)
async def test_stopped_readers_do_not_grow_the_worker(run_daemon, readers):
    """100 of them may cost 64 MiB at most; back-pressure reaches the sender."""
    async with serving_apart(upstreams.pour) as upstream:
        doc = document({"acme": tenant({"up": upstream.port}, web={"split": {"up": 1}})}, workers=1)
        async with run_daemon(doc) as daemon:
            port = await daemon.port("acme/web")
            async with dialled(port) as first:
                assert await first.exactly(MIB) == upstreams.POOL
            (worker,) = daemon.workers()
            before = procfs.rss_bytes(worker)
            wires = [await dial(port) for _ in range(readers)]
            await _stalled(daemon, "bytes_out")
            assert procfs.rss_bytes(worker) - before < readers * 64 * MIB // 100
            for wire in wires[:5]:  # and nothing was lost meanwhile
                assert await wire.exactly(8 * MIB) == upstreams.POOL * 8
            for wire in wires:
                wire.close()


@sizes("writers", 20, 100)
async def test_upstreams_that_do_not_read_do_not_grow_the_worker(run_daemon, writers):
    async with serving_apart(upstreams.black_hole) as upstream:
        doc = document({"acme": tenant({"up": upstream.port}, web={"split": {"up": 1}})}, workers=1)
        async with run_daemon(doc) as daemon:
            port = await daemon.port("acme/web")
            async with dialled(port) as first:
                await first.send(b"wake")
                await daemon.wait_state("acme/web", "open")
            (worker,) = daemon.workers()
            before = procfs.rss_bytes(worker)
            wires = [await dial(port) for _ in range(writers)]
            senders = [asyncio.ensure_future(upstreams.pour(wire)) for wire in wires]
            await _stalled(daemon, "bytes_in")
            assert procfs.rss_bytes(worker) - before < writers * 64 * MIB // 100
            for sender in senders:
                sender.cancel()
            await asyncio.gather(*senders, return_exceptions=True)
            for wire in wires:
                wire.reset()


async def _stalled(daemon, field):
    """Wait until bytes flow no more."""
    last = [-1, 0]

    async def look():
        await asyncio.sleep(0.3)
        moved = (await daemon.listener("acme/web"))[field]
        last[:] = [moved, last[1] + 1] if moved == last[0] and moved > MIB else [moved, 0]
        return last[1] >= 2

    await until(look, within_s=20)
