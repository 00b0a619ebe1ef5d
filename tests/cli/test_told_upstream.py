"""What `describe upstream` tells of one that has everything, and of one that has nothing."""

import pytest

from tenantproxy.cli.told_upstream import told_upstream

NOW_S = 1000.0
HEALTH = {"every": "2s", "timeout": "1s", "fall": 3, "rise": 2}


def rows(item, title="", listeners=()):
    return next(s.rows for s in told_upstream(item, listeners, NOW_S) if s.title == title)


def head(item):
    return dict(rows(item))


def test_the_state_comes_first_and_says_what_follows_from_it(troubled):
    item = troubled(discovery_reason="")
    assert rows(item)[0] == ("Upstream:", "acme/web-v1")
    assert rows(item)[1] == (
        "State:",
        "2 unhealthy, 1 ejected, 1 unresolved, full: 5 of 9 endpoints usable",
    )
    panic = head(troubled(panic=True))["State:"]
    assert panic.startswith("panic, 2 unhealthy, ")
    assert panic.endswith("5 of 9 endpoints usable; too few, so all are used")
    none = head(troubled(endpoints=[], usable_endpoints=0))["State:"]
    assert none.startswith("no endpoints, ")
    assert none.endswith("0 of 0 endpoints usable; connections are refused")
    asleep = head(troubled(awake=False, endpoints=[], usable_endpoints=0))["State:"]
    assert asleep == "asleep: 0 of 0 endpoints usable"


def test_discovery_is_told_with_its_last_failure(troubled):
    assert head(troubled())["Discovery:"] == (
        "srv _web._tcp.acme.svc; failed, what was found before is kept: SERVFAIL"
    )
    nothing = {"endpoints": [], "usable_endpoints": 0}
    assert head(troubled(**nothing))["Discovery:"] == (
        "srv _web._tcp.acme.svc; failed, nothing was found yet: SERVFAIL"
    )
    assert rows(troubled(**nothing), "Endpoints") == [("-",)]
    well = troubled(discovery={"dns": "web.acme.svc:80"}, discovery_reason="")
    assert head(well)["Discovery:"] == "dns web.acme.svc:80"
    assert head(troubled(discovery=None))["Discovery:"] == "none, endpoints are listed"


def test_what_is_left_out_has_a_row_if_anything_is(troubled):
    said = "1024 of 4000 addresses are used"
    assert head(troubled(shortened=said))["Left out:"] == said
    assert "Left out:" not in head(troubled())


@pytest.mark.parametrize(
    ("health", "checks", "words"),
    [
        (None, (0, 0), "not checked"),
        ({"tcp": {}} | HEALTH, (0, 0), "tcp every 2s, timeout 1s, fall 3, rise 2"),
        (
            {"tcp": None, "http": {"path": "/healthz"}} | HEALTH,
            (13, 14),
            "http /healthz every 2s, timeout 1s, fall 3, rise 2; 13 checks passed, 14 failed",
        ),
        (
            {"tcp": {}, "http": None} | HEALTH,
            (0, 1),
            "tcp every 2s, timeout 1s, fall 3, rise 2; 0 checks passed, 1 failed",
        ),
    ],
)
def test_health_is_told_with_its_rule_and_counts(troubled, health, checks, words):
    item = troubled(checks=dict(zip(("passed", "failed"), checks, strict=True)))
    item["spec"]["health"] = health
    assert head(item)["Health:"] == words


def test_retries_limit_spares_and_ejections_are_told(troubled):
    item = troubled()
    item["spec"]["queue"] = {"size": 100, "timeout": "5s"}
    told = head(item)
    assert told["Ejections:"] == (
        "12; 5 failures in a row put an endpoint out for 30s, 10% of them at most, or one"
    )
    assert told["Retries:"] == "10, and 11 denied by the budget of 20%"
    assert told["Connect:"] == "3 tries, 5s each"
    assert told["Limit:"] == "50 of 50 connections, 8 of 100 waiting, 5s at most"
    assert told["Spares:"] == "9 ready, 2 for each endpoint"
    bare = troubled(limits={"max_connections": None, "slots": 5, "waiting": 0}, spares=0)
    bare["spec"] |= {"warm": 0, "outlier": None}
    bare["connect"]["first_byte"] = "2s"
    told = head(bare)
    assert told["Limit:"] == "none"
    assert told["Spares:"] == "0 ready"
    assert told["Ejections:"] == "12; endpoints that fail are not left out"
    assert told["Connect:"] == "3 tries, 5s each, first byte within 2s"


