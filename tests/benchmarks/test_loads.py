"""What is read from the reports of wrk and iperf3, and the open loop over real sockets."""

import asyncio

import pytest

from benchmarks.load import iperf3, open_loop, upstream, wrk
from benchmarks.peers.base import find
from tests.e2e import ports
from tests.e2e.upstreams import Server

WRK = """Running 4s test @ http://127.0.0.1:12345/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.41ms    1.02ms  20.35ms   92.09%
    Req/Sec    48.22k     3.63k   53.95k    80.00%
  Latency Distribution
     50%  {p50}
     75%    1.52ms
     90%    1.97ms
     99%  {p99}
  192013 requests in 4.00s, 29.48MB read
{errors}Requests/sec:  47990.17
Transfer/sec:      7.37MB
"""


def test_a_report_of_wrk_is_read():
    report = wrk.Report.parse(WRK.format(p50="920.00us", p99="1.02s", errors=""))

    assert report == wrk.Report(47990.17, 192013, 0.92, 1020.0, "")


@pytest.mark.parametrize(
    "errors",
    ["Socket errors: connect 0, read 12, write 0, timeout 3", "Non-2xx or 3xx responses: 30968"],
)
def test_errors_of_wrk_are_kept(errors):
    text = WRK.format(p50="1.00ms", p99="2.00ms", errors=f"  {errors}\n")

    assert wrk.Report.parse(text).errors == errors


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    # wrk fills units of one letter up with a space
    [("20.00us", 0.02), ("1.50ms", 1.5), ("2.00s ", 2000), ("1.00m ", 60e3)],
)
def test_times_of_wrk_are_read_in_milliseconds(text, milliseconds):
    report = wrk.Report.parse(WRK.format(p50=text, p99="1.00ms", errors=""))

    assert report.p50_ms == pytest.approx(milliseconds)


def test_what_is_no_report_of_wrk_is_refused():
    with pytest.raises(ValueError, match="not a report"):
        wrk.Report.parse("unable to connect to 127.0.0.1:1 Connection refused")


def test_a_report_of_iperf3_is_that_of_the_receiver():
    answer = {
        "end": {
            "sum_sent": {"bits_per_second": 9e9, "bytes": 9},
            "sum_received": {"bits_per_second": 8e9, "bytes": 2_000_000_000},
        }
    }

    assert iperf3.Report.parse(answer) == iperf3.Report(8.0, 2.0)


def test_an_error_of_iperf3_is_raised_in_its_words():
    with pytest.raises(ValueError, match="Connection refused"):
        iperf3.Report.parse({"error": "unable to connect: Connection refused"})


async def in_a_thread(function, *args, **options):
    return await asyncio.to_thread(function, *args, **options)


async def with_server(behaviour, ask):
    server = Server(behaviour)
    server.start()
    try:
        return await ask(server.port)
    finally:
        await server.stop()


async def answer_each(wire):
    while await wire.receive():
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


async def answer_three(wire):
    for _ in range(3):
        if not await wire.receive():
            return
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


async def at_rate(port, count):
    socks = await in_a_thread(open_loop.connect, [port], count)
    try:
        return await in_a_thread(open_loop.open_loop, socks, per_second=200, seconds=0.1)
    finally:
        open_loop.close(socks)


async def test_every_request_that_was_due_is_answered_and_timed():
    report = await with_server(answer_each, lambda port: at_rate(port, 4))

    assert (report.due, len(report.latencies_s), report.errors) == (20, 20, 0)
    assert all(latency > 0 for latency in report.latencies_s)


async def test_connections_that_end_are_counted_and_their_requests_missed():
    # Each answers one request of `connect` and two more, and is closed then.
    report = await with_server(answer_three, lambda port: at_rate(port, 4))

    assert report.errors == 4
    assert len(report.latencies_s) == 8
    assert report.unanswered == 12


def test_a_request_without_an_answer_is_slower_than_any_other():
    report = open_loop.Report(due=100, latencies_s=[0.001] * 98)

    assert report.percentile_ms(50) == 1.0
    assert report.percentile_ms(97) == 1.0
    assert report.percentile_ms(99) == float("inf")


async def test_one_request_each_goes_round_over_the_ports():
    async def ask(port):
        return await in_a_thread(open_loop.one_each, [port, port], seconds=0.05)

    served, failed = await with_server(answer_each, ask)

    assert served > 0
    assert failed == 0


async def test_a_port_that_nobody_listens_on_counts_as_failed(unused_port):
    served, failed = await in_a_thread(open_loop.one_each, [unused_port], seconds=0.01)

    assert served == 0
    assert failed > 0


@pytest.fixture
def unused_port():
    return ports.block(1)


async def test_the_upstream_counts_its_requests(tmp_path):
    if find("nginx") is None:
        pytest.skip("nginx is not installed")
    async with upstream.web(tmp_path) as (port, status_port):
        before = await in_a_thread(upstream.requests_so_far, status_port)
        for path in (upstream.SMALL, upstream.LARGE, upstream.WHO):
            answer = await in_a_thread(open_loop.ask_once, port, path)
            assert answer.startswith(b"HTTP/1.1 200")
        assert await in_a_thread(upstream.requests_so_far, status_port) == before + 4
