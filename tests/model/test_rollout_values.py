"""What a rollout knows of itself can be written down and read back, in whatever phase."""

from dataclasses import FrozenInstanceError

import msgspec
import pytest

from tenantproxy.model.rollout import Progress, Signals
from tests.model.rollout_support import gated, playing, spec, weight


def kept():
    """Rollouts in which every field has been used."""
    looked = playing(spec(weight(5, 600.0))).look(resets="failed", first_byte_p99="inconclusive")
    yield looked.progress
    yield playing(gated("before_start")).answer("closed").progress
    yield playing(spec(canary_connections="drain")).command("abort").progress
    yield playing(spec()).command("promote").look().progress


@pytest.mark.parametrize("progress", list(kept()), ids=lambda one: one.phase)
def test_progress_is_the_same_after_it_was_kept(progress):
    again = msgspec.json.decode(msgspec.json.encode(progress), type=Progress)
    assert again == progress
    assert hash(again) == hash(progress)


def test_nothing_that_came_in_is_a_timer():
    play = playing(spec(canary_connections="drain")).command("abort")
    before = play.progress
    assert play.tell(Signals()).progress is before


def test_a_progress_is_changed_by_nobody():
    progress = playing(spec()).progress
    with pytest.raises(FrozenInstanceError):
        progress.weight = 100
