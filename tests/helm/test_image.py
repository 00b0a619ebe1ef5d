"""The chart and the image agree on what runs, and as whom."""

import re

import pytest

from tests.helm.chart import ROOT, container_of, one, pod_of

DOCKERFILE = ROOT / "Dockerfile"
pytestmark = pytest.mark.skipif(not DOCKERFILE.exists(), reason="there is no Dockerfile")


def said(word: str) -> str:
    """Return the last line of that word."""
    return re.findall(rf"^{word} (.*)$", DOCKERFILE.read_text(), re.MULTILINE)[-1]


def test_the_user_is_the_images(rendered):
    security = pod_of(rendered["default"])["securityContext"]
    assert said("USER") == f"{security['runAsUser']}:{security['runAsGroup']}"


def test_the_command_is_the_images(rendered):
    assert container_of(rendered["default"])["command"] == ["tenantproxy"]
    assert said("ENTRYPOINT") == '["tenantproxy"]'
    assert one(rendered["default"], "Pod")["spec"]["containers"][0]["command"][0] == "python"
