"""What every rollout works with."""

from __future__ import annotations

from dataclasses import dataclass

from tenantproxy.control.events import Events
from tenantproxy.control.hands import Hands
from tenantproxy.rollout.api import Judges
from tenantproxy.tasks import Background


@dataclass(frozen=True, slots=True)
class Means:
    """The hands, those who are asked, where it is told, and who owns the questions."""

    hands: Hands
    judges: Judges
    events: Events
    background: Background
