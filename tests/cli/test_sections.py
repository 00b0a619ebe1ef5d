"""Sections that several kinds share."""

from tenantproxy.cli.sections import titled, traffic

ITEM = {
    "connections": 1,
    "connections_total": 20,
    "bytes_in": 1536,
    "bytes_out": 0,
    "last_activity": "1970-01-01T00:01:00.000Z",
}


def test_traffic_is_told_in_words():
    assert traffic(ITEM, 65.0).rows == [
        ("connections", "1 now, 20 in all"),
        ("bytes", "1.5KiB in, 0B out"),
        ("last activity", "5s ago"),
    ]
    assert traffic(ITEM | {"last_activity": None}, 65.0).rows[-1] == ("last activity", "never")


def test_reasons_are_told_of_what_has_them():
    rows = traffic(ITEM | {"closed": {"done": 7}, "rejected": {}}, 65.0).rows
    assert rows[3:] == [("closed", "done=7"), ("rejected", "-")]


def test_a_key_becomes_a_title():
    assert titled("first_byte_duration") == "First byte duration"
