"""The kernel relay in front of the pump: flows that prove chatty are moved by the kernel.

Every flow begins in the pump. After a dozen round trips without a full buffer
it is linked, at a moment when nothing waits in user space. The kernel then
moves its bytes and the worker sleeps, until

* one direction uses most of its credit without a word back, or its reader is
  slow: bulk, which the pump does better;
* one side says FIN or RST, or the flow is to be ended.

Then the lane is stopped, what moved is waited for until the destination has
written it, and the pump goes on. A flow never goes back to the kernel.
"""

from __future__ import annotations

import select
import socket
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable, Iterator
from errno import EAGAIN, EOPNOTSUPP
from itertools import islice

from tenantproxy.clock import monotonic_s
from tenantproxy.dataplane.flow import OVER, Flow, Half
from tenantproxy.dataplane.lending import LendingPump
from tenantproxy.dataplane.lingering import LINGER_S
from tenantproxy.dataplane.masks import GONE, IN
from tenantproxy.dataplane.relay.lane import BrokenStream, Lane, Stage
from tenantproxy.dataplane.relay.links import Link, Links
from tenantproxy.dataplane.relay.trial import Trial

ROUND_TRIPS = 12
"""Linking and taking apart cost about 90 us, as much as 6 round trips through the pump."""
STEP_MIN_S, STEP_MAX_S = 0.001, 0.05
"""How often a leaving lane is looked at; the pause doubles while nothing happens."""
DEAD_WAIT_S = LINGER_S
"""Longest wait for a reader to take what came before an RST."""
LATE_WAIT_S = 5.0
"""Longest wait for bytes that the kernel received and does not hand out."""
LANES_A_BEAT, BEATS_A_ROUND = 128, 10
"""Each beat looks at so many lanes, or at one in so many if that is more. To look at all of 2,000
took 20 ms of CPU a second, most of what 1,000 chatty connections cost us."""

_ENDS = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_QUIET = select.EPOLLRDHUP | select.EPOLLET
"""Only ends are reported. With EPOLLIN every message wakes the worker: 4.7 us instead of 0."""

_NOT_NOW = EOPNOTSUPP, EAGAIN
_PEEK = socket.MSG_PEEK | socket.MSG_DONTWAIT


class Pair:
    """A flow that was linked."""

    __slots__ = ("lanes", "link")

    def __init__(self, link: Link, lanes: tuple[Lane, Lane]) -> None:
        self.link = link
        self.lanes = lanes


class LateBytes(Exception):
    """The kernel received bytes before a FIN and has not handed them out."""


