"""`openapi` prints what the daemon serves."""

import json


def test_the_description_is_that_of_the_daemon(online, daemon):
    printed = json.loads(online("openapi").stdout)
    assert printed["openapi"].startswith("3.1")
    assert printed == daemon.ask("/openapi.json")
