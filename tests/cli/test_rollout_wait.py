"""When waiting for a rollout is over, and what its exit code is then."""

import pytest

from tenantproxy.admin.rollout_views import show_rollout
from tenantproxy.cli.rollout_wait import exit_code, settled
from tenantproxy.model.rollout import ENDED, Phase
from tests.support_control import WEB
from tests.support_rollouts import running


def item(phase):
    return show_rollout(running(WEB, 1000.0, phase=phase))


@pytest.mark.parametrize("phase", Phase)
def test_only_an_end_or_a_pause_ends_the_wait(phase):
    assert settled(item(phase)) == (phase in ENDED or phase is Phase.PAUSED)


@pytest.mark.parametrize(
    ("phase", "code"),
    [
        (Phase.SUCCEEDED, 0),
        (Phase.ROLLED_BACK, 1),
        (Phase.FAILED, 1),
        (Phase.ABORTED, 1),
        (Phase.PAUSED, 3),
    ],
)
def test_the_exit_code_says_how_it_ended(phase, code):
    for command in (None, "start", "resume", "promote"):
        assert exit_code(item(phase), command) == code


def test_the_end_that_was_asked_for_is_a_success():
    assert exit_code(item(Phase.ABORTED), "abort") == 0
    assert exit_code(item(Phase.ROLLED_BACK), "rollback") == 0
    assert exit_code(item(Phase.FAILED), "abort") == 1
    assert exit_code(item(Phase.SUCCEEDED), "rollback") == 1
