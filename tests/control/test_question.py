"""A question is asked one at a time, and its answer comes only to who still wants it."""

import asyncio

import pytest

from tenantproxy.control.question import Question
from tenantproxy.tasks import Background
from tests.control.support import until


@pytest.fixture
async def background():
    made = Background(lambda name, error: pytest.fail(f"{name}: {error!r}"))
    yield made
    await made.close()


def saying(answer, go):
    async def say():
        await go.wait()
        return answer

    return say


async def test_an_answer_is_handed_on_and_then_nothing_is_asked(background):
    question, heard, go = Question(background, "q"), [], asyncio.Event()
    question.ask(saying(1, go), lambda answer: heard.append((answer, bool(question))))
    assert question
    go.set()
    await until(lambda: heard)
    assert heard == [(1, False)]


async def test_the_answer_to_a_question_that_was_dropped_is_lost(background):
    question, heard, go = Question(background, "q"), [], asyncio.Event()
    question.ask(saying(1, go), heard.append)
    await asyncio.sleep(0)
    ending = question.drop()
    go.set()
    await asyncio.wait([ending])
    assert not question
    assert not heard
    assert question.drop() is None


async def test_a_question_takes_the_place_of_the_one_before(background):
    question, heard, go = Question(background, "q"), [], asyncio.Event()
    question.ask(saying(1, go), heard.append)
    question.ask(saying(2, go), heard.append)
    go.set()
    await until(lambda: heard)
    await until(lambda: not len(background))
    assert heard == [2]


async def test_who_hears_an_answer_may_ask_again_and_drop(background):
    question, heard, go = Question(background, "q"), [], asyncio.Event()
    go.set()

    def again(answer):
        heard.append(answer)
        question.drop()
        if answer < 3:
            question.ask(saying(answer + 1, go), again)

    question.ask(saying(1, go), again)
    await until(lambda: heard == [1, 2, 3])
