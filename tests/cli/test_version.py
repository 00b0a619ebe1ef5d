"""`version` in every form."""

import json

import yaml

from tenantproxy import __version__


def test_the_version_is_told_in_every_form(command):
    assert command("version").stdout == f"tenantproxy {__version__}\n"
    assert json.loads(command("version", "-o", "json").stdout)["version"] == __version__
    assert yaml.safe_load(command("version", "-o", "yaml").stdout)["version"] == __version__
