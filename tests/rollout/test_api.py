"""Where nobody can be asked, that is the answer."""

import pytest

from tenantproxy.model.rollout_spec import Gate
from tenantproxy.rollout.api import Judges, Nobody
from tenantproxy.rollout.judges import OutsideJudges
from tests.rollout.support import ABOUT, webhook


async def test_nobody_judges_nothing_and_opens_nothing():
    nobody = Nobody()
    found = await nobody.judge(webhook("http://h/", dry_run=True), ABOUT)
    assert (found.check, found.result, found.dry_run) == ("mine", "inconclusive", True)
    answer = await nobody.ask("before_start", Gate("http://h/"), ABOUT)
    assert (answer.gate, answer.answer) == ("before_start", "unreachable")
    await nobody.close()


@pytest.mark.parametrize("kind", [Nobody, OutsideJudges])
def test_all_judges_have_what_control_asks_for(kind):
    wanted = {name for name in vars(Judges) if not name.startswith("_")}
    assert wanted == {"judge", "ask", "close"}
    assert wanted <= set(vars(kind))
