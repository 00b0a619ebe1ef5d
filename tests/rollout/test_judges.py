"""Every question has an answer in time, whatever is asked, and nothing is left at the end."""

import asyncio
import contextlib
import time
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from aiohttp import web

from tenantproxy.model.findings import Finding, GateAnswer
from tenantproxy.model.rollout_spec import Gate
from tenantproxy.rollout import judges as ours
from tenantproxy.rollout.judges import AT_ONCE, AT_ONCE_PER_TENANT, OutsideJudges
from tests.rollout.support import (
    ABOUT,
    PLENTY_S,
    SHORT_S,
    answering,
    command,
    nobody,
    prometheus,
    silent,
    speaking,
    webhook,
)

VECTOR = '{"status":"success","data":{"resultType":"scalar","result":[1,"0.5"]}}'


def children():
    """Return the processes that we have, those dead and not waited for included."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that has ended meanwhile
            found += (task / "children").read_text().split()
    return found


async def test_each_kind_of_judge_is_asked(judges):
    async with answering(lambda _: web.Response(text=VECTOR)) as server:
        found = await judges.judge(prometheus(server.url, max=0.1), ABOUT)
        assert found == Finding("mine", "failed", "0.5, at most 0.1")
    async with answering(lambda _: web.Response(text="good")) as server:
        found = await judges.judge(webhook(server.url, name="qa", dry_run=True), ABOUT)
        assert found == Finding("qa", "passed", "good", dry_run=True)
    found = await judges.judge(command("sh", "-c", "echo bad; exit 1"), ABOUT)
    assert found == Finding("mine", "failed", "bad")


async def test_gates_open_close_or_cannot_be_reached(judges):
    for status, answer in ((200, "open"), (423, "closed"), (500, "unreachable")):
        async with answering(lambda _, s=status: web.Response(status=s)) as server:
            said = await judges.ask("before_step", Gate(server.url, PLENTY_S), ABOUT)
            assert said == GateAnswer("before_step", answer, f"answered {status}")


async def test_commands_are_run_only_where_they_are_allowed(tmp_path):
    judges = OutsideJudges(commands=False, folder=tmp_path)
    found = await judges.judge(command("touch", "here"), ABOUT)
    assert found.result == "inconclusive"
    assert found.reason == "commands are off: proxy.rollout_commands"
    assert not (tmp_path / "here").exists()
    await judges.close()


async def test_who_is_not_there_is_inconclusive(judges):
    with nobody() as url:
        for check in (prometheus(url, dry_run=True), webhook(url, dry_run=True)):
            found = await judges.judge(check, ABOUT)
            assert (found.result, found.dry_run) == ("inconclusive", True)
            assert found.reason.startswith("cannot connect to 127.0.0.1:")
        assert (await judges.ask("before_start", Gate(url), ABOUT)).answer == "unreachable"


async def test_who_does_not_answer_in_time_is_inconclusive(judges, tmp_path):
    async with speaking(silent) as url:
        for check in (
            prometheus(url, timeout_s=SHORT_S),
            webhook(url, timeout_s=SHORT_S),
            command("sleep", 600, timeout_s=SHORT_S),
        ):
            began = time.monotonic()
            found = await judges.judge(check, ABOUT)
            assert (found.result, found.reason) == ("inconclusive", "no answer within 300ms")
            assert SHORT_S / 2 < time.monotonic() - began < PLENTY_S
        said = await judges.ask("before_start", Gate(url, SHORT_S), ABOUT)
        assert said == GateAnswer("before_start", "unreachable", "no answer within 300ms")


async def test_a_body_that_does_not_end_is_out_of_time_too(judges):
    async def drip(request):
        answer = web.StreamResponse()
        await answer.prepare(request)
        while True:
            await answer.write(b".")
            await asyncio.sleep(0.05)

    async with answering(drip) as server:
        found = await judges.judge(webhook(server.url, timeout_s=SHORT_S), ABOUT)
    assert (found.result, found.reason) == ("inconclusive", "no answer within 300ms")


async def test_so_many_questions_are_asked_at_once_and_the_others_wait(judges):
    here = most = 0
    full, go = asyncio.Event(), asyncio.Event()

    async def answer(request):
        nonlocal here, most
        here += 1
        most = max(most, here)
        if here == AT_ONCE_PER_TENANT:
            full.set()
        await go.wait()
        here -= 1
        return web.Response()

    async with answering(answer) as server:
        check = webhook(server.url)
        asking = [
            asyncio.ensure_future(judges.judge(check, ABOUT)) for _ in range(AT_ONCE_PER_TENANT + 5)
        ]
        await asyncio.wait_for(full.wait(), PLENTY_S)
        # Another tenant does not wait for those.
        other = asyncio.ensure_future(judges.judge(check, replace(ABOUT, tenant="other")))
        while here <= AT_ONCE_PER_TENANT:
            await asyncio.sleep(0.01)
        # One that waits is out of time though nobody was asked.
        late = await judges.judge(replace(check, timeout_s=SHORT_S), ABOUT)
        go.set()
        found = await asyncio.gather(*asking, other)
    assert late.reason == "too many questions before it: not asked within 300ms"
    assert {one.result for one in found} == {"passed"}
    assert most == AT_ONCE_PER_TENANT + 1
    assert AT_ONCE > AT_ONCE_PER_TENANT


async def test_when_closed_every_question_has_been_answered_and_nothing_runs(tmp_path):
    judges = OutsideJudges(commands=True, folder=tmp_path)
    async with speaking(silent) as url:
        asking = [
            asyncio.ensure_future(judges.judge(check, ABOUT))
            for check in (
                command("sleep", 600, timeout_s=600),
                prometheus(url, timeout_s=600),
                webhook(url, timeout_s=600),
            )
            for _ in range(AT_ONCE_PER_TENANT // 2)
        ]
        gate = asyncio.ensure_future(judges.ask("before_start", Gate(url, 600), ABOUT))
        while len(children()) < AT_ONCE_PER_TENANT // 2:
            await asyncio.sleep(0.01)
        await judges.close()
        assert children() == []
        for one in asking:
            found = await one
            assert (found.result, found.reason) == ("inconclusive", "the daemon ends")
        assert (await gate).reason == "the daemon ends"
        assert (await judges.judge(webhook(url), ABOUT)).reason == "the daemon ends"
    await judges.close()


async def test_a_caller_that_is_cancelled_leaves_no_question(judges):
    async with speaking(silent) as url:
        asking = asyncio.ensure_future(judges.judge(webhook(url), ABOUT))
        running = asyncio.ensure_future(judges.judge(command("sleep", 600), ABOUT))
        await asyncio.sleep(0.1)
        for one in (asking, running):
            one.cancel()
            with pytest.raises(asyncio.CancelledError):
                await one
        assert not judges._under_way


async def test_a_fault_of_ours_is_inconclusive_and_goes_to_the_log(judges, monkeypatch):
    async def broken(*_):
        raise KeyError("oops")

    monkeypatch.setattr(ours.webhook, "ask", broken)
    with structlog.testing.capture_logs() as log:
        found = await judges.judge(webhook("http://h/?token=s3cret"), ABOUT)
    assert (found.result, found.reason) == ("inconclusive", "could not be asked: KeyError")
    assert [(line["event"], line["tenant"]) for line in log] == [("judge_broke", "acme")]
    assert "s3cret" not in str(log)


async def test_nothing_is_logged_of_answers_and_addresses(judges):
    with structlog.testing.capture_logs() as log:
        async with answering(lambda _: web.Response(status=400, text="s3cret")) as server:
            await judges.judge(webhook(f"{server.url}/?token=s3cret"), ABOUT)
        with nobody() as url:
            found = await judges.judge(webhook(f"{url}/?token=s3cret"), ABOUT)
    assert log == []
    assert "s3cret" not in found.reason
