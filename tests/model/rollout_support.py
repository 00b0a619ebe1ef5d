"""A rollout that is played: time passes, looks are made, gates answer, people say things."""

from __future__ import annotations

from dataclasses import replace

from tenantproxy.model.findings import Finding, GateAnswer
from tenantproxy.model.rollout import Say, SetPreview, SetWeight, Signals, advance, begin, due_s
from tenantproxy.model.rollout_spec import (
    Analysis,
    Gate,
    OutsideCheck,
    RolloutSpec,
    SignalCheck,
    Step,
)

RESETS = SignalCheck("resets", "resets", max=0.01)
SLOW = SignalCheck("first_byte_p99", "first_byte", quantile=0.99, max=0.25)
QA = OutsideCheck("qa", "webhook", url="http://qa/check")
GATE = Gate("http://qa/gate")
PAUSE = Step("pause")


def weight(percent, hold_s=60.0):
    return Step("weight", percent, hold_s)


def experiment(hold_s=60.0):
    return Step("experiment", 0, hold_s)


STEPS = (weight(5, 120.0), weight(25), PAUSE, weight(50))


def spec(*steps, checks=(RESETS, SLOW), every_s=60.0, allowed=1, unreached=3, **others):
    signals = tuple(one for one in checks if isinstance(one, SignalCheck))
    outside = tuple(one for one in checks if isinstance(one, OutsideCheck))
    analysis = Analysis(
        every_s,
        failures_allowed=allowed,
        inconclusive_allowed=unreached,
        signals=signals,
        outside=outside,
    )
    return RolloutSpec("v1", "v2", steps or STEPS, analysis=analysis, **others)


def findings(of, **results):
    """One for each check, `passed` unless said; names that are no check's come last."""
    names = [check.name for check in of.analysis.checks]
    dry = {check.name for check in of.analysis.checks if check.dry_run}
    names += [name for name in results if name not in names]
    return tuple(
        Finding(name, results.get(name, "passed"), f"{name}: so it is", dry_run=name in dry)
        for name in names
    )


class Play:
    """Holds the progress and the time, and what was wished last (`wishes`) and ever (`all`)."""

    def __init__(self, of, found=0, now_s=1000.0):
        self.spec = of
        self.now_s = now_s
        self.progress = begin(of, found, now_s)
        self.wishes = ()
        self.all = []

    def tell(self, signals=None, *, at_s=None, **kw):
        """Advance with signals; a second call right after it must yield nothing."""
        self.now_s = self.now_s if at_s is None else at_s
        self.progress, self.wishes = advance(
            self.spec, self.progress, signals or Signals(**kw), self.now_s
        )
        self.all += self.wishes
        again, nothing = advance(self.spec, self.progress, Signals(), self.now_s)
        assert again is self.progress
        assert nothing == ()
        return self

    def wait(self, seconds):
        """Let time pass, calling when it is due and at the end; no look is made."""
        end_s = self.now_s + seconds
        wished = ()
        while (at_s := due_s(self.spec, self.progress)) is not None and at_s <= end_s:
            assert self.progress != self.tell(at_s=max(at_s, self.now_s)).progress or self.wishes
            wished += self.wishes
        self.tell(at_s=end_s)
        self.wishes = wished + self.wishes
        return self

    def start(self):
        return self.tell(command="start") if self.spec.start == "manual" else self.tell()

    def look(self, **results):
        """Make the look that is due next, when it is due."""
        assert self.progress.look_at_s is not None
        return self.tell(
            at_s=max(self.now_s, self.progress.look_at_s), look=findings(self.spec, **results)
        )

    def answer(self, answer="open", gate=None, reason="because"):
        return self.tell(gate=GateAnswer(gate or self.progress.gate, answer, reason))

    def command(self, command):
        return self.tell(command=command)

    @property
    def phase(self):
        return self.progress.phase

    @property
    def events(self):
        return [wish.event for wish in self.wishes if isinstance(wish, Say)]

    @property
    def deeds(self):
        return [wish for wish in self.wishes if not isinstance(wish, Say)]

    def said(self, event):
        return [w.reason for w in self.all if isinstance(w, Say) and w.event == event]

    @property
    def weights(self):
        return [wish.weight for wish in self.all if isinstance(wish, SetWeight)]

    @property
    def preview(self):
        """Whether the preview is wanted, as last wished."""
        wished = [wish.wanted for wish in self.all if isinstance(wish, SetPreview)]
        return bool(wished and wished[-1])


def gated(*names, **others):
    """A spec with these gates."""
    made = spec(**others) if "steps" not in others else spec(*others.pop("steps"), **others)
    return replace(made, gates=replace(made.gates, **dict.fromkeys(names, GATE)))


def playing(of, found=0):
    """A rollout in its first step."""
    return Play(of, found).start()
