"""Planning converges in one pass, and closes come first."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tenantproxy.model.lifecycle import State
from tenantproxy.model.plan import Bind, Close, Observed, Update, Wanted, plan
from tenantproxy.model.spec import ListenerKey, ListenerSpec, SplitMember

NOW_S = 100.0


def spec(name="web", weight=1):
    return ListenerSpec("acme", name, (SplitMember("v1", weight),))


KEY = spec().key
states = st.sampled_from(State)
wanted = st.builds(
    Wanted,
    spec=st.builds(spec, st.sampled_from("abc"), st.integers(1, 2)),
    port=st.integers(1, 3),
    withdrawn=st.booleans(),
)
seen = st.builds(
    Observed,
    spec=st.builds(spec, st.sampled_from("abc"), st.integers(1, 2)),
    port=st.integers(1, 3),
    state=states,
    retry_at_s=st.sampled_from([0.0, 200.0]),
)


def one(want, found):
    desired = {} if want is None else {KEY: want}
    observed = {} if found is None else {KEY: found}
    return plan(desired, observed, now_s=NOW_S)


def test_a_new_listener_is_bound():
    assert one(Wanted(spec(), 1), None) == (Bind(spec(), 1),)


def test_a_listener_that_is_wanted_no_more_is_closed_and_forgotten():
    assert one(None, Observed(spec(), 1, State.OPEN)) == (Close(KEY, forget=True),)


def test_another_port_is_a_close_and_then_a_bind():
    assert one(Wanted(spec(), 2), Observed(spec(), 1, State.OPEN)) == (
        Close(KEY, forget=True),
        Bind(spec(), 2),
    )


def test_another_split_is_an_update_and_touches_no_socket():
    assert one(Wanted(spec(weight=2), 1), Observed(spec(), 1, State.OPEN)) == (
        Update(spec(weight=2)),
    )


def test_what_is_as_wanted_gets_no_action():
    for state in (State.ASLEEP, State.OPENING, State.OPEN, State.DRAINING):
        assert one(Wanted(spec(), 1), Observed(spec(), 1, state)) == ()


def test_a_failed_listener_is_tried_again_when_its_time_has_come_and_not_before():
    failed = Observed(spec(), 1, State.FAILED, retry_at_s=NOW_S)
    assert one(Wanted(spec(), 1), failed) == (Bind(spec(), 1),)
    assert one(Wanted(spec(), 1), replace(failed, retry_at_s=NOW_S + 0.1)) == ()


def test_a_withdrawn_listener_is_closed_and_kept():
    assert one(Wanted(spec(), 1, withdrawn=True), Observed(spec(), 1, State.OPEN)) == (
        Close(KEY, forget=False),
    )
    assert one(Wanted(spec(), 1, withdrawn=True), Observed(spec(), 1, State.COOLING)) == ()


def test_a_closed_listener_that_is_wanted_again_is_bound():
    assert one(Wanted(spec(), 1), Observed(spec(), 1, State.COOLING)) == (Bind(spec(), 1),)


@given(st.lists(wanted), st.lists(seen))
def test_one_pass_converges_and_the_next_is_empty(wants, found):
    desired = {ListenerKey("acme", want.spec.name): want for want in wants}
    observed = {ListenerKey("acme", it.spec.name): it for it in found}
    actions = plan(desired, observed, now_s=NOW_S)

    kinds = [isinstance(action, Close) for action in actions]
    assert kinds == sorted(kinds, reverse=True), "closes come first"
    for action in actions:
        match action:
            case Close(key, forget=True):
                del observed[key]
            case Close(key, forget=False):
                observed[key] = replace(observed[key], state=State.COOLING)
            case Update(new):
                observed[new.key] = replace(observed[new.key], spec=new)
            case Bind(new, port):
                observed[new.key] = Observed(new, port, State.ASLEEP)

    assert plan(desired, observed, now_s=NOW_S) == ()
    assert set(observed) <= set(desired)
