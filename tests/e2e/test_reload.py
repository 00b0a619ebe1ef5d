"""The document changes under load, and who is not meant does not notice."""

import asyncio
import copy
import signal
import time

import yaml

from tests.e2e.apart import serving_apart
from tests.e2e.daemon import document, range_of, tenant, until
from tests.e2e.load import Rate
from tests.e2e.sizes import sizes
from tests.e2e.upstreams import echo, name_and_close, serving
from tests.e2e.wire import ask, dial

UP = "    upstreams: {up: {endpoints: ['127.0.0.1:1']}}\n"


def of_tenant(body):
    return f"version: 1\ntenants:\n  acme:\n{body}"


def of_listener(body):
    return of_tenant(f"{UP}    listeners:\n      web:\n{body}")


BROKEN = {
    "not YAML": "version: 1\ntenants:\n  acme: [1, 2\n",
    "a tab": "version: 1\n\ttenants: {}\n",
    "no version": "tenants: {}\n",
    "another version": "version: 7\ntenants: {}\n",
    "a list": "- version: 1\n",
    "text instead of a map": "version: 1\ntenants: many\n",
    "an unknown key": "version: 1\nproxi: {}\n",
    "an unknown key of a tenant": of_tenant("    upstream: {}\n"),
    "an unknown key of a listener": of_listener("        split: {up: 1}\n        prot: 1\n"),
    "a duplicate key": "version: 1\ntenants:\n  acme: {}\n  acme: {}\n",
    "a bad name": "version: 1\ntenants:\n  Acme!: {}\n",
    "a bad port": of_listener("        split: {up: 1}\n        port: 99999\n"),
    "a bad duration": of_listener("        split: {up: 1}\n        drain: soon\n"),
    "a bad endpoint": of_tenant("    upstreams:\n      up:\n        endpoints: ['127.0.0.1']\n"),
    "no such upstream": of_listener("        split: {down: 1}\n"),
    "no weight above 0": of_listener("        split: {up: 0}\n"),
    "a negative weight": of_listener("        split: {up: -1}\n"),
    "one port twice": of_tenant(
        f"{UP}    listeners:\n      a: {{port: 20001, split: {{up: 1}}}}\n"
        "      b: {port: 20001, split: {up: 1}}\n"
    ),
    "not supported yet": of_listener("        split: {up: 1}\n        protocol: http\n"),
    "aliases without end": "version: 1\na: &a [1,1,1,1,1,1,1,1,1]\n"
    "b: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n"
    "d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d]\n",
}


def two_documents(up, other):
    """Return two documents: tenant `still` is alike in both, tenant `moving` is not."""
    still = tenant({"up": up}, web={"split": {"up": 1}}, db={"split": {"up": 1}})
    a = tenant(
        {"v1": up, "v2": other},
        web={"split": {"v1": 9, "v2": 1}},
        old={"split": {"v1": 1}, "drain": "1s"},
    )
    b = tenant(
        {"v1": up, "v2": other},
        web={"split": {"v1": 1, "v2": 9}, "idle_timeout": "30m"},
        new={"split": {"v2": 1}, "drain": "1s"},
    )
    first = document({"still": still, "moving": a})
    second = copy.deepcopy(first)
    second["tenants"]["moving"] = b
    return first, second


