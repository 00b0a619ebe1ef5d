"""Rollouts with hands that write down what they did, judges that say what they are told, and a
machine that does as a test wants."""

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import replace

from tenantproxy import clock
from tenantproxy.control import rollout as runtime
from tenantproxy.control.events import Events
from tenantproxy.control.rollouts import Rollouts
from tenantproxy.model.delta import Delta
from tenantproxy.model.findings import Finding, GateAnswer
from tenantproxy.model.lifecycle import State
from tenantproxy.model.rollout import Phase, Progress
from tenantproxy.model.rollout_spec import Analysis, RolloutSpec, Step
from tenantproxy.model.sides import NOTHING
from tenantproxy.model.spec import ListenerKey, ListenerSpec, SplitMember, TenantSpec
from tenantproxy.model.views import ListenerView, Totals
from tenantproxy.tasks import Background

KEY = ListenerKey("acme", "web")
PREVIEW = ListenerKey("acme", "web.preview")
SPLIT = (SplitMember("v1", 100), SplitMember("v2", 0))
STEPS = (Step("weight", 5, 0.05), Step("weight", 50, 0.05))


def plan(*steps, **more):
    """A plan from v1 to v2, quick and without checks but for what is said."""
    more.setdefault("analysis", Analysis(every_s=0.02, signals=()))
    return RolloutSpec("v1", "v2", steps or STEPS, **more)


def web(rollout, split=SPLIT, name="web"):
    return ListenerSpec("acme", name, split, rollout=rollout)


def weights(split):
    return {member.upstream: member.weight for member in split}


class FakeHands:
    """Everything that was done, in order, in `did`."""

    def __init__(self):
        self.did = []
        self.carried = {}
        self.sides = {}
        self.lives = {}
        self.usable = (1, 1)
        self.listeners = {}
        self.in_file = True
        self.on_declare = lambda key, split: None
        self.raises = {}
        self.counted = {}
        self.uncounted = set()
        """Those for which there are no counters."""

    def note(self, name, *what):
        if error := self.raises.get(name):
            raise error
        self.did.append((name, *what))

    def names(self):
        return [name for name, *_ in self.did]

    def of(self, name):
        return [what for did, *what in self.did if did == name]

    def carry(self, key, carried):
        self.note("carry", key, carried)
        self.carried[key] = carried

    def count(self, key, upstreams):
        if key in self.uncounted and upstreams:
            return False
        if self.counted.get(key, ()) != upstreams:
            self.note("count", key, upstreams)
            self.counted[key] = upstreams
        return True

    def side(self, key, upstream):
        return self.sides.get((key, upstream), NOTHING)

    def live(self, key, upstream):
        return self.lives.get((key, upstream), (0,))

    def end(self, key, upstream, mode, window_s, most=None):
        self.note("end", key, upstream, mode, window_s, most)

    def endpoints(self, tenant, upstream):
        return self.usable

    def declared(self, key):
        return self.listeners[key].split

    def declare(self, key, split):
        self.note("declare", key, split)
        self.listeners[key] = replace(self.listeners[key], split=split)
        self.on_declare(key, split)

    def drain_s(self, key):
        return self.listeners[key].drain_s

    def from_file(self, key):
        return self.in_file

    def listener(self, key):
        if key == PREVIEW:
            carried = self.carried.get(KEY)
            there = carried is not None and carried.preview is not None
            return self.shown(web(None, name="web.preview"), 20_002) if there else None
        spec = self.listeners.get(key)
        return None if spec is None else self.shown(spec, 20_001)

    def shown(self, spec, port):
        source = "api" if self.of("declare") else "file"
        return ListenerView(
            spec, port, "127.0.0.1", State.ASLEEP, "", 0.0, "file", source, 1, Totals()
        )


class FakeJudges:
    """Says what is in `says` by the name of the check or gate; waits while `held`."""

    def __init__(self):
        self.asked = []
        self.says = {}
        self.go = asyncio.Event()
        self.go.set()

    async def answer(self, name, about, otherwise):
        self.asked.append((name, about))
        await self.go.wait()
        said = self.says.get(name, otherwise)
        if isinstance(said, Exception):
            raise said
        return said

    async def judge(self, check, about):
        said = await self.answer(check.name, about, "passed")
        return Finding(check.name, said, "as told", dry_run=check.dry_run)

    async def ask(self, name, gate, about):
        return GateAnswer(name, await self.answer(name, about, "open"), "as told")

    async def close(self):
        pass


class Machine:
    """Stands where the machine is: takes the next of `answers`, else changes nothing."""

    def __init__(self, monkeypatch):
        self.calls = []
        self.answers = deque()
        self.due = lambda progress: None
        self.first = {}
        for name in ("begin", "advance", "due_s"):
            monkeypatch.setattr(runtime, name, getattr(self, name))

    def begin(self, spec, found, now_s, *, attempt=0):
        said = Progress(Phase.WAITING, "begun", now_s, found, attempt=attempt)
        return replace(said, **self.first)

    def advance(self, spec, progress, signals, now_s):
        self.calls.append(signals)
        if not self.answers:
            return progress, ()
        answer = self.answers.popleft()
        if isinstance(answer, Exception):
            raise answer
        fields, *wishes = answer
        return replace(progress, **fields), tuple(wishes)

    def due_s(self, spec, progress):
        return self.due(progress)

    def then(self, *wishes, **fields):
        """Let this be the answer to the next call for which there is none yet."""
        self.answers.append((fields, *wishes))


class Scene:
    """`Rollouts` over fake hands and judges."""

    def __init__(self):
        self.hands, self.judges, self.events = FakeHands(), FakeJudges(), Events()
        self.died = []
        self.background = Background(lambda name, error: self.died.append((name, error)))
        self.rollouts = Rollouts(self.hands, self.judges, self.events, self.background)
        self.hands.on_declare = self.follow_declared

    def put(self, listener, key=KEY):
        """Let this be declared, as a file or the API would; None: the listener is gone."""
        old = self.hands.listeners.pop(key, None)
        if listener is not None:
            self.hands.listeners[key] = listener
        self.follow(key, old, listener)

    def follow(self, key, old, new):
        tenants = {}
        for one in self.hands.listeners.values():
            tenants.setdefault(one.tenant, {})[one.name] = one
        declared = {name: TenantSpec(name, {}, {}, them) for name, them in tenants.items()}
        self.rollouts.follow(declared, Delta(listeners={key: (old, new)}))

    def follow_declared(self, key, split):
        new = self.hands.listeners[key]
        self.follow(key, replace(new, split=()), new)

    def one(self, key=KEY):
        return self.rollouts._all[key]

    def view(self, key=KEY):
        return self.rollouts.view(key)

    def phase(self, key=KEY):
        return self.one(key).progress.phase

    def said(self):
        return [event.event for event in self.events.after(0, 1000)]

    def last(self):
        return self.events.after(0, 1000)[-1]


@asynccontextmanager
async def a_scene():
    made = Scene()
    try:
        yield made
    finally:
        made.judges.go.set()
        await made.rollouts.close()
        await made.background.close()
    assert not made.died


def soon(in_s=0.0):
    return clock.monotonic_s() + in_s