class KernelRelay:
    """A `Mover`. `on_refused(error)` hears of a link that the kernel refused.

    `on_error(half, error)` is called when serving a half raised what it should not.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        pump: LendingPump,
        links: Links,
        on_refused: Callable[[OSError], None],
        on_error: Callable[[Half, Exception], None],
    ) -> None:
        self._loop = loop
        self._pump = pump
        self._links = links
        self._on_refused = on_refused
        self._on_error = on_error
        self._trial = Trial(pump, ROUND_TRIPS, self._chatty)
        self.linking = True
        """False: no more flows are linked; those that are stay."""
        self.linked = 0
        """How many flows the kernel moves now, at least one way."""
        self._pairs: dict[Flow, Pair] = {}
        self._lanes: dict[int, Lane] = {}
        """By slot: those that the kernel moves."""
        self._round: Iterator[Lane] = iter(())
        """Those that `check` has still to look at before it begins anew, so many at a time:"""
        self._part = LANES_A_BEAT
        self._waiting: set[Lane] = set()
        """Those that leave, and those whose last bytes are late."""
        self._timer: TimerHandle | None = None
        self._step_s = STEP_MIN_S
        self._passed = self._read_passed
        self._quiet = self._on_quiet
        loop.add_reader(links.ring_fd, self._told)

    def close(self) -> None:
        """Leave the loop; every flow must have ended before."""
        self._loop.remove_reader(self._links.ring_fd)
        if self._timer is not None:
            self._timer.cancel()
        self._links.close()

    # The mover ------------------------------------------------------------------

    def join(self, flow: Flow) -> None:
        """Begin in the pump, on trial."""
        self._pump.join(flow)
        # A socket that another process may have too does not leave the maps when we close it.
        # What is encrypted in user space cannot be passed on by the kernel.
        left = flow.adopted or (flow.server is not None and flow.server.sealed)
        if left or not self.linking or flow.client.mask == OVER:
            return
        if ROUND_TRIPS:
            self._trial.begin(flow)
        else:
            self._chatty(flow)

    def release(self, flow: Flow) -> bool:
        """Let go of a flow, unless it was linked: an open socket does not leave the maps."""
        return flow not in self._pairs and self._pump.release(flow)

    def end(self, flow: Flow, word: int, *, abort: bool = False) -> None:
        """End a flow; with RST if the kernel still has bytes of it on their way."""
        pair = self._pairs.get(flow)
        if pair is not None and not abort:
            for lane in pair.lanes:
                self._stop(lane)
                abort = abort or not (lane.stage is Stage.PUMPED or lane.is_written())
        self._pump.end(flow, word, abort=abort)

    def forget(self, flow: Flow) -> None:
        """The flow has ended and its sockets are closed; everybody who ends one says so."""
        pair = self._pairs.pop(flow, None)
        if pair is not None:
            self.linked -= any(lane.stage is not Stage.PUMPED for lane in pair.lanes)
            for lane in pair.lanes:
                self._waiting.discard(lane)
                if self._lanes.pop(lane.slot, None) is not None:
                    lane.count(self._pump.now_ms)
                del lane.opposite
            self._links.forget(pair.link)

    def count(self) -> None:
        """Bring the counters of linked flows, and their idle clocks, up to date."""
        now_ms = self._pump.now_ms
        for lane in self._lanes.values():
            lane.count(now_ms)

    def count_flow(self, flow: Flow) -> None:
        """Bring the idle clock and the counters of one flow up to date."""
        pair = self._pairs.get(flow)
        for lane in pair.lanes if pair is not None else ():
            if lane.slot in self._lanes:
                lane.count(self._pump.now_ms)

    def check(self) -> None:
        """Read what the program told quietly, count, and see to lanes of which it told nothing.

        Called at each beat. Of many lanes each beat looks at a part, so that a
        round takes a second.
        """
        self._told()
        now_ms, lanes = self._pump.now_ms, self._lanes
        part = tuple(islice(self._round, self._part))
        if not part:
            self._round = iter(tuple(lanes.values()))
            self._part = max(LANES_A_BEAT, -(-len(lanes) // BEATS_A_ROUND))
            part = tuple(islice(self._round, self._part))
        for lane in part:
            if lanes.get(lane.slot) is lane:  # it may have left since the round began
                lane.count(now_ms)
                if self._links.tripped(lane.slot):
                    self._heed(lane)

    # Into the kernel ----------------------------------------------------------------

    def _chatty(self, flow: Flow) -> bool:
        """Decide about a flow that proved chatty; return False to be asked again."""
        halves = flow.client, flow.server
        if not self.linking or not self._links.free:
            self._trial.dismiss(flow)
        elif any(h is None or h.pending or h.paused or h.eof or h.broken for h in halves):
            return False  # something waits in user space
        else:
            self._link(flow)
        return True

    def _link(self, flow: Flow) -> None:
        client, server = flow.client, flow.server
        assert server is not None  # noqa: S101 - for the type checker
        try:
            lanes = (
                Lane(self._links, client, server, syn=1),
                Lane(self._links, server, client, syn=0),
            )
            read = lanes[0].base, lanes[1].base
            link = self._links.link(client.sock, server.sock, read)
        except OSError as error:
            self._trial.dismiss(flow)
            if error.errno not in _NOT_NOW:  # one of the two has just ended: not the kernel's fault
                self._on_refused(error)
            return
        lanes[0].opposite, lanes[1].opposite = lanes[1], lanes[0]
        self._pairs[flow] = Pair(link, lanes)
        self.linked += 1
        for lane, slot in zip(lanes, link.slots, strict=True):
            lane.slot = slot
            self._lanes[slot] = lane
            self._pump.lend(lane.source, _QUIET, self._quiet)
        for lane in lanes:
            if self._links.tripped(lane.slot):  # the ring may not say so
                self._leave(lane)

    # Out of the kernel ----------------------------------------------------------------

    def _told(self) -> None:
        """The program wrote to the ring: a lane is (soon) low on credit, has tripped, or broke."""
        for slot in self._links.told():
            lane = self._lanes.get(slot)
            if lane is None and self._links.broken(slot):  # it may break after it has left
                lanes = (lane for pair in self._pairs.values() for lane in pair.lanes)
                lane = next((lane for lane in lanes if lane.slot == slot), None)
            if lane is not None:
                self._heed(lane)

    def _heed(self, lane: Lane) -> None:
        links, slot = self._links, lane.slot
        try:
            if links.broken(slot):
                raise BrokenStream
            if links.tripped(slot) or (
                links.is_soon(slot) and not lane.grant() and links.is_low(slot)
            ):
                self._leave(lane)
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends this flow only
            self._on_error(lane.source, error)

    def _on_quiet(self, half: Half, events: int) -> None:
        """A linked socket has an end of input, or an error."""
        if events & _ENDS:  # a read may have been reported before the link, in the same batch
            for lane in self._pairs[half.flow].lanes:
                if lane.source is half:
                    if events & GONE:
                        lane.until_s = monotonic_s() + DEAD_WAIT_S
                    self._leave(lane)

    def _stop(self, lane: Lane) -> None:
        if self._lanes.pop(lane.slot, None) is not None:
            lane.stop(self._pump.touch())

    def _leave(self, lane: Lane) -> None:
        if lane.stage is Stage.KERNEL:
            self._stop(lane)
            lane.stage = Stage.LEAVING
            if not self._settle(lane):
                lane.make_room()
                self._wait(lane)

    def _settle(self, lane: Lane) -> bool:
        """Hand a leaving lane to the pump, if its destination has written what moved."""
        if not lane.is_written() and not 0 < lane.until_s < monotonic_s():
            return False
        lane.stage = Stage.PUMPED
        lane.until_s = 0.0
        self.linked -= lane.opposite.stage is Stage.PUMPED
        self._pump.take_back(lane.source, self._passed)
        # The pump may now watch both sockets, so the other lane cannot stay. It goes last:
        # what the program hands over waits behind what this lane still had to send.
        self._leave(lane.opposite)
        return True

    def _read_passed(self, half: Half, _events: int) -> None:
        """Read what the program hands to user space, and take no end of input on trust.

        What is handed over may wait in a queue for room; a read that finds
        the other queue empty after a FIN says 0 too early.
        """
        lanes = self._pairs[half.flow].lanes
        lane = lanes[half is lanes[1].source]
        try:
            ended = not half.sock.recv(1, _PEEK)
        except BlockingIOError:
            return
        except OSError:  # asking has cleared the error: the pump would not meet it again
            self._pump.was_reset(half)
            return
        if ended and lane.is_late():
            now_s = monotonic_s()
            lane.until_s = lane.until_s or now_s + LATE_WAIT_S
            if now_s >= lane.until_s:
                raise LateBytes
            self._pump.pause(half)
            self._wait(lane)
            return
        before = half.cell[0]
        self._pump.read(half, IN)  # an end of input is found here, at the next turn
        lane.passed += half.cell[0] - before
        self._pump.again(half)

    def _go_on(self, lane: Lane) -> bool:
        """Read again: bytes that were late may have come."""
        self._pump.take_back(lane.source, self._passed)
        return True

    # Waiting --------------------------------------------------------------------------

    def _wait(self, lane: Lane) -> None:
        self._waiting.add(lane)
        if self._timer is not None:
            self._timer.cancel()
        self._step_s = STEP_MIN_S
        self._timer = self._loop.call_later(self._step_s, self._look)

    def _look(self) -> None:
        self._timer = None
        before = len(self._waiting)
        for lane in tuple(self._waiting):
            try:
                if (self._go_on if lane.stage is Stage.PUMPED else self._settle)(lane):
                    self._waiting.discard(lane)
            except Exception as error:  # noqa: BLE001 - whatever it is, it ends this flow only
                self._on_error(lane.source, error)
        if self._waiting and self._timer is None:
            changed = len(self._waiting) != before
            self._step_s = STEP_MIN_S if changed else min(2 * self._step_s, STEP_MAX_S)
            self._timer = self._loop.call_later(self._step_s, self._look)