@sizes("reloads,per_s,rate", (20, 5, 200), (500, 2, 500), timeout_s=420)
async def test_reloads_under_load(run_daemon, reloads, per_s, rate):
    async with (
        serving_apart(name_and_close, "up") as up,
        serving_apart(echo) as held_by,
    ):
        first, second = two_documents(up.port, up.port)
        for doc in (first, second):
            doc["tenants"]["still"]["upstreams"]["held"] = {
                "endpoints": [f"127.0.0.1:{held_by.port}"]
            }
            doc["tenants"]["still"]["listeners"]["held"] = {"split": {"held": 1}}
        async with run_daemon(first) as daemon:
            names = ("still/web", "still/db", "moving/web")
            watched = [await daemon.port(name) for name in names]
            held = [await dial(await daemon.port("still/held")) for _ in range(40)]
            for wire in held:
                await wire.send(b"a")
                assert await wire.exactly(1) == b"a"
            start = await daemon.generation()
            began = time.monotonic()
            async with Rate(watched, rate) as running:
                for number in range(1, reloads + 1):
                    daemon.write(second if number % 2 else first)
                    if number % 2:
                        daemon.process.send_signal(signal.SIGHUP)  # else: the file is watched
                    applied = start + number
                    await until(lambda want=applied: _generation_is(daemon, want), within_s=5)
                    if number % 10 == 0:
                        for wire in held:
                            await wire.send(b"b")
                            assert await wire.exactly(1) == b"b"
                    await asyncio.sleep(max(0.0, began + number / per_s - time.monotonic()))
                load = await running.stop()
            assert not load.failed, load.failures
            assert load.outcomes["served"] > 0.8 * rate * reloads / per_s
            for wire in held:
                await wire.send(b"c")
                assert await wire.exactly(1) == b"c"
                wire.close()
            assert [await daemon.port(name) for name in names] == watched


async def _generation_is(daemon, number):
    return await daemon.generation() == number


async def test_broken_documents_are_refused_with_their_lines(run_daemon):
    async with serving(name_and_close("up")) as up:
        doc = document({"acme": tenant({"up": up.port}, web={"split": {"up": 1}})})
        async with run_daemon(doc) as daemon:
            port = await daemon.port("acme/web")
            before = await daemon.generation()
            for number, (what, text) in enumerate(BROKEN.items(), 1):
                daemon.write(text)
                daemon.process.send_signal(signal.SIGHUP)  # rather than wait for the next look

                async def refused(count=number):
                    made = await daemon.items("generations")
                    refusals = [g for g in made if g["result"] == "refused"]
                    return refusals if len(refusals) >= count else None

                refusals = await until(refused, within_s=5)
                newest = max(refusals, key=lambda g: g["at"])
                problems = newest["problems"]
                assert problems, what
                for problem in problems:
                    place = str(problem).split("tenantproxy.yaml:", 1)
                    assert len(place) == 2, (what, problem)
                    assert place[1].split(":")[0].isdigit(), (what, problem)
                assert await daemon.generation() == before, what
                assert await ask(port, b"") == b"up"
            assert len(BROKEN) == 20
            daemon.write(yaml.safe_dump(doc) + "# whole again\n")
            counted = [
                value
                for name, value in (await daemon.metrics()).items()
                if name.startswith("tenantproxy_config_reloads_total") and "refused" in name
            ]
            assert counted == [len(BROKEN)]


async def test_a_port_that_moves_closes_the_old_number_and_opens_the_new(run_daemon):
    async with serving(name_and_close("up")) as up:
        doc = document({"acme": tenant({"up": up.port}, web={"split": {"up": 1}, "drain": "0s"})})
        numbers = range_of(doc)
        doc["tenants"]["acme"]["listeners"]["web"]["port"] = numbers[3]
        async with run_daemon(doc) as daemon:
            assert await ask(numbers[3], b"") == b"up"
            doc["tenants"]["acme"]["listeners"]["web"]["port"] = numbers[4]
            daemon.write()

            async def moved():
                return await daemon.port("acme/web") == numbers[4]

            await until(moved)
            assert await ask(numbers[4], b"") == b"up"


async def test_removing_a_tenant_leaves_the_others_alone(run_daemon):
    async with serving(echo) as up:
        web = {"split": {"up": 1}, "drain": "0s"}
        doc = document({n: tenant({"up": up.port}, web=web) for n in ("one", "two")})
        async with run_daemon(doc) as daemon:
            stays = await dial(await daemon.port("one/web"))
            goes = await dial(await daemon.port("two/web"))
            for wire in (stays, goes):
                await wire.send(b"x")
                assert await wire.exactly(1) == b"x"
            del doc["tenants"]["two"]
            daemon.write()
            assert await asyncio.wait_for(_ended(goes), 5)
            await stays.send(b"y")
            assert await stays.exactly(1) == b"y"
            assert [t["tenant"] for t in await daemon.items("tenants")] == ["one"]
            stays.close()
            goes.close()


async def _ended(wire):
    try:
        return await wire.receive() == b""
    except ConnectionResetError:
        return True
