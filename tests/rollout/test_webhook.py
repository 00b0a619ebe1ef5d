"""A web server judges and opens gates by its code, and its words are the reason."""

import json

import pytest
from aiohttp import web

from tenantproxy.errors import NoVerdict
from tenantproxy.model.rollout_spec import Gate
from tenantproxy.rollout.webhook import ask, knock
from tests.rollout.support import ABOUT, PLENTY_S, answering, webhook


def answer(**fields):
    return answering(lambda _: web.Response(**fields))


async def test_a_judge_is_told_everything_and_the_name_of_its_check(http):
    async with answer() as server:
        await ask(http, webhook(f"{server.url}/check?a=b"), ABOUT)
    assert server.last.method == "POST"
    assert str(server.last.rel_url) == "/check?a=b"
    assert server.last.content_type == "application/json"
    assert json.loads(server.bodies[0]) == {
        "tenant": "acme",
        "listener": "web",
        "stable": "web-v1",
        "canary": "web-v2",
        "state": "running",
        "step": 2,
        "steps": 4,
        "weight": 25,
        "reason": "step 2 of 4",
        "interval_s": 10.0,
        "check": "mine",
    }


async def test_a_gate_is_told_its_name_instead(http):
    async with answer() as server:
        await knock(http, "before_step", Gate(server.url), ABOUT)
    told = json.loads(server.bodies[0])
    assert told["gate"] == "before_step"
    assert "check" not in told


@pytest.mark.parametrize("status", [200, 201, 204, 299])
async def test_2xx_is_yes(http, status):
    async with answer(status=status) as server:
        assert await ask(http, webhook(server.url), ABOUT) == ("passed", f"answered {status}")
        gate = Gate(server.url, PLENTY_S)
        said = await knock(http, "before_start", gate, ABOUT)
        assert said == ("open", f"answered {status}")


@pytest.mark.parametrize("status", [400, 403, 409, 422, 499])
async def test_4xx_is_no(http, status):
    async with answer(status=status, text="too many errors") as server:
        assert await ask(http, webhook(server.url), ABOUT) == ("failed", "too many errors")
        gate = Gate(server.url, PLENTY_S)
        assert await knock(http, "after_end", gate, ABOUT) == ("closed", "too many errors")


@pytest.mark.parametrize("status", [302, 401, 404, 405, 429, 500, 503, 599])
async def test_anything_else_has_not_judged(http, status):
    async with answer(status=status, text="a page of words") as server:
        for asking in (
            ask(http, webhook(server.url), ABOUT),
            knock(http, "before_start", Gate(server.url), ABOUT),
        ):
            with pytest.raises(NoVerdict, match=str(status)) as caught:
                await asking
            assert "words" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "answered 400"),
        (b" \r\n ", "answered 400"),
        (b"no\x1b[2J\nmore", "no [2J more"),
        (b"caf\xe9 \xff", "caf\ufffd \ufffd"),
        (b'{"message": "p99 is\\n3 s", "code": 7}', "p99 is 3 s"),
        (b'{"message": 7}', '{"message": 7}'),
        (b'{"message": ""}', "answered 400"),
        (b'["message"]', '["message"]'),
        (b"[" * 60_000, "[" * 197 + "..."),
        (b"x" * 1_000_000, "x" * 197 + "..."),
    ],
    ids=[
        "nothing",
        "blanks",
        "controls",
        "latin",
        "json",
        "no text",
        "empty",
        "list",
        "deep",
        "huge",
    ],
)
async def test_the_reason_is_what_the_answer_says_for_people(http, body, reason):
    async with answer(status=400, body=body) as server:
        assert await ask(http, webhook(server.url), ABOUT) == ("failed", reason)
