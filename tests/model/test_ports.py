"""Which number a listener gets."""

from hypothesis import given
from hypothesis import strategies as st

from tenantproxy.errors import PortClash, PortRangeFull, PortReserved
from tenantproxy.model.ports import Reservation, assign, candidates
from tenantproxy.model.spec import ListenerKey, ListenerSpec, SplitMember

RANGE = (20_000, 20_009)
SPLIT = (SplitMember("v1", 1),)
NOW_S = 50.0


def spec(name, port=None, tenant="acme"):
    return ListenerSpec(tenant, name, SPLIT, port=port)


def give(*wanting, used=None, kept=None, reserved=None, avoid=(), port_range=RANGE):
    return assign(
        wanting,
        port_range=port_range,
        used=used or {},
        kept=kept or {},
        reserved=reserved or {},
        avoid=avoid,
        now_s=NOW_S,
    )


def test_the_walk_visits_every_number_once():
    assert sorted(candidates(ListenerKey("a", "b"), RANGE)) == list(range(20_000, 20_010))


@given(st.permutations(["a", "b", "c", "d", "e"]))
def test_numbers_do_not_depend_on_the_order_of_the_document(names):
    ports, problems = give(*(spec(name) for name in names))
    again, _ = give(*(spec(name) for name in sorted(names)))
    assert ports == again
    assert not problems
    assert len(set(ports.values())) == 5


def test_an_automatic_number_stays_with_its_listener():
    ports, _ = give(spec("a"), kept={ListenerKey("acme", "a"): 20_007})
    assert ports == {ListenerKey("acme", "a"): 20_007}


def test_a_kept_number_outside_the_range_is_given_up():
    ports, _ = give(spec("a"), kept={ListenerKey("acme", "a"): 19_999})
    assert RANGE[0] <= ports["acme", "a"] <= RANGE[1]


def test_automatic_numbers_keep_out_of_the_way_of_explicit_ones():
    explicit = [spec(f"e{n}", port=20_000 + n) for n in range(9)]
    ports, problems = give(spec("auto"), *explicit)
    assert ports["acme", "auto"] == 20_009
    assert not problems


def test_an_explicit_number_in_use_is_a_clash_that_names_the_holder():
    _, [problem] = give(spec("a", 20_001), used={20_001: ListenerKey("other", "web")})
    assert isinstance(problem, PortClash)
    assert "other/web" in str(problem)


def test_two_listeners_that_want_one_number_clash():
    _, [problem] = give(spec("a", 20_001), spec("b", 20_001))
    assert isinstance(problem, PortClash)


def test_a_cooling_number_is_refused_to_another_tenant_until_its_time_is_over():
    mine = Reservation(ListenerKey("acme", "old"), NOW_S + 60)
    _, [problem] = give(spec("a", 20_001, tenant="other"), reserved={20_001: mine})
    assert isinstance(problem, PortReserved)
    assert "acme" in str(problem)
    over = Reservation(ListenerKey("acme", "old"), NOW_S)
    assert not give(spec("a", 20_001, tenant="other"), reserved={20_001: over})[1]


def test_a_cooling_number_may_go_to_another_listener_of_its_tenant():
    mine = Reservation(ListenerKey("acme", "old"), NOW_S + 60)
    assert not give(spec("new", 20_001), reserved={20_001: mine})[1]


def test_automatic_numbers_avoid_what_cools_what_is_ours_and_what_is_taken():
    reserved = {20_000: Reservation(ListenerKey("acme", "x"), NOW_S + 1)}
    ports, _ = give(
        spec("a"),
        port_range=(20_000, 20_003),
        reserved=reserved,
        avoid={20_001},
        used={20_002: ListenerKey("acme", "y")},
    )
    assert ports["acme", "a"] == 20_003


def test_a_full_range_is_said():
    _, [problem] = give(spec("a"), port_range=(20_000, 20_000), avoid={20_000})
    assert isinstance(problem, PortRangeFull)
    assert "acme/a" in str(problem)
