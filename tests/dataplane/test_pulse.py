"""A loop that was held up shows it."""

from __future__ import annotations

import asyncio
import time

from tenantproxy.dataplane.counters import Header
from tenantproxy.dataplane.pulse import Pulse
from tests.dataplane.support import until


async def test_the_lag_is_how_late_the_timer_was():
    words = memoryview(bytearray(64)).cast("Q")
    beats = 0

    def gauges() -> None:
        nonlocal beats
        beats += 1

    pulse = Pulse(asyncio.get_running_loop(), words, gauges)
    assert beats == 1
    time.sleep(0.25)
    await until(lambda: beats == 2)
    assert words[Header.LOOP_LAG_US] >= 140_000
    assert words[Header.HEARTBEAT_MS] > 0
    await until(lambda: beats == 3)
    assert words[Header.LOOP_LAG_US] < 100_000
    pulse.close()
