"""`python -m benchmarks [--quick] [NAME...]`: measure, print a table, keep JSON.

Each runs alone; do not run them beside anything else. `--quick` only shows
that they work: its numbers mean little.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from pathlib import Path

import uvloop

from benchmarks import accept_modes, connections, listeners, requests, wake
from benchmarks.figures import keep

BENCHMARKS = {
    "start": listeners.start,
    "add-one": listeners.add_one,
    "sleeping-memory": listeners.sleeping_memory,
    "wake": wake.wake,
    "idle-memory": connections.idle_memory,
    "accept-modes": accept_modes.accept_modes,
    "requests": requests.requests,
}


async def run(names: list[str], *, quick: bool) -> None:
    for name in names:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            figures = await BENCHMARKS[name](Path(folder), quick=quick)
        print(f"{name}{' (quick)' if quick else ''}")
        for figure in figures:
            print(figure.row())
        keep(name, figures, quick=quick)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes; to see that it works")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    options = parser.parse_args()
    if unknown := set(options.names) - BENCHMARKS.keys():
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    uvloop.run(run(options.names or list(BENCHMARKS), quick=options.quick))


if __name__ == "__main__":
    main()
