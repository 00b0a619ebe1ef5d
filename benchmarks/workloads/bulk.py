"""Bytes: one and eight streams, both directions."""

from __future__ import annotations

from benchmarks.arena import Arena, Watch
from benchmarks.load.iperf3 import iperf3
from benchmarks.peers import Peer
from benchmarks.results import Metric, Target, Workload

BULK = (
    Metric(
        "gigabits",
        "Gbit/s",
        more_is_better=True,
        ratio=True,
        targets=(Target("tenantproxy", 1.0),),
    ),
    Metric("cpu_ms", "CPU ms a GB", ratio=True),
)


async def bulk(arena: Arena) -> None:
    """iperf3 through every peer."""
    async with arena.all_running(bulk=True) as peers:
        for streams in (1, 8):
            for down in (True, False):
                if arena.options.quick and not (streams == 1 and down):
                    continue
                way = "from the upstream" if down else "to the upstream"
                workload = arena.workload(
                    Workload(
                        f"bulk-{streams}-{'down' if down else 'up'}",
                        f"{streams} stream{'s' if streams > 1 else ''} {way}",
                        BULK,
                    )
                )

                async def measure(
                    peer: Peer, streams: int = streams, down: bool = down
                ) -> tuple[dict[str, float], list[str]]:
                    with Watch(peer) as watch:
                        report = await iperf3(
                            peer.listeners[1].port,
                            seconds=arena.options.seconds,
                            streams=streams,
                            down=down,
                        )
                    cpu_ms = watch.used_s * 1000 / max(report.gigabytes, 1e-9)
                    return {"gigabits": report.gigabits_per_second, "cpu_ms": cpu_ms}, watch.notes

                await arena.in_turn(workload, peers, measure)
