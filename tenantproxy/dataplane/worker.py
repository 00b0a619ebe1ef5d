"""The worker process: an engine, a channel to control, and nothing else.

Started as `python -m tenantproxy.dataplane.worker --channel-fd N --counters-fd M
--index I [--peer-fds A,B] [--shared]`. It lives exactly as long as control wants:
it ends when told to (`Quit`, exit code 0), when the channel closes, and when
control dies. Signals meant for people (Ctrl-C reaches the whole process group)
do nothing here.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import os
import signal
import socket
import sys

import uvloop

from tenantproxy.dataplane.channel import Channel
from tenantproxy.dataplane.counters import CounterFile
from tenantproxy.dataplane.engine import Engine
from tenantproxy.dataplane.messages import VERSION, Message, Quit, Ready
from tenantproxy.dataplane.peers import Peers

EXIT_ORPHANED = 3
"""Exit code when control went away."""
GC_THRESHOLDS = (50_000, 50, 50)
"""Flows free themselves by counting references; the collector finds next to nothing."""
_PR_SET_PDEATHSIG = 1
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE)


class Worker:
    """Puts an engine at the end of a channel."""

    def __init__(self, channel: socket.socket, counters: CounterFile, peers: Peers) -> None:
        loop = asyncio.get_running_loop()
        self.done: asyncio.Future[int] = loop.create_future()
        """The exit code."""
        self._channel = Channel(channel, on_message=self._order, on_close=self._orphaned)
        self.engine = Engine(loop, counters, self._channel.send, peers)

    def start(self) -> None:
        """Say that we are ready and obey from now on."""
        self._channel.start()
        self._channel.send(Ready(VERSION, os.getpid()))

    def close(self) -> None:
        """End every connection and leave the loop."""
        self.engine.close()
        self._channel.close()

    def _order(self, message: Message, fds: list[int]) -> None:
        if isinstance(message, Quit):
            self._finish(0)
        else:
            self.engine.carry_out(message, fds)

    def _orphaned(self) -> None:
        self._finish(EXIT_ORPHANED)

    def _finish(self, code: int) -> None:
        if not self.done.done():
            self.done.set_result(code)


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies.

    Raises:
        SystemExit: the parent was gone before the kernel knew.
    """
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit(EXIT_ORPHANED)


async def serve(channel_fd: int, counters_fd: int, peer_fds: list[int], *, shared: bool) -> int:
    """Work until told otherwise; return the exit code."""
    counters = CounterFile(counters_fd)
    peers = Peers(peer_fds, shared=shared)
    for fd in (counters_fd, *peer_fds):
        os.close(fd)
    channel = socket.socket(fileno=channel_fd)
    channel.setblocking(False)
    worker = Worker(channel, counters, peers)
    worker.start()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    code = await worker.done
    worker.close()
    return code


def main() -> None:
    """Run the worker of the command line."""
    parser = argparse.ArgumentParser(prog="tenantproxy-worker")
    parser.add_argument("--channel-fd", type=int, required=True)
    parser.add_argument("--counters-fd", type=int, required=True)
    parser.add_argument("--index", type=int, required=True, help="seen in the process list only")
    parser.add_argument(
        "--peer-fds",
        type=lambda text: [int(fd) for fd in text.split(",") if fd],
        default="",
        help="counters of the other workers",
    )
    parser.add_argument(
        "--shared", action="store_true", help="the other workers accept from the same sockets"
    )
    args = parser.parse_args()
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    die_with_parent()
    code = uvloop.run(serve(args.channel_fd, args.counters_fd, args.peer_fds, shared=args.shared))
    sys.stdout.flush()
    os._exit(code)  # tearing the interpreter down takes long and frees nothing of use


if __name__ == "__main__":
    main()
