"""Background tasks are owned, reported, and ended."""

import asyncio

from tenantproxy.tasks import Background


async def test_a_task_that_dies_is_reported_by_name():
    told = []
    background = Background(lambda name, error: told.append((name, repr(error))))

    async def fail():
        raise RuntimeError("why")

    background.start(fail(), name="the one")
    await asyncio.sleep(0.01)
    assert told == [("the one", "RuntimeError('why')")]
    assert len(background) == 0


async def test_close_ends_every_task_in_silence():
    told = []
    background = Background(lambda *what: told.append(what))
    for number in range(3):
        background.start(asyncio.sleep(60), name=str(number))
    await background.close()
    assert len(background) == 0
    assert told == []
