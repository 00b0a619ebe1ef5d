"""Work beside the loop: one at a time, in order, results and errors come back."""

import asyncio
import sys
import threading
import time

import pytest

from tenantproxy.metrics.aside import SWITCH_INTERVAL_S, Aside


async def test_it_runs_in_another_thread_and_the_result_comes_back():
    assert await Aside().run(threading.get_ident) != threading.get_ident()


async def test_an_error_comes_back():
    with pytest.raises(ZeroDivisionError):
        await Aside().run(lambda: 1 / 0)


async def test_work_is_done_one_at_a_time_and_in_order():
    aside, begun, running = Aside(), [], []

    def work(number):
        begun.append(number)
        running.append(number)
        assert running == [number]
        time.sleep(0.01)
        running.remove(number)

    await asyncio.gather(*(aside.run(work, n) for n in range(5)))
    assert begun == [0, 1, 2, 3, 4]


def test_threads_give_the_interpreter_lock_back_after_a_millisecond():
    Aside()
    assert sys.getswitchinterval() == pytest.approx(SWITCH_INTERVAL_S)
