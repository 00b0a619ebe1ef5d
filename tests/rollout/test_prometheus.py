"""A query is one number or it is no verdict; asked of a real Prometheus where there is one."""

import json
import shutil
import socket
import subprocess
import time
import urllib.request

import pytest
from aiohttp import web

from tenantproxy.errors import NoVerdict
from tenantproxy.rollout.http import Reply
from tenantproxy.rollout.prometheus import ask, value_of, verdict
from tests.rollout.support import ABOUT, HOST, answering, prometheus

SCRAPE = """
global: {scrape_interval: 1s}
scrape_configs:
  - job_name: self
    metrics_path: /prom/metrics
    static_configs: [{targets: ["127.0.0.1:PORT"], labels: {tenant: acme, upstream: web-v2}}]
"""
READY_S = 50


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A Prometheus that watches itself, behind a path."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus (Debian: prometheus) is missing")
    folder = tmp_path_factory.mktemp("prometheus")
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    (folder / "prometheus.yaml").write_text(SCRAPE.replace("PORT", str(port)))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={HOST}:{port}",
                "--web.route-prefix=/prom",
            ],
            stdout=log,
            stderr=log,
        )
    url = f"http://{HOST}:{port}/prom"
    try:
        until = time.monotonic() + READY_S
        while not _answers(f"{url}/-/ready"):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < until
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait()


def _answers(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


async def no_verdict(asking):
    with pytest.raises(NoVerdict) as caught:
        await asking
    return str(caught.value)


async def test_a_real_one_passes_and_fails_by_its_number(http, server):
    check = prometheus(server, "vector(0.012)", max=0.02)
    assert await ask(http, check, ABOUT) == ("passed", "0.012, at most 0.02")
    check = prometheus(f"{server}/", "vector(0.012)", max=0.01)
    assert await ask(http, check, ABOUT) == ("failed", "0.012, at most 0.01")
    check = prometheus(server, "scalar(vector(3))", min=4)
    assert await ask(http, check, ABOUT) == ("failed", "3, at least 4")


async def test_a_real_one_is_asked_about_this_canary(http, server):
    query = 'sum_over_time(up{tenant="{{tenant}}",upstream="{{canary}}"}[1m]) > bool 0'
    until = time.monotonic() + READY_S
    while (said := await ask(http, prometheus(server, query, min=1), ABOUT))[0] != "passed":
        assert time.monotonic() < until, said
    assert said == ("passed", "1, at least 1")
    stable = query.replace("canary", "stable")
    assert await ask(http, prometheus(server, stable, min=1), ABOUT) == (
        "no_data",
        "the query gives nothing",
    )


async def test_a_real_one_takes_the_interval_and_a_timeout_below_a_second(http, server):
    query = "count(vector(1)) + 0 * count(absent_over_time(nothing[{{interval}}]))"
    check = prometheus(server, query, min=1, timeout_s=9.5)
    assert (await ask(http, check, ABOUT))[0] == "passed"


async def test_a_real_one_says_what_is_wrong_with_a_query(http, server):
    why = await no_verdict(ask(http, prometheus(server, "sum(up{"), ABOUT))
    assert why.startswith("Prometheus says: ")
    assert "parse error" in why


async def test_a_real_one_gives_no_verdict_of_several_numbers_or_of_a_range(http, server):
    two = 'vector(1) or label_replace(vector(2), "a", "b", "", "")'
    assert await no_verdict(ask(http, prometheus(server, two), ABOUT)) == (
        "gives 2 series, needs one: wrap it in sum()"
    )
    why = await no_verdict(ask(http, prometheus(server, "up[1m]"), ABOUT))
    assert why == "the query gives a matrix, needs one number"
    why = await no_verdict(ask(http, prometheus(server, '"text"'), ABOUT))
    assert why == "the query gives a string, needs one number"


async def test_a_real_one_without_numbers_has_no_data(http, server):
    assert (await ask(http, prometheus(server, "nothing"), ABOUT))[0] == "no_data"
    said = await ask(http, prometheus(server, "vector(0) / 0", max=1), ABOUT)
    assert said == ("no_data", "the query gives NaN")


async def test_a_path_that_is_not_its_own_is_no_verdict(http, server):
    why = await no_verdict(ask(http, prometheus(server.removesuffix("/prom")), ABOUT))
    assert why == "answered 404"


def reply(body, status=200):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, raw, whole=True)


