"""What became of each version of the desired state."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

from tenantproxy import clock
from tenantproxy.control.events import Events
from tenantproxy.model.delta import Change, summary
from tenantproxy.model.layers import Unit
from tenantproxy.model.views import GenerationView, Source

_KEPT = 200


class History:
    """Numbers generations and remembers the last 200, applied or refused."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._kept: deque[GenerationView] = deque(maxlen=_KEPT)
        self.generation = 0
        """The one in force; 0 before the first."""
        self.problems: tuple[str, ...] = ()
        """Why the newest document was refused; empty when it runs."""
        self.restart_needed: tuple[str, ...] = ()
        self.last_success_s: float | None = None
        self.reloads: Counter[tuple[str, str]] = Counter()

    def applied(self, lines: list[Change], source: Source) -> None:
        """Note that the next generation is in force."""
        text = summary(lines)
        self._kept.append(GenerationView(self.generation, clock.wall_s(), source, "applied", text))
        if source == "api":
            self._events.add("applied", text, about="document", source="api")

    def reloaded(
        self, lines: list[Change], dropped: Sequence[Unit], restart_needed: Sequence[str]
    ) -> None:
        """Note that the watched document runs, and what did not survive it."""
        self.problems, self.restart_needed = (), tuple(restart_needed)
        self.last_success_s = clock.wall_s()
        result = "applied" if lines else "unchanged"
        self.reloads["file", result] += 1
        for unit in dropped:
            self._events.add("api_change_ended", f"the document says otherwise of {unit}")
        if restart_needed:
            reason = f"{', '.join(restart_needed)} changed and is read at start"
            self._events.add("restart_needed", reason, about="document", level="warning")
        self._events.add("reloaded", summary(lines), about="document", result=result)

    def refused(self, problems: tuple[str, ...], source: Source) -> None:
        """Note that a version was refused; what runs stays."""
        self.problems = problems
        self.reloads[source, "refused"] += 1
        number = self.generation + 1
        self._kept.append(
            GenerationView(number, clock.wall_s(), source, "refused", problems[0], problems)
        )
        self._events.add(
            "reload_refused",
            problems[0],
            about="document",
            level="error",
            problems=len(problems),
            generation=self.generation,
        )

    def newest_first(self) -> list[GenerationView]:
        return list(reversed(self._kept))