@pytest.mark.parametrize(("verify", "word"), [(True, "verified"), (False, "not verified")])
def test_what_is_spoken_to_endpoints_is_told_where_it_is_not_plain(troubled, verify, word):
    item = troubled()
    assert not {"TLS:", "PROXY:"} & set(head(item))
    item["spec"] |= {"tls": {"verify": verify}, "send_proxy": "v2"}
    assert head(item)["TLS:"] == word
    assert head(item)["PROXY:"] == "v2"
    assert rows(item)[-1] == ("Source:", "file")


def test_each_endpoint_is_told_with_its_state_since_when_and_why(troubled):
    endpoints = rows(troubled(), "Endpoints")
    assert endpoints[0] == (
        "10.0.0.1:80",
        "healthy for 10s",
        "weight 1",
        "1 connection, 10 in all",
        "20 failures",
        "30 ejections",
        "",
    )
    assert endpoints[5][1] == "unhealthy for 1m"
    assert endpoints[5][-1] == "why 6"
    assert endpoints[7][:2] == ("10.0.0.8:80", "ejected for 1m20s, 1m30s to go")
    assert endpoints[8][1] == "unresolved for 1m30s"


def test_an_endpoint_with_a_name_is_told_with_its_address(troubled):
    item = troubled()
    for end, address, resolved in zip(
        item["endpoints"],
        ("web.acme.svc:80", "[fd00::1]:80", "lost.acme.svc:80"),
        ("10.0.0.1", "fd00::1", None),
        strict=False,
    ):
        end |= {"address": address, "resolved": resolved}
    assert [row[0] for row in rows(item, "Endpoints")[:3]] == [
        "web.acme.svc:80 (10.0.0.1)",
        "[fd00::1]:80",
        "lost.acme.svc:80",
    ]


def test_priorities_are_told_where_there_are_several(troubled):
    item = troubled()
    assert rows(item, "Endpoints")[1][2] == "weight 2"
    item["endpoints"][0]["priority"] = 10
    assert [row[2] for row in rows(item, "Endpoints")[:2]] == [
        "weight 1, priority 10",
        "weight 2, priority 0",
    ]


def test_an_endpoint_that_never_changed_has_only_its_state(troubled):
    item = troubled()
    item["endpoints"][0]["since"] = None
    assert rows(item, "Endpoints")[0][1] == "healthy"


def test_what_is_one_is_told_in_the_singular(troubled):
    item = troubled(checks={"passed": 1, "failed": 0})
    item["spec"]["health"] = {"tcp": {}} | HEALTH
    item["spec"]["outlier"]["consecutive_failures"] = 1
    item["connect"]["tries"] = 1
    item["endpoints"][0] |= {"connections": 1, "failures": 1, "ejections": 1}
    told = head(item)
    assert told["Health:"].endswith("; 1 check passed, 0 failed")
    assert told["Ejections:"].startswith("12; 1 failure puts an endpoint out for 30s")
    assert told["Connect:"] == "1 try, 5s"
    assert rows(item, "Endpoints")[0][3:6] == ("1 connection, 10 in all", "1 failure", "1 ejection")


def test_when_all_are_used_and_how_they_come_back_is_told(troubled):
    item = troubled()
    assert head(item)["Panic:"] == "below 50% usable endpoints all are used"
    assert head(item)["Balance:"] == "round_robin"
    item["spec"] |= {"panic": "0%", "slow_start": "30s"}
    assert head(item)["Panic:"] == "never"
    assert head(item)["Balance:"] == "round_robin, slow start in 30s"


def test_a_full_upstream_without_a_queue_lets_nobody_wait(troubled):
    assert head(troubled())["Limit:"] == "50 of 50 connections, nobody waits"


def test_users_traffic_times_and_errors_are_told(troubled):
    web = {"tenant": "acme", "listener": "web", "state": "open", "split": {"web-v1": 95}}
    other = {"tenant": "acme", "listener": "api", "state": "open", "split": {"web-v2": 1}}
    item = troubled(connect_duration={"count": 4, "sum_s": 0.01})
    assert rows(item, "Used by", [web, other]) == [("acme/web", "weight 95", "open")]
    assert rows(item, "Used by") == [("no listener",)]
    assert rows(item, "Traffic")[0] == ("connections", "3 now, 33 in all")
    assert rows(item, "Times") == [
        ("Connect duration", "4 measured, mean 2.50 ms"),
        ("First byte duration", "0 measured, mean -"),
    ]
    assert rows(item, "Connect errors") == [("refused=4,timeout=3",)]