def found(kind, result):
    return reply({"status": "success", "data": {"resultType": kind, "result": result}})


ONE = found("vector", [{"metric": {"a": "b"}, "value": [1, "0.5"]}])


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        (ONE, 0.5),
        (found("scalar", [1, "7"]), 7.0),
        (found("vector", []), None),
        (found("vector", [{"metric": {}, "value": [1, "+Inf"]}]), float("inf")),
    ],
)
def test_one_number_is_read(answer, value):
    assert value_of(answer) == value


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (reply({"status": "error", "error": "too\nlong"}, 422), "Prometheus says: too long"),
        (reply({"status": "error", "error": "x" * 999}, 503), "Prometheus says: x+[.]{3}"),
        (reply(b"<html>", 502), "answered 502"),
        (reply(json.loads(ONE.body), 203), "answered 203"),
        (reply(b"<html>"), "its answer is not one of Prometheus"),
        (reply(b"\xff\xfe"), "its answer is not one of Prometheus"),
        (reply(b"[" * 60_000), "its answer is not one of Prometheus"),
        (reply([]), "its answer is not one of Prometheus"),
        (reply({"status": "success"}), "its answer is not one of Prometheus"),
        (found("vector", {}), "its answer is not one of Prometheus"),
        (found("vector", [{"value": [1, "one"]}]), "its value is not a number"),
        (found("vector", [{"value": [1, 5]}]), "gives a histogram"),
        (found("vector", [{"histogram": [1, {}]}]), "gives a histogram"),
        (found("vector", [{}, {}, {}]), "gives 3 series, needs one: wrap it in sum"),
        (found("matrix", []), "gives a matrix"),
        (found("\x1b" * 100, []), "needs one number"),
        (Reply(200, ONE.body[:-9], whole=False), "longer than 64 KiB"),
    ],
)
def test_anything_else_is_no_verdict_and_says_why(answer, why):
    with pytest.raises(NoVerdict, match=why) as caught:
        value_of(answer)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) <= 200


@pytest.mark.parametrize(
    ("value", "low", "high", "said"),
    [
        (0.01, None, 0.01, ("passed", "0.01, at most 0.01")),
        (0.01, 0.01, None, ("passed", "0.01, at least 0.01")),
        (2.0, 1, 3, ("passed", "2, at least 1 and at most 3")),
        (4.0, 1, 3, ("failed", "4, at most 3")),
        (0.0, 1, 3, ("failed", "0, at least 1")),
        (0.0, None, None, ("passed", "0")),
        (0.010000000001, None, 0.01, ("failed", "0.010000000001, at most 0.01")),
        (float("inf"), None, 1, ("failed", "inf, at most 1")),
        (float("nan"), 0, 1, ("no_data", "the query gives NaN")),
        (None, 0, 1, ("no_data", "the query gives nothing")),
    ],
)
def test_a_number_is_held_against_its_bounds(value, low, high, said):
    assert verdict(prometheus("", min=low, max=high), value) == said


async def test_where_only_get_passes_it_is_asked_by_get(http):
    def answer(request):
        if request.method == "POST":
            return web.Response(status=405)
        return web.Response(body=ONE.body)

    async with answering(answer) as server:
        check = prometheus(f"{server.url}/deep?dedup=true", "up", max=1, timeout_s=2.5)
        assert (await ask(http, check, ABOUT))[0] == "passed"
        assert server.last.path == "/deep/api/v1/query"
        assert server.last.query == {"dedup": "true", "query": "up", "timeout": "2500ms"}


async def test_it_is_asked_by_post_so_that_a_query_may_be_long(http):
    async with answering(lambda _: web.Response(body=ONE.body)) as server:
        await ask(http, prometheus(f"{server.url}?dedup=true", "u" * 50_000), ABOUT)
        assert (server.last.method, str(server.last.rel_url)) == (
            "POST",
            "/api/v1/query?dedup=true",
        )
        assert server.bodies[0].startswith(b"query=uuu")


async def test_a_url_that_is_none_is_no_verdict(http):
    assert await no_verdict(ask(http, prometheus("http://[::1"), ABOUT)) == "its url cannot be used"
    await no_verdict(ask(http, prometheus("prometheus:9090"), ABOUT))
