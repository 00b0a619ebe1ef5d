"""Clients and servers that others wrote work through our ports as they do without us."""

import hashlib
import os

import pytest

from tests.e2e import programs
from tests.e2e.daemon import document, tenant
from tests.e2e.sizes import sizes


@pytest.mark.both_movers
@sizes("requests", 2_000, 100_000)
async def test_redis(run_daemon, folder, requests):
    cli, benchmark = programs.need("redis-cli"), programs.need("redis-benchmark")
    async with programs.redis(folder) as upstream:
        doc = document({"acme": tenant({"redis": upstream}, cache={"split": {"redis": 1}})})
        async with run_daemon(doc) as daemon:
            port = str(await daemon.port("acme/cache"))

            async def redis_cli(*words: str) -> str:
                return (await programs.run(cli, "-p", port, *words)).strip()

            assert await redis_cli("set", "key", "value") == "OK"
            assert await redis_cli("get", "key") == "value"
            big = folder / "big"
            big.write_bytes(os.urandom(2_000_000).hex().encode())
            await programs.run("sh", "-c", f'{cli} -p {port} -x set big < "{big}"')
            assert await redis_cli("strlen", "big") == "4000000"
            got = await redis_cli("get", "big")
            assert (
                hashlib.sha256(got.encode()).digest() == hashlib.sha256(big.read_bytes()).digest()
            )
            for options in (
                ["-c", "50", "-t", "set,get,lpush,incr"],
                ["-c", "50", "-P", "16", "-t", "set,get,lpush"],
                ["-c", "20", "-d", "20000", "-t", "set,get"],
            ):
                table = await programs.run(
                    benchmark, "-p", port, "-n", str(requests), *options, "--csv"
                )
                assert "GET" in table
                assert "rror" not in table
            # -k 0: a new connection for every request
            table = await programs.run(
                benchmark, "-p", port, "-n", str(requests // 4), "-k", "0", "-t", "get", "--csv"
            )
            assert "GET" in table
            assert "rror" not in table
            view = await daemon.listener("acme/cache")
            assert view["connections_total"] >= requests // 4


@pytest.mark.both_movers
@sizes("seconds", 1, 10)
async def test_pgbench(run_daemon, folder, seconds):
    pgbench, psql = programs.need("pgbench"), programs.need("psql")
    async with programs.postgres(folder) as upstream:
        doc = document({"acme": tenant({"pg": upstream}, db={"split": {"pg": 1}})})
        async with run_daemon(doc) as daemon:
            port = str(await daemon.port("acme/db"))
            where = ["-h", "127.0.0.1", "-p", port, "-U", "bench"]
            await programs.run(pgbench, *where, "-i", "-q", "-s", "2", "postgres")
            for extra in (["-c", "8"], ["-c", "8", "-M", "prepared", "-S"], ["-c", "4", "-C"]):
                report = await programs.run(
                    pgbench, *where, "-T", str(seconds), "-j", "2", *extra, "postgres"
                )
                assert "number of failed transactions: 0 " in report, report
            # 5 MiB in one row, both ways
            digest = await programs.run(
                psql, *where, "-d", "postgres", "-Atc",
                "select md5(v) = md5(repeat('tenantproxy', 500000)) from"
                " (select repeat('tenantproxy', 500000) as v) as t",
            )  # fmt: skip
            assert digest.strip() == "t"


@pytest.mark.both_movers
async def test_curl(run_daemon, folder):
    curl = programs.need("curl")
    files = folder / "files"
    files.mkdir()
    content = os.urandom(16 << 20)
    (files / "big").write_bytes(content)
    async with programs.nginx(folder, files) as upstream:
        doc = document({"acme": tenant({"web": upstream}, web={"split": {"web": 1}})})
        async with run_daemon(doc) as daemon:
            url = f"http://127.0.0.1:{await daemon.port('acme/web')}"
            assert await programs.run(curl, "-sS", f"{url}/") == "hello\n"
            got = folder / "got"
            await programs.run(curl, "-sS", "-o", str(got), f"{url}/files/big")
            assert got.read_bytes() == content
            # 50 requests over parallel connections, and one connection after another
            many = await programs.run(
                curl,
                "-sS",
                "--no-progress-meter",
                "-Z",
                "--parallel-max",
                "20",
                *[f"{url}/?{n}" for n in range(50)],
            )
            assert many == "hello\n" * 50
            assert await programs.run(curl, "-sS", "--http1.0", f"{url}/") == "hello\n"
            posted = await programs.run(
                curl, "-sS", "-o", "/dev/null", "-w", "%{size_upload} %{http_code}",
                "--data-binary", f"@{got}", f"{url}/",
            )  # fmt: skip
            assert posted.split()[0] in ("0", str(len(content)))
