"""`python -m benchmarks [--quick] [--peers a,b] [--rounds N] [NAME...]`: measure, print, keep JSON.

Each runs alone; do not run them beside anything else. `--quick` shows in a
minute that they work and where we are; its numbers go to `results/quick/`.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import signal
import tempfile
import time
from pathlib import Path

import uvloop

from benchmarks import page, report
from benchmarks.arena import Options, arena
from benchmarks.machine import load_on_its_cpu, on_both_cpus
from benchmarks.own.figures import keep
from benchmarks.own.registry import OWN
from benchmarks.peers import BASELINE, PEERS, Tenantproxy
from benchmarks.workloads.registry import FAMILIES, QUICK


async def run(names: list[str], options: Options) -> None:
    """Measure the families against the peers, and then our daemon alone."""
    task = asyncio.current_task()
    assert task is not None
    # Not to leave proxies behind when it is ended by `kill` or `timeout`.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    for name in names:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            if name in FAMILIES:
                load_on_its_cpu()
                async with arena(Path(folder), name, options) as here:
                    await FAMILIES[name](here)
                here.family.keep()
                print(f"\n{name}, {time.monotonic() - began:.0f} s{report.text(here.family)}")
            else:
                on_both_cpus()
                figures = await OWN[name](Path(folder), quick=options.quick)
                keep(name, figures, quick=options.quick)
                print(f"\n{name}, {time.monotonic() - began:.0f} s")
                print("\n".join(figure.row() for figure in figures), flush=True)
    if not options.quick:
        page.write()


def main() -> None:
    everything = [*FAMILIES, *OWN]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, HAProxy and us")
    parser.add_argument("--peers", metavar="A,B", help=f"of {', '.join(PEERS)}")
    parser.add_argument("--rounds", type=int, metavar="N", help="pairs; 5, or 2 if quick")
    parser.add_argument("--seconds", type=int, metavar="N", help="of one run; 2, or 1 if quick")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(everything))
    given = parser.parse_args()
    quick = given.quick
    peers = given.peers.split(",") if given.peers else list(PEERS)
    if quick and not given.peers:
        peers = [BASELINE, Tenantproxy.key]
    for what, unknown in (
        ("benchmark", set(given.names) - set(everything)),
        ("peer", set(peers) - PEERS.keys()),
    ):
        if unknown:
            parser.error(f"no such {what}: {', '.join(sorted(unknown))}")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    options = Options(
        peers, given.rounds or (2 if quick else 5), given.seconds or (1 if quick else 2), quick
    )
    uvloop.run(run(given.names or (list(QUICK) if quick else everything), options))


if __name__ == "__main__":
    main()
